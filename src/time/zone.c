/*-------------------------------------------------------------------------
 *
 * zone.c
 *	  Time zones and calendar days: between instants and local clocks.
 *
 * A local clock mostly runs along, but where the zone's offset changes it
 * leaps: forward, and then readings are skipped, or back, and then readings
 * occur twice.  So "the instant at which the clock reads b" can be none or
 * several, and each user of the word has to say which one it means.  There
 * are two that always exist, and both grow with b:
 *
 *	zone_settles(b)	 the end of the last instant that reads less than b:
 *					 from there on the clock never reads less than b again.
 *					 Bucket bounds are these.
 *	zone_reaches(b)	 the first instant that reads b or more.  Wall-clock
 *					 schedules fire at these.
 *
 * On an ordinary day both are the instant that reads b.  Where b is skipped
 * both are the first instant after the gap.  Where b occurs twice, they are
 * the second and the first of the two.  Each has its inverse, by which a
 * caller gets from an instant back to readings:
 *
 *	zone_settles(b) <= t	if and only if	b <= zone_lowest_since(t)
 *	zone_reaches(b) >= t	if and only if	b >= zone_passed_before(t)
 *
 * All four look at the few stretches of constant offset around the instant.
 * No offset exceeds ZONE_MAX_OFFSET, so nothing further away than twice that
 * can matter.  The stretches come from PostgreSQL's own time zone library,
 * so they are those that its functions use.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "time/zone.h"

/* Seconds between the Unix epoch and PostgreSQL's. */
#define EPOCH_SECONDS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

/* The last second, in Unix time, whose microseconds we care to represent. */
#define LAST_SECOND (END_TIMESTAMP / USECS_PER_SEC + EPOCH_SECONDS)

/* Days just outside the range of timestamps: bounds may fall on these. */
#define FIRST_DAY (MIN_TIMESTAMP / USECS_PER_DAY - 2)
#define LAST_DAY (END_TIMESTAMP / USECS_PER_DAY + 2)

/*
 * Looks a time zone up by name, as SET timezone does: IANA names in any case,
 * and POSIX specifications.  Returns NULL and sets *result, or says what is
 * wrong, in a sentence for errdetail().
 */
const char *
zone_parse(const char *name, pg_tz **result)
{
	pg_tz	   *tz;

	if (name[0] == '\0' || strlen(name) > TZ_STRLEN_MAX)
		return "A time zone is named as in the view pg_timezone_names, such as Europe/Paris.";
	tz = pg_tzset(name);
	if (tz == NULL)
		return "There is no such time zone in the view pg_timezone_names.";
	if (!pg_tz_acceptable(tz))
		return "The time zone uses leap seconds, which PostgreSQL does not support.";
	*result = tz;
	return NULL;
}

/*
 * The stretch that holds t: its offset, and where it ends.
 *
 * The time zone library takes the very last transition of its table for the
 * last of all, even where the zone's rule goes on for ever, if asked at that
 * second; a second later it knows better.
 */
ZoneStretch
zone_stretch(const pg_tz *tz, TimestampTz t)
{
	pg_time_t	second = floor_div(t, USECS_PER_SEC) + EPOCH_SECONDS;
	pg_time_t	boundary = 0;
	long		offset = 0;
	long		offset_after;
	int			isdst;
	ZoneStretch stretch;
	int			found;

	found = pg_next_dst_boundary(&second, &offset, &isdst,
								 &boundary, &offset_after, &isdst, tz);
	if (found == 0)
	{
		second++;
		found = pg_next_dst_boundary(&second, &offset, &isdst,
									 &boundary, &offset_after, &isdst, tz);
	}

	stretch.offset = (int64) offset * USECS_PER_SEC;
	if (found > 0 && boundary <= LAST_SECOND)
		stretch.end = (boundary - EPOCH_SECONDS) * USECS_PER_SEC;
	else
		stretch.end = PG_INT64_MAX;
	return stretch;
}

/*
 * The least or the greatest offset in force around t, an instant or a reading;
 * of an infinite one 0.
 */
static int64
offset_near(const pg_tz *tz, int64 t, bool greatest)
{
	ZoneStretch stretch;
	int64		result;

	if (TIMESTAMP_NOT_FINITE(t))
		return 0;
	stretch = zone_stretch(tz, t - 2 * ZONE_MAX_OFFSET);
	result = stretch.offset;
	while (stretch.end < t + 2 * ZONE_MAX_OFFSET)
	{
		stretch = zone_stretch(tz, stretch.end);
		result = greatest ? Max(result, stretch.offset) : Min(result, stretch.offset);
	}
	return result;
}

