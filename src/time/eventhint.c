/*-------------------------------------------------------------------------
 *
 * eventhint.c
 *	  Which event somebody meant, whose name for it is not one.
 *
 * People write what other schedulers take ("hourly", "@hour", "every 5 min",
 * "daily at 8:30", "MONDAY 8am EST").  A lenient reader takes all of that, and
 * writes the event name that it comes to.  It only proposes: what a name
 * means is up to event.c, which has to know the proposal.
 *
 * What it cannot read may be a slip of the fingers, and is compared with the
 * names that are known.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "time/event.h"
#include "words/nearest.h"

/* What has no meaning in the names that the lenient reader takes. */
#define IGNORED " \t\r\n_-@:.,;'\"()"

/* Letters of a word that may be a misspelt name of other schedulers. */
#define MIN_NEAREST 5

/* Names of other schedulers for what is one event here. */
static const Synonym names[] = {
	{"minutely", "EVERYMINUTE"}, {"minute", "EVERYMINUTE"}, {"minutes", "EVERYMINUTE"},
	{"min", "EVERYMINUTE"},
	{"hourly", "EVERYHOUR"}, {"hour", "EVERYHOUR"}, {"hours", "EVERYHOUR"}, {"hr", "EVERYHOUR"},
	{"halfhourly", "EVERY30MINUTES"}, {"halfhour", "EVERY30MINUTES"},
	{"quarterhourly", "EVERY15MINUTES"}, {"quarterhour", "EVERY15MINUTES"},
	{"daily", "EVERYDAY"}, {"day", "EVERYDAY"}, {"days", "EVERYDAY"}, {"nightly", "EVERYDAY"},
	{"midnight", "EVERYDAY"}, {"weekly", "EVERYWEEK"}, {"week", "EVERYWEEK"},
	{"noon", "EVERYDAY12PM"}, {"midday", "EVERYDAY12PM"},
	{"monthly", "EVERYMONTH"}, {"month", "EVERYMONTH"}, {"months", "EVERYMONTH"},
	{"quarterly", "0 0 1 1,4,7,10 *"}, {"quarter", "0 0 1 1,4,7,10 *"},
	{"yearly", "@yearly"}, {"year", "@yearly"}, {"annually", "@yearly"}, {"annual", "@yearly"},
	{"weekday", "0 0 * * 1-5"}, {"weekdays", "0 0 * * 1-5"}, {"workday", "0 0 * * 1-5"},
	{"workdays", "0 0 * * 1-5"}, {"businessday", "0 0 * * 1-5"},
	{"weekend", "0 0 * * 0,6"}, {"weekends", "0 0 * * 0,6"}
};

/* Abbreviations of one half of the year, for the civil time that they are of. */
static const Synonym zones[] = {
	{"est", "ET"}, {"edt", "ET"}, {"eastern", "ET"},
	{"cst", "CT"}, {"cdt", "CT"}, {"central", "CT"},
	{"mst", "MT"}, {"mdt", "MT"}, {"mountain", "MT"},
	{"pst", "PT"}, {"pdt", "PT"}, {"pacific", "PT"},
	{"cest", "CET"}, {"mez", "CET"}, {"mesz", "CET"}, {"eest", "EET"}, {"aest", "AET"},
	{"aedt", "AET"}, {"z", "UTC"}, {"london", "BST"}
};

/* What a number is of, the longer names first. */
static const struct
{
	const char *name;
	const char *unit;
	int			cycle;			/* the numbers that an event may have divide this */
}			units[] = {
	{"minutes", "MINUTE", 60}, {"minute", "MINUTE", 60}, {"mins", "MINUTE", 60},
	{"min", "MINUTE", 60}, {"m", "MINUTE", 60},
	{"hourly", "HOUR", 24}, {"hours", "HOUR", 24}, {"hour", "HOUR", 24}, {"hrs", "HOUR", 24},
	{"hr", "HOUR", 24}, {"h", "HOUR", 24}
};

static const char *const weekdays[] = {
	"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return c >= 'a' && c <= 'z';
}

/* If *at begins with `word`: moves *at behind it. */
static bool
skip(const char **at, const char *word)
{
	if (strncmp(*at, word, strlen(word)) != 0)
		return false;
	*at += strlen(word);
	return true;
}

/* Reads the digits at *at, four at most, and moves *at behind them; -1: none. */
static int
read_number(const char **at)
{
	int			number = is_digit(**at) ? 0 : -1;

	for (int digits = 0; is_digit(**at) && digits < 4; digits++)
		number = number * 10 + (*(*at)++ - '0');
	return number;
}

/*
 * <n><unit>: an interval.  A number that does not divide the hour or the day is
 * replaced by the next smaller one that does.
 */
static bool
suggest_interval(const char *at, char *suggestion)
{
	int			number = read_number(&at);

	for (int i = 0; i < lengthof(units) && number > 0; i++)
	{
		if (strcmp(at, units[i].name) != 0)
			continue;
		if (number > units[i].cycle)
			return false;
		while (units[i].cycle % number != 0)
			number--;
		if (number == 1)
			snprintf(suggestion, EVENT_TEXT_LEN, "EVERY%s", units[i].unit);
		else
			snprintf(suggestion, EVENT_TEXT_LEN, "EVERY%d%sS", number, units[i].unit);
		return true;
	}
	return false;
}

/*
 * Reads [at]<time>[<zone>], with or without AM or PM, to the end, and appends it
 * as events have it.  False where it is no time.
 */
