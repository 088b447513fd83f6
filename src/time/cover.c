/*-------------------------------------------------------------------------
 *
 * cover.c
 *	  Expressions for a cron whose clock is another zone's.
 *
 * Given are a schedule, read in its own zone, and a scheduler that reads
 * expressions in another.  What we write for it is an expression that covers
 * the schedule: it fires at each instant at which the schedule does, and maybe
 * at others.  The scheduler then has to ask whether anything is due, which
 * costs next to nothing, where a firing that is missing would cost a run.
 *
 * The schedule fires in two ways (see cron.c), and each is covered:
 *
 * - when its own clock reads a matching time.  Between any two changes of the
 *	 offset of either zone, the clocks differ by a constant; we go through all
 *	 these stretches and move each matching minute of the day by that.
 * - at the end of a gap that swallowed a matching time.  We go through the
 *	 gaps, and add the other clock's reading where such a one ends.
 *
 * Minutes and hours are collected apart, so that an expression has all their
 * combinations.  Whether a date matches is not asked on the way: so what covers
 * one year covers the next by the same rules of daylight saving time.
 *
 * Days are kept where no reading moves into another day; if only days of the
 * week are restricted, they move along; in any other case each day fires.  To
 * restrict both kinds of days says "or" to one cron and "and" to another, or to
 * the same one set differently, so at most one kind is written.
 *
 * Fields are written in the plainest way, with numbers only: not every cron
 * reads names, and "fri-sun" is a range that ends before it begins to some.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "time/event.h"
#include "time/zone.h"

#define MINUTES_PER_DAY (MINS_PER_HOUR * HOURS_PER_DAY)

#define ALL_HOURS ((UINT64CONST(1) << HOURS_PER_DAY) - 1)
#define ALL_DAYS ((UINT64CONST(1) << 32) - 2)
#define ALL_MONTHS ((UINT64CONST(1) << 13) - 2)
#define ALL_WEEKDAYS ((UINT64CONST(1) << 7) - 1)

/* Clocks differ by less than this many days. */
#define MAX_DAYS_APART 3

/* What is known of the expression on the way: bits as in CronSchedule. */
typedef struct Cover
{
	uint64		minutes;
	uint32		hours;
	uint8		days_apart;		/* bit MAX_DAYS_APART + n: some reading moves by n days */
} Cover;

/* ------------------------------------------------------------------------
 * What must fire
 * ------------------------------------------------------------------------
 */

/* The first full minute, of a clock's count of them, not before a reading. */
static int64
minute_from(Timestamp reading)
{
	return floor_div(reading + USECS_PER_MINUTE - 1, USECS_PER_MINUTE);
}

static bool
minute_matches(const CronSchedule *schedule, int64 minute)
{
	return (schedule->hours & (1U << (floor_mod(minute, MINUTES_PER_DAY) / MINS_PER_HOUR))) != 0 &&
		(schedule->minutes & (UINT64CONST(1) << floor_mod(minute, MINS_PER_HOUR))) != 0;
}

/* Has `fires`, of the other clock, fire for `due`, of the schedule's own. */
static void
add_minute(Cover *cover, int64 due, int64 fires)
{
	int64		days = floor_div(fires, MINUTES_PER_DAY) - floor_div(due, MINUTES_PER_DAY);

	cover->minutes |= UINT64CONST(1) << floor_mod(fires, MINS_PER_HOUR);
	cover->hours |= 1U << (floor_mod(fires, MINUTES_PER_DAY) / MINS_PER_HOUR);
	cover->days_apart |= 1 << (MAX_DAYS_APART + days);
}

/* Covers the matching times, while the other clock is ahead by `ahead`. */
static void
add_times(Cover *cover, const CronSchedule *schedule, int64 ahead)
{
	for (int minute = 0; minute < MINUTES_PER_DAY; minute++)
	{
		if (minute_matches(schedule, minute))
			add_minute(cover, minute, minute_from(minute * USECS_PER_MINUTE + ahead));
	}
}

/*
 * Covers the matching times that a gap swallows: those of the schedule's clock
 * from `first` on and before `end`, where the other clock reads `fires`.
 */
static void
add_gap(Cover *cover, const CronSchedule *schedule, Timestamp first, Timestamp end,
		Timestamp fires)
{
	for (int64 minute = minute_from(first); minute < minute_from(end); minute++)
	{
		if (minute_matches(schedule, minute))
			add_minute(cover, minute, minute_from(fires));
	}
}