/*
 * Bounds of the readings that can be taken for instants, and of the instants
 * that readings can be taken for, those in gaps and repetitions of the local
 * clock included.  Infinite times stay what they are.
 */
Timestamp
zone_lowest_reading(const pg_tz *tz, TimestampTz t)
{
	return t + offset_near(tz, t, false);
}

Timestamp
zone_highest_reading(const pg_tz *tz, TimestampTz t)
{
	return t + offset_near(tz, t, true);
}

TimestampTz
zone_earliest(const pg_tz *tz, Timestamp local)
{
	return local - offset_near(tz, local, true);
}

TimestampTz
zone_latest(const pg_tz *tz, Timestamp local)
{
	return local - offset_near(tz, local, false);
}

/*
 * The lowest reading of the local clock from instant t on.  It is less than
 * the reading at t where the clock is about to be put back.
 */
Timestamp
zone_lowest_since(const pg_tz *tz, TimestampTz t)
{
	ZoneStretch stretch = zone_stretch(tz, t);
	Timestamp	lowest = t + stretch.offset;

	while (stretch.end < t + 2 * ZONE_MAX_OFFSET)
	{
		TimestampTz start = stretch.end;

		stretch = zone_stretch(tz, start);
		lowest = Min(lowest, start + stretch.offset);
	}
	return lowest;
}

/*
 * The lowest reading that the local clock had not reached before instant t:
 * all lower ones are behind us, even where the clock was put back since.
 */
Timestamp
zone_passed_before(const pg_tz *tz, TimestampTz t)
{
	ZoneStretch stretch = zone_stretch(tz, t - 2 * ZONE_MAX_OFFSET);
	Timestamp	passed = PG_INT64_MIN;

	while (stretch.end < t)
	{
		passed = Max(passed, stretch.end + stretch.offset);
		stretch = zone_stretch(tz, stretch.end);
	}
	return Max(passed, t + stretch.offset);
}

/*
 * The instant from which on the local clock never reads less than `local`.
 */
TimestampTz
zone_settles(const pg_tz *tz, Timestamp local)
{
	TimestampTz start = local - ZONE_MAX_OFFSET;
	TimestampTz settles = start;

	while (start < local + ZONE_MAX_OFFSET)
	{
		ZoneStretch stretch = zone_stretch(tz, start);

		if (start + stretch.offset < local)
			settles = Min(stretch.end, local - stretch.offset);
		start = stretch.end;
	}
	return settles;
}

/*
 * The first instant at which the local clock reads `local` or more.
 */
TimestampTz
zone_reaches(const pg_tz *tz, Timestamp local)
{
	TimestampTz start = local - ZONE_MAX_OFFSET;
	ZoneStretch stretch = zone_stretch(tz, start);

	while (stretch.end <= local - stretch.offset)
	{
		start = stretch.end;
		stretch = zone_stretch(tz, start);
	}
	return Max(start, local - stretch.offset);
}

/*
 * The first day of a month, in the proleptic Gregorian calendar.
 */
int64
month_first_day(int64 month)
{
	static const int16 days_before[12] =
	{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	int64		year = floor_div(month, 12);
	int			in_year = (int) floor_mod(month, 12);
	int64		leap_days;

	/* Leap years from 2000 up to, and without, this one. */
	leap_days = floor_div(year + 3, 4) - floor_div(year + 99, 100) + floor_div(year + 399, 400);

	/* This year's own leap day counts from March on. */
	if (in_year >= 2 &&
		floor_mod(year, 4) == 0 && (floor_mod(year, 100) != 0 || floor_mod(year, 400) == 0))
		leap_days++;

	return year * 365 + leap_days + days_before[in_year];
}

/*
 * The month that holds a day.
 */
int64
month_of_day(int64 day)
{
	/* 4800 months are 146097 days, so this is off by one at most. */
	int64		month = floor_div(day * 4800, 146097);

	if (month_first_day(month) > day)
		return month - 1;
	if (month_first_day(month + 1) <= day)
		return month + 1;
	return month;
}

/*
 * The reading at the start of a day.  Days far out of the range of timestamps
 * are taken for ones just outside, so that what follows cannot overflow.
 */
Timestamp
day_start(int64 day)
{
	return Max(FIRST_DAY, Min(LAST_DAY, day)) * USECS_PER_DAY;
}
