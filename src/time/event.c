/*-------------------------------------------------------------------------
 *
 * event.c
 *	  The grammar of event names.
 *
 * An event name is a cron expression (see cron.c), or one of these, in any
 * case:
 *
 *	EVERYMINUTE			EVERY<n>MINUTES		n divides 60
 *	EVERYHOUR			EVERY<n>HOURS		n divides 24
 *	EVERYHOURBYMIN<mm>						mm minutes past each hour
 *	EVERYDAY			EVERYDAY<time>
 *	EVERYWEEK			EVERYWEEK[<day>][<time>]
 *	EVERYMONTH
 *
 * A <time> is <h>[<mm>]{AM|PM}[<zone>], such as 8AM, 1230PM or 8AMET; without
 * one it is midnight.  A <day> is the English name of a day of the week or
 * its first three letters; without one it is Sunday.  A <zone> is one of the
 * abbreviations below, which mean a place's civil time with its daylight
 * saving time, or is handed on as the name of a time zone for the caller to
 * look up.
 *
 * Numbers that do not divide the hour or the day are refused: they could not
 * be evenly spaced, as each hour or day starts afresh.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "time/event.h"

/* Times of day that events name by an abbreviation, and the zones they mean. */
static const struct
{
	const char *abbreviation;
	const char *zone;
}			zones[] =

{
	{"UTC", "UTC"},
	{"GMT", "GMT"},
	{"ET", "America/New_York"},
	{"CT", "America/Chicago"},
	{"MT", "America/Denver"},
	{"PT", "America/Los_Angeles"},
	{"BST", "Europe/London"},
	{"CET", "Europe/Paris"},
	{"EET", "Europe/Athens"},
	{"MSK", "Europe/Moscow"},
	{"IST", "Asia/Kolkata"},
	{"SGT", "Asia/Singapore"},
	{"HKT", "Asia/Hong_Kong"},
	{"JST", "Asia/Tokyo"},
	{"KST", "Asia/Seoul"},
	{"AET", "Australia/Sydney"},
};

static const char *const weekdays[] = {
	"SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"
};

static const char *const unknown_event =
"It is neither a cron expression nor one of EVERYMINUTE, EVERY<n>MINUTES, EVERYHOUR, "
"EVERYHOURBYMIN<mm>, EVERY<n>HOURS, EVERYDAY, EVERYDAY<h>[<mm>]{AM|PM}[<zone>], "
"EVERYWEEK[<day>][<time>] and EVERYMONTH.";

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* If *at begins with `word`, in any case: moves *at behind it. */
static bool
skip_word(const char **at, const char *word)
{
	size_t		length = strlen(word);

	if (pg_strncasecmp(*at, word, length) != 0)
		return false;
	*at += length;
	return true;
}

/*
 * Reads up to `max_digits` digits at *at and moves *at behind them.  False if
 * there are none, or more.
 */
static bool
read_digits(const char **at, int max_digits, int *number)
{
	int			digits = 0;

	*number = 0;
	for (; is_digit(**at) && digits < max_digits; digits++)
		*number = *number * 10 + (*(*at)++ - '0');
	return digits > 0 && !is_digit(**at);
}

/*
 * Reads the rest of a name as [<time>], and writes the first two fields of a
 * cron expression and the zone.  Returns NULL or what is wrong.
 */
static const char *
parse_time(const char *at, EventMeaning *result)
{
	int			number;
	int			hour;
	int			minute;
	bool		afternoon;

	if (*at == '\0')
	{
		strlcpy(result->cron, "0 0", EVENT_TEXT_LEN);
		return NULL;
	}

	/* One or two digits are an hour; with more, the last two are minutes. */
	if (!read_digits(&at, 4, &number))
		return unknown_event;
	hour = number > 99 ? number / 100 : number;
	minute = number > 99 ? number % 100 : 0;
	afternoon = skip_word(&at, "PM");
	if (!afternoon && !skip_word(&at, "AM"))
		return "A time of day ends in AM or PM, and a time zone may follow.";
	if (hour < 1 || hour > 12 || minute > 59)
		return "A time of day is from 1AM to 12PM, with minutes from 00 to 59.";
	snprintf(result->cron, EVENT_TEXT_LEN, "%d %d", minute, hour % 12 + (afternoon ? 12 : 0));

	for (int i = 0; i < lengthof(zones); i++)
	{
		if (pg_strcasecmp(at, zones[i].abbreviation) == 0)
			at = zones[i].zone;
	}
	if (strlcpy(result->timezone, at, EVENT_TEXT_LEN) >= EVENT_TEXT_LEN)
		return "The name is too long.";
	return NULL;
}