/* Goes through the time in which both zones' offsets stay as they are. */
static Cover
collect(const CronSchedule *schedule, const pg_tz *tz, const pg_tz *other, TimestampTz from,
		TimestampTz until)
{
	bool		real_time = (schedule->hours == ALL_HOURS);
	Cover		cover = {0};

	for (TimestampTz start = from; start < until;)
	{
		ZoneStretch own = zone_stretch(tz, start);
		ZoneStretch others = zone_stretch(other, start);

		add_times(&cover, schedule, others.offset - own.offset);
		if (!real_time)
			add_gap(&cover, schedule, zone_passed_before(tz, start), start + own.offset,
					start + others.offset);
		start = Min(own.end, others.end);
	}
	return cover;
}

/* The days of the week, moved by as many days as readings are. */
static uint64
move_weekdays(const Cover *cover, uint64 weekdays)
{
	uint64		moved = 0;

	for (int days = -MAX_DAYS_APART; days <= MAX_DAYS_APART; days++)
	{
		int			left = (int) floor_mod(days, 7);

		if (cover->days_apart & (1 << (MAX_DAYS_APART + days)))
			moved |= weekdays << left | weekdays >> (7 - left);
	}
	return moved & ALL_WEEKDAYS;
}

/* ------------------------------------------------------------------------
 * Writing an expression
 * ------------------------------------------------------------------------
 */

static void
append(char *result, const char *format, int a, int b)
{
	size_t		length = strlen(result);

	snprintf(result + length, CRON_COVER_LEN - length, format, a, b);
}

/* The n of "*" and a step of n, if that is what bits from min on are; else 0. */
static int
step_of(uint64 bits, int min, int max)
{
	for (int step = 1; step <= (max - min) / 2; step++)
	{
		uint64		stepped = 0;

		for (int i = min; i <= max; i += step)
			stepped |= UINT64CONST(1) << i;
		if (bits == stepped)
			return step;
	}
	return 0;
}

/* Appends a field whose values are `bits`, out of min to max. */
static void
append_field(char *result, uint64 bits, int min, int max)
{
	int			step = step_of(bits, min, max);
	const char *separator = result[0] != '\0' ? " " : "";

	strlcat(result, separator, CRON_COVER_LEN);
	if (step > 0)
	{
		append(result, step > 1 ? "*/%d" : "*", step, 0);
		return;
	}

	separator = "";
	for (int i = min; i <= max; i++)
	{
		int			last = i;

		if (!(bits & (UINT64CONST(1) << i)))
			continue;
		while (last < max && (bits & (UINT64CONST(1) << (last + 1))))
			last++;
		if (last < i + 2)
			last = i;
		strlcat(result, separator, CRON_COVER_LEN);
		append(result, last > i ? "%d-%d" : "%d", i, last);
		separator = ",";
		i = last;
	}
}

/*
 * Writes into `result`, which has room for CRON_COVER_LEN characters, an
 * expression that a cron with the clock of zone `other` fires at each instant
 * at which a schedule, read in a zone, is due; where the seconds of the zones
 * differ, at the next full minute.  That holds for the time from `from` until
 * `until`, and as long after as the zones change their offsets as in it.
 */
void
cron_cover(const CronSchedule *schedule, const pg_tz *tz, const pg_tz *other, TimestampTz from,
		   TimestampTz until, char *result)
{
	Cover		cover = collect(schedule, tz, other, from, until);
	bool		each_day = (schedule->days == ALL_DAYS);
	bool		either = !schedule->any_day && !schedule->any_weekday;
	uint64		days = ALL_DAYS;
	uint64		months = ALL_MONTHS;
	uint64		weekdays = ALL_WEEKDAYS;

	if (cover.days_apart == 1 << MAX_DAYS_APART)
	{
		months = schedule->months;
		if (!either)
			days = schedule->days;
	}
	if (each_day && !either)
		weekdays = move_weekdays(&cover, schedule->weekdays);

	result[0] = '\0';
	append_field(result, cover.minutes, 0, 59);
	append_field(result, cover.hours, 0, 23);
	append_field(result, days, 1, 31);
	append_field(result, months, 1, 12);
	append_field(result, weekdays, 0, 6);
}
