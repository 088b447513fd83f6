/*-------------------------------------------------------------------------
 *
 * cron.c
 *	  Cron expressions: reading them, and finding the next instant.
 *
 * An expression has the five fields minute, hour, day of month, month and day
 * of week, as in Vixie cron.  A field is a list of '*', values and ranges;
 * '*' and ranges may have a step.  Months and days of the week may be given by
 * the first three letters of their English names; Sunday is 0 and 7.  If one
 * of the two day fields begins with '*', a day must match both; else it need
 * match only one.  Unlike in Vixie cron, a step wider than its field is
 * refused ('*' with a step of 90 in the minute field does not mean every 90
 * minutes), and so is an expression that matches no date.
 *
 * Where the local clock leaps, there are two ways to read an expression:
 *
 * - One that fires in every hour of the day follows real time.  It fires
 *	 whenever the clock's reading matches: in both occurrences of a repeated
 *	 hour, and not in an hour that is skipped.
 * - All others name readings of the local clock, and fire once for each: at
 *	 the first instant that reads as much or more (zone_reaches()).  So a
 *	 reading that is skipped fires where the gap ends, and one that occurs
 *	 twice fires at its first occurrence.  Readings that are skipped together
 *	 fire together, once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "time/event.h"
#include "time/zone.h"

#define MINUTES_PER_DAY (MINS_PER_HOUR * HOURS_PER_DAY)

#define ALL_HOURS ((UINT64CONST(1) << HOURS_PER_DAY) - 1)

/*
 * No date comes later than this after the last one like it: 29 February on a
 * given day of the week, over a century without a leap year.
 */
#define MAX_YEARS_BETWEEN 40

/* Monday is 1, and 2000-01-01, day 0, was a Saturday. */
#define WEEKDAY_OF_DAY(day) ((int) floor_mod((day) + 6, 7))

/* What a field may hold. */
typedef struct CronField
{
	const char *name;
	int			min;
	int			max;
	const char *words;			/* three letters for each value from min on */
} CronField;

enum
{
	FIELD_MINUTE,
	FIELD_HOUR,
	FIELD_DAY,
	FIELD_MONTH,
	FIELD_WEEKDAY,
	FIELDS
};