/* Moves *at behind a day of the week, and sets its number from Sunday on, 0. */
static bool
skip_weekday(const char **at, int *weekday)
{
	for (*weekday = 0; *weekday < lengthof(weekdays); (*weekday)++)
	{
		if (skip_word(at, weekdays[*weekday]))
			return true;
		if (pg_strncasecmp(*at, weekdays[*weekday], 3) == 0)
		{
			*at += 3;
			return true;
		}
	}
	*weekday = 0;
	return false;
}

/* EVERY<n>{MINUTES|HOURS}, behind EVERY. */
static const char *
parse_interval(const char *at, EventMeaning *result)
{
	int			number;
	bool		hours;

	if (!read_digits(&at, 4, &number))
		return unknown_event;
	hours = skip_word(&at, "HOUR");
	if (!hours && !skip_word(&at, "MINUTE"))
		return unknown_event;
	skip_word(&at, "S");
	if (*at != '\0')
		return unknown_event;

	if (hours)
	{
		if (number < 1 || 24 % number != 0)
			return "A number of hours must divide 24; others would not be evenly spaced.";
		snprintf(result->cron, EVENT_TEXT_LEN, "0 */%d * * *", number);
	}
	else
	{
		if (number < 1 || 60 % number != 0)
			return "A number of minutes must divide 60; others would not be evenly spaced.";
		snprintf(result->cron, EVENT_TEXT_LEN, "*/%d * * * *", number);
	}
	return NULL;
}

/* The grammar behind EVERY.  Returns NULL or what is wrong. */
static const char *
parse_every(const char *at, EventMeaning *result)
{
	const char *problem;
	int			number = 0;
	char		days[16];

	if (is_digit(*at))
		return parse_interval(at, result);

	if (skip_word(&at, "HOURBYMIN"))
	{
		if (!read_digits(&at, 2, &number) || number > 59 || *at != '\0')
			return "EVERYHOURBYMIN is followed by minutes from 00 to 59.";
		snprintf(result->cron, EVENT_TEXT_LEN, "%d * * * *", number);
		return NULL;
	}

	if (skip_word(&at, "DAY"))
		strlcpy(days, " * * *", sizeof(days));
	else if (skip_word(&at, "WEEK"))
	{
		skip_weekday(&at, &number);
		snprintf(days, sizeof(days), " * * %d", number);
	}
	else
	{
		if (pg_strcasecmp(at, "MINUTE") == 0)
			strlcpy(result->cron, "* * * * *", EVENT_TEXT_LEN);
		else if (pg_strcasecmp(at, "HOUR") == 0)
			strlcpy(result->cron, "0 * * * *", EVENT_TEXT_LEN);
		else if (pg_strcasecmp(at, "MONTH") == 0)
			strlcpy(result->cron, "0 0 1 * *", EVENT_TEXT_LEN);
		else
			return unknown_event;
		return NULL;
	}

	problem = parse_time(at, result);
	if (problem == NULL)
		strlcat(result->cron, days, EVENT_TEXT_LEN);
	return problem;
}

/* Reads an event name.  Returns NULL and sets *result, or what is wrong. */
static const char *
parse(const char *event_name, EventMeaning *result)
{
	const char *at = event_name;
	const char *problem;
	CronSchedule schedule;

	result->timezone[0] = '\0';
	if (skip_word(&at, "EVERY"))
		return parse_every(at, result);

	/* What does not begin like an expression was not meant to be one. */
	problem = cron_parse(event_name, &schedule);
	if (problem != NULL)
	{
		at += strspn(at, " \t\n\r");
		return *at != '\0' && strchr("0123456789*@", *at) != NULL ? problem : unknown_event;
	}
	if (strlcpy(result->cron, event_name, EVENT_TEXT_LEN) >= EVENT_TEXT_LEN)
		return "The cron expression is too long.";
	return NULL;
}

/*
 * What an event name means by the grammar alone.  False if nothing; then
 * *result is undefined, and event_problem() says why.  The cron expression is
 * valid; whether the zone is one, zone_parse() tells.
 */
bool
event_parse(const char *event_name, EventMeaning *result)
{
	return parse(event_name, result) == NULL;
}

/*
 * Why event_parse() refuses a name, in a sentence for errdetail() (palloc'd or
 * static); NULL if it does not.
 */
const char *
event_problem(const char *event_name)
{
	EventMeaning meaning;

	return parse(event_name, &meaning);
}
