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
 * That library takes more for a zone than has a name: what it does not know is
 * read as POSIX has it, where Foo5 and UTC+5 are five hours west.  Nobody who
 * writes them means that, and a misspelt name would be a zone; so only names
 * that stand for a set of rules are taken.
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

/* Zones have rules from 1800 on, and from 2038 on repeat after 400 years. */
#define FIRST_RULES_MONTH (-200 * MONTHS_PER_YEAR)
#define LAST_RULES_MONTH (450 * MONTHS_PER_YEAR)

/* Days just outside the range of timestamps: bounds may fall on these. */
#define FIRST_DAY (MIN_TIMESTAMP / USECS_PER_DAY - 2)
#define LAST_DAY (END_TIMESTAMP / USECS_PER_DAY + 2)

/* Zones that were looked at; the library keeps a zone's rules for the whole process. */
#define KNOWN_ZONES 64

typedef struct KnownZone
{
	const pg_tz *tz;
	const char *problem;		/* why it is not taken; NULL: it is */
	uint64		digest;			/* of its rules */
} KnownZone;

static struct
{
	KnownZone	zones[KNOWN_ZONES];
	int			used;
	int			next;			/* to be given up for another */
}			known;

/* Is a zone among those that pg_timezone_names lists?  Reads the rules of all of them. */
static bool
zone_is_listed(const pg_tz *tz)
{
	const char *name = pg_get_timezone_name(unconstify(pg_tz *, tz));
	pg_tzenum  *all = pg_tzenumerate_start();
	pg_tz	   *listed;
	bool		found = false;

	while (!found && (listed = pg_tzenumerate_next(all)) != NULL)
		found = pg_strcasecmp(pg_get_timezone_name(listed), name) == 0;
	pg_tzenumerate_end(all);
	return found;
}

/* Adds a number to a digest. */
static uint64
digest_number(uint64 digest, int64 number)
{
	digest = (digest ^ (uint64) number) * UINT64CONST(0x9E3779B97F4A7C15);
	return digest ^ (digest >> 32);
}

/*
 * Sets the digest of a zone's rules: of when its offset becomes which, since there
 * are clocks and for as long as rules are written down.  Returns false where an
 * offset is too large.
 */
static bool
digest_rules(const pg_tz *tz, uint64 *digest)
{
	TimestampTz t = day_start(month_first_day(FIRST_RULES_MONTH));
	int64		before = PG_INT64_MAX;

	*digest = 0;
	while (t < day_start(month_first_day(LAST_RULES_MONTH)))
	{
		ZoneStretch stretch = zone_stretch(tz, t);

		if (stretch.offset >= ZONE_MAX_OFFSET || stretch.offset <= -ZONE_MAX_OFFSET)
			return false;
		if (stretch.offset != before)
			*digest = digest_number(digest_number(*digest, t), stretch.offset);
		before = stretch.offset;
		t = stretch.end;
	}
	return true;
}

/* What is wrong with a zone, in a sentence for errdetail(), or NULL; sets its digest. */
static const char *
zone_problem(const pg_tz *tz, uint64 *digest)
{
	*digest = 0;
	if (!pg_tz_acceptable(unconstify(pg_tz *, tz)))
		return "The time zone uses leap seconds, which PostgreSQL does not support.";

	/* Names without a digit are no specification, and need not be looked for. */
	if (strpbrk(pg_get_timezone_name(unconstify(pg_tz *, tz)), "0123456789") != NULL &&
		!zone_is_listed(tz))
		return "There is no such time zone in the view pg_timezone_names, and POSIX "
			"specifications of time zones are not taken.";
	if (!digest_rules(tz, digest))
		return "The time zone is 16 hours or more from UTC.";
	return NULL;
}

/* What is known of a zone, found out once. */
static const KnownZone *
zone_known(const pg_tz *tz)
{
	KnownZone  *zone;

	for (int i = 0; i < known.used; i++)
		if (known.zones[i].tz == tz)
			return &known.zones[i];
	zone = &known.zones[known.next];
	zone->problem = zone_problem(tz, &zone->digest);
	zone->tz = tz;
	known.next = (known.next + 1) % KNOWN_ZONES;
	known.used = Min(known.used + 1, KNOWN_ZONES);
	return zone;
}

/*
 * Looks a time zone up by name, one of those in pg_timezone_names, in any case.
 * Returns NULL and sets *result, or says what is wrong, in a sentence for
 * errdetail().  ERROR where there is not enough memory to load it.
 */
const char *
zone_parse(const char *name, pg_tz **result)
{
	pg_tz	   *tz;
	const char *problem;

	if (name[0] == '\0' || strlen(name) > TZ_STRLEN_MAX)
		return "A time zone is named as in the view pg_timezone_names, such as Europe/Paris.";
	errno = 0;
	tz = pg_tzset(name);
	if (tz == NULL && errno == ENOMEM)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed to load time zone \"%s\".", name)));
	if (tz == NULL)
		return "There is no such time zone in the view pg_timezone_names.";
	problem = zone_known(tz)->problem;
	if (problem == NULL)
		*result = tz;
	return problem;
}

/*
 * A digest of a zone's rules: another one where the server's rules have changed.
 */
uint64
zone_digest(const pg_tz *tz)
{
	return zone_known(tz)->digest;
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