static const CronField fields[FIELDS] = {
	{"minute", 0, 59, ""},
	{"hour", 0, 23, ""},
	{"day of month", 1, 31, ""},
	{"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
	{"day of week", 0, 7, "sunmontuewedthufrisatsun"},
};

/* What is wrong with most fields; read_field() says more. */
static const char *const bad_value = "has something other than its values";

/* Abbreviations of whole expressions. */
static const struct
{
	const char *name;
	const char *expression;
}			macros[] =

{
	{"@hourly", "0 * * * *"},
	{"@daily", "0 0 * * *"},
	{"@midnight", "0 0 * * *"},
	{"@weekly", "0 0 * * 0"},
	{"@monthly", "0 0 1 * *"},
	{"@yearly", "0 0 1 1 *"},
	{"@annually", "0 0 1 1 *"},
};

/* ------------------------------------------------------------------------
 * Reading an expression
 * ------------------------------------------------------------------------
 */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads a number at *at and moves *at behind it; absurd ones become 1000. */
static int
read_number(const char **at)
{
	int			number = 0;

	for (; is_digit(**at); (*at)++)
		number = Min(number * 10 + (**at - '0'), 1000);
	return number;
}

/*
 * Reads a value, a number or a word, at *at and moves *at behind it.  A word
 * for a value below `least` gives the next value by that name, if there is
 * one: the Sunday that ends a range is 7.  False if there is no value.
 */
static bool
read_value(const CronField *field, const char **at, int least, int *value)
{
	if (is_digit(**at))
	{
		*value = read_number(at);
		return *value >= field->min && *value <= field->max;
	}

	*value = field->min - 1;
	for (int i = 0; field->words[3 * i] != '\0'; i++)
	{
		if (pg_strncasecmp(*at, field->words + 3 * i, 3) != 0)
			continue;
		*value = field->min + i;
		if (*value >= least)
			break;
	}
	if (*value < field->min)
		return false;
	*at += 3;
	return true;
}

/*
 * Reads one element of a field's list, at *at, and moves *at behind it.  Adds
 * its values to *bits.  Returns NULL, or the middle of a sentence that says
 * what is wrong.
 */
static const char *
read_element(const CronField *field, const char **at, uint64 *bits)
{
	int			first = field->min;
	int			last = field->max;
	int			step = 1;
	bool		is_range = true;

	if (**at == '*')
		(*at)++;
	else
	{
		if (!read_value(field, at, 0, &first))
			return bad_value;
		last = first;
		is_range = (**at == '-');
		if (is_range)
		{
			(*at)++;
			if (!read_value(field, at, first, &last))
				return bad_value;
			if (last < first)
				return "has a range that ends before it begins";
		}
	}

	if (**at == '/')
	{
		(*at)++;
		if (!is_range)
			return "has a step that follows neither \"*\" nor a range";
		if (!is_digit(**at))
			return "has a step that is not a number";
		step = read_number(at);
		if (step < 1 || step > field->max - field->min + 1)
			return "has a step that is zero, or wider than the field";
	}

	for (int value = first; value <= last; value += step)
		*bits |= UINT64CONST(1) << value;
	return NULL;
}

/*
 * Reads one field, which ends at a blank or at the end of the expression, and
 * moves *at behind it.  Returns NULL and sets *bits, or says what is wrong.
 */
static const char *
read_field(const CronField *field, const char **at, uint64 *bits)
{
	const char *start = *at;
	const char *end = start;
	const char *problem;

	while (*end != '\0' && !is_blank(*end))
		end++;

	*bits = 0;
	for (;;)
	{
		problem = read_element(field, at, bits);
		if (problem == NULL && *at < end && **at != ',')
			problem = bad_value;
		if (problem == bad_value)
			return psprintf("The %s field \"%.*s\" has something other than %d to %d%s%.3s.",
							field->name, (int) (end - start), start, field->min, field->max,
							field->words[0] != '\0' ? " and names such as " : "", field->words);
		if (problem != NULL)
			return psprintf("The %s field \"%.*s\" %s.",
							field->name, (int) (end - start), start, problem);
		if (*at == end)
			return NULL;
		(*at)++;
	}
}

/*
 * Whether any date matches.  If both day fields must match, one of the days
 * of the month must exist in one of the months; any such date, even
 * 29 February, falls on each day of the week sooner or later.
 */
static bool
matches_some_date(const CronSchedule *schedule)
{
	if (!schedule->any_day && !schedule->any_weekday)
		return true;

	/* Months 0 to 11 are those of 2000, which has a 29 February. */
	for (int month = 0; month < 12; month++)
	{
		int			length = (int) (month_first_day(month + 1) - month_first_day(month));
		uint64		in_month = ((UINT64CONST(1) << length) - 1) << 1;

		if ((schedule->months & (1 << (month + 1))) && (schedule->days & in_month))
			return true;
	}
	return false;
}

/* How many fields an expression has. */
static int
count_fields(const char *at)
{
	int			n = 0;

	while (*(at += strspn(at, " \t\n\r")) != '\0')
	{
		at += strcspn(at, " \t\n\r");
		n++;
	}
	return n;
}

/*
 * Reads a cron expression, or one of the abbreviations that begin with '@'.
 * Returns NULL and sets *result, or says what is wrong, in a sentence for
 * errdetail() (palloc'd or static).
 */
const char *
cron_parse(const char *expression, CronSchedule *result)
{
	const char *at = expression;
	const char *starts[FIELDS];
	uint64		bits[FIELDS];
	const char *problem;

	while (is_blank(*at))
		at++;

	if (*at == '@')
	{
		size_t		length = strcspn(at, " \t\n\r");

		for (int i = 0; i < lengthof(macros); i++)
		{
			if (strlen(macros[i].name) == length &&
				pg_strncasecmp(at, macros[i].name, length) == 0 &&
				at[length + strspn(at + length, " \t\n\r")] == '\0')
				return cron_parse(macros[i].expression, result);
		}
		return "The abbreviations are @hourly, @daily, @midnight, @weekly, @monthly, @yearly "
			"and @annually.";
	}

	/* Before the fields are read: with seconds in front, each is another one. */
	if (count_fields(at) > FIELDS)
		return "A cron expression has no more than five fields: minute, hour, day of month, month "
			"and day of week.";
	for (int i = 0; i < FIELDS; i++)
	{
		if (*at == '\0')
			return "A cron expression has five fields: minute, hour, day of month, month and day "
				"of week.";
		starts[i] = at;
		problem = read_field(&fields[i], &at, &bits[i]);
		if (problem != NULL)
			return problem;
		while (is_blank(*at))
			at++;
	}

	result->minutes = bits[FIELD_MINUTE];
	result->hours = (uint32) bits[FIELD_HOUR];
	result->days = (uint32) bits[FIELD_DAY];
	result->months = (uint16) bits[FIELD_MONTH];
	result->weekdays = (uint8) ((bits[FIELD_WEEKDAY] | bits[FIELD_WEEKDAY] >> 7) & 0x7f);
	result->any_day = (starts[FIELD_DAY][0] == '*');
	result->any_weekday = (starts[FIELD_WEEKDAY][0] == '*');

	if (!matches_some_date(result))
		return "No month of the expression has any of its days.";
	return NULL;
}

/* ------------------------------------------------------------------------
 * The next instant
 * ------------------------------------------------------------------------
 */

static bool
day_matches(const CronSchedule *schedule, int64 day, int64 month)
{
	int			day_of_month = (int) (day - month_first_day(month)) + 1;
	bool		by_day = (schedule->days & (1U << day_of_month)) != 0;
	bool		by_weekday = (schedule->weekdays & (1U << WEEKDAY_OF_DAY(day))) != 0;

	if (schedule->any_day || schedule->any_weekday)
		return by_day && by_weekday;
	return by_day || by_weekday;
}

/* The first matching minute of the day from `minute` on, or -1. */
static int
next_minute(const CronSchedule *schedule, int minute)
{
	for (; minute < MINUTES_PER_DAY; minute += MINS_PER_HOUR - minute % MINS_PER_HOUR)
	{
		uint64		rest = schedule->minutes >> (minute % MINS_PER_HOUR);

		if (rest != 0 && (schedule->hours & (1U << (minute / MINS_PER_HOUR))))
			return minute + pg_rightmost_one_pos64(rest);
	}
	return -1;
}

/*
 * The first reading of a clock, `from` or later, that matches: as if on a
 * clock that never leaps.  False if none does within the range of timestamps.
 */
static bool
next_reading(const CronSchedule *schedule, Timestamp from, Timestamp *reading)
{
	int64		minute_count = floor_div(from + USECS_PER_MINUTE - 1, USECS_PER_MINUTE);
	int64		day = floor_div(minute_count, MINUTES_PER_DAY);
	int64		month = month_of_day(day);
	int64		last_month = month + 12 * MAX_YEARS_BETWEEN;
	int			minute = (int) floor_mod(minute_count, MINUTES_PER_DAY);

	while (month <= last_month && day <= END_TIMESTAMP / USECS_PER_DAY)
	{
		if (!(schedule->months & (1U << (floor_mod(month, 12) + 1))))
			day = month_first_day(month + 1);
		else
		{
			if (day_matches(schedule, day, month))
			{
				int			match = next_minute(schedule, minute);

				if (match >= 0)
				{
					*reading = day_start(day) + match * USECS_PER_MINUTE;
					return true;
				}
			}
			day++;
		}
		minute = 0;
		if (day >= month_first_day(month + 1))
			month++;
	}
	return false;
}

/* The first instant, t or later, whose reading matches: follows real time. */
static bool
next_by_real_time(const CronSchedule *schedule, const pg_tz *tz, TimestampTz t,
				  TimestampTz *next)
{
	ZoneStretch stretch;
	Timestamp	reading;

	for (; t < END_TIMESTAMP; t = stretch.end)
	{
		stretch = zone_stretch(tz, t);
		if (!next_reading(schedule, t + stretch.offset, &reading))
			return false;
		*next = reading - stretch.offset;
		if (*next < stretch.end)
			return true;
	}
	return false;
}

/*
 * Does a schedule fire in every hour of the day, and so follow real time?
 */
bool
cron_follows_real_time(const CronSchedule *schedule)
{
	return schedule->hours == ALL_HOURS;
}

/*
 * The first instant strictly after the finite instant `after` at which a
 * schedule, read in a zone, fires.  False if there is none within the range of
 * timestamps.  Raises no error.
 */
bool
cron_next(const CronSchedule *schedule, const pg_tz *tz, TimestampTz after, TimestampTz *next)
{
	TimestampTz from = after + 1;
	bool		found;

	if (cron_follows_real_time(schedule))
		found = next_by_real_time(schedule, tz, from, next);
	else
	{
		Timestamp	reading;

		found = next_reading(schedule, zone_passed_before(tz, from), &reading);
		if (found)
			*next = zone_reaches(tz, reading);
	}
	return found && *next < END_TIMESTAMP;
}