static bool
append_time(const char *at, char *suggestion)
{
	int			length = strlen(suggestion);
	int			number;
	int			hour;
	int			minute;
	bool		pm;
	const char *zone;

	if (*at == '\0')
		return true;
	(void) skip(&at, "at");
	number = read_number(&at);
	if (number < 0)
		return false;
	hour = number > 99 ? number / 100 : number;
	minute = number > 99 ? number % 100 : 0;
	(void) skip(&at, "oclock");
	pm = skip(&at, "pm");
	if (!pm && !skip(&at, "am"))
	{
		(void) skip(&at, "h");
		pm = hour >= 12 && hour < 24;
	}
	if (pm && hour > 12)
		hour -= 12;
	if (hour == 0)
		hour = 12;
	if (hour > 12 || minute > 59)
		return false;

	if (*at != '\0' && !is_letter(*at))
		return false;

	zone = synonym_of(zones, lengthof(zones), at);
	if (minute > 0)
		snprintf(suggestion + length, EVENT_TEXT_LEN - length, "%d%02d", hour, minute);
	else
		snprintf(suggestion + length, EVENT_TEXT_LEN - length, "%d", hour);
	strlcat(suggestion, pm ? "PM" : "AM", EVENT_TEXT_LEN);
	length = strlen(suggestion);
	strlcat(suggestion, zone ? zone : at, EVENT_TEXT_LEN);
	for (; suggestion[length] != '\0'; length++)
		suggestion[length] = pg_ascii_toupper((unsigned char) suggestion[length]);
	return true;
}

/* A day of the week, with or without a time. */
static bool
suggest_week(const char *at, char *suggestion)
{
	bool		week = skip(&at, "weekly") || skip(&at, "week");

	strlcpy(suggestion, "EVERYWEEK", EVENT_TEXT_LEN);
	(void) skip(&at, "on");
	for (int i = 0; i < lengthof(weekdays); i++)
	{
		if (strncmp(at, weekdays[i], 3) != 0)
			continue;
		if (!skip(&at, weekdays[i]))
			at += 3;
		(void) skip(&at, "s");
		for (int j = 0; j < 3; j++)
			suggestion[strlen("EVERYWEEK") + j] = pg_ascii_toupper((unsigned char) weekdays[i][j]);
		suggestion[strlen("EVERYWEEK") + 3] = '\0';
		return append_time(at, suggestion);
	}
	return week && append_time(at, suggestion);
}

/* Is this more of a time than a number of up to two digits? */
static bool
is_time(const char *at)
{
	size_t		digits = strspn(at, "0123456789");

	return at[digits] != '\0' || digits > 2;
}

/* The lenient reader.  `folded` is the name without what it ignores. */
static bool
read_leniently(const char *folded, char *suggestion)
{
	static const char *const fillers[] = {"run", "once", "every", "each", "per"};
	const char *at = folded;
	const char *name;

	for (int i = 0; i < lengthof(fillers); i++)
		(void) skip(&at, fillers[i]);
	name = synonym_of(names, lengthof(names), at);
	if (name)
	{
		strlcpy(suggestion, name, EVENT_TEXT_LEN);
		return true;
	}
	if (suggest_interval(at, suggestion) || suggest_week(at, suggestion))
		return true;

	/* A time alone is one of each day. */
	strlcpy(suggestion, "EVERYDAY", EVENT_TEXT_LEN);
	if (skip(&at, "daily") || skip(&at, "days") || skip(&at, "day") || skip(&at, "nightly") ||
		skip(&at, "midnight"))
		return append_time(at, suggestion);
	return is_time(at) && append_time(at, suggestion);
}

/* The meaning of the name of other schedulers that is nearest; NULL where none is near. */
static const char *
nearest_name(const char *folded)
{
	const char *words[lengthof(names)];
	const char *nearest;

	for (int i = 0; i < lengthof(names); i++)
		words[i] = names[i].word;

	/* Among so many, shorter words are near to too much. */
	nearest = strlen(folded) < MIN_NEAREST ? NULL : word_nearest(folded, words, lengthof(words));
	return nearest ? synonym_of(names, lengthof(names), nearest) : NULL;
}

/*
 * event_suggest
 *		Which event was probably meant by a name that is not known.
 *
 * `known` are names of events beside the grammar's.  Returns false where there is
 * nothing to propose; else writes the proposal into `suggestion` of EVENT_TEXT_LEN
 * bytes.  It is one of `known`, or event_parse() takes it; whether its time zone is
 * one, zone_parse() tells.
 */
bool
event_suggest(const char *name, const char *const *known, int nknown, char *suggestion)
{
	char		folded[EVENT_TEXT_LEN];
	char		prefixed[EVENT_TEXT_LEN + sizeof("every")] = "every";
	EventMeaning meaning;
	const char *nearest;

	word_fold(name, IGNORED, folded, sizeof(folded));
	for (int i = 0; i < nknown; i++)
	{
		char		other[EVENT_TEXT_LEN];

		word_fold(known[i], IGNORED, other, sizeof(other));
		if (folded[0] != '\0' && strcmp(other, folded) == 0)
		{
			strlcpy(suggestion, known[i], EVENT_TEXT_LEN);
			return true;
		}
	}
	if (read_leniently(folded, suggestion) && event_parse(suggestion, &meaning))
		return true;

	/* EVERY was forgotten, or stands with blanks. */
	strlcat(prefixed, folded, sizeof(prefixed));
	if (event_parse(folded, &meaning) || event_parse(prefixed, &meaning))
	{
		strlcpy(suggestion, event_parse(folded, &meaning) ? folded : prefixed, EVENT_TEXT_LEN);
		for (char *c = suggestion; *c != '\0'; c++)
			*c = pg_ascii_toupper((unsigned char) *c);
		return true;
	}

	nearest = word_nearest(name, known, nknown);
	if (nearest == NULL)
		nearest = nearest_name(folded);
	if (nearest)
		strlcpy(suggestion, nearest, EVENT_TEXT_LEN);
	return nearest != NULL;
}
