/*-------------------------------------------------------------------------
 *
 * test_time.c
 *	  Unit tests of src/time: granularities, buckets, caches, cron, events.
 *
 * Buckets and schedules are compared with sweeps: the test walks through a
 * zone's time minute by minute, keeps what the local clock reads, and derives
 * from the definitions in bucket.c and cron.c, taken literally, where buckets
 * begin and when schedules fire.  The zones are made up, after real ones that
 * are hard in different ways (zone_shim.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "shim.h"
#include "time/bucket.h"
#include "time/event.h"
#include "time/zone.h"
#include "zone_shim.h"

#define HOUR 3600
#define DAY 86400

/* Seconds between the Unix epoch and PostgreSQL's. */
#define EPOCH INT64CONST(946684800)

#define INSTANT(unix_time) (((int64) (unix_time) - EPOCH) * USECS_PER_SEC)

/* ------------------------------------------------------------------------
 * Tools
 * ------------------------------------------------------------------------
 */

/* Midnight UTC of the n-th Sunday of a month; of the last one if n is 5. */
static pg_time_t
sunday(int year, int month, int n)
{
	pg_time_t	t = utc(year, month, n == 5 ? 31 : 7 * n, 0, 0);

	/* 1970-01-04 was a Sunday. */
	return t - floor_mod(t - 3 * DAY, 7 * DAY);
}

static const char *
show(TimestampTz t)
{
	static char buffers[4][64];
	static int	next = 0;
	char	   *buffer = buffers[next++ % 4];
	time_t		seconds = floor_div(t, USECS_PER_SEC) + EPOCH;
	struct tm	tm;

	gmtime_r(&seconds, &tm);
	snprintf(buffer, 64, "%d-%02d-%02d %02d:%02d:%02d.%06d", tm.tm_year + 1900, tm.tm_mon + 1,
			 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			 (int) floor_mod(t, USECS_PER_SEC));
	return buffer;
}

static Granularity
granularity(const char *text)
{
	Granularity g;

	if (granularity_parse(text, &g) != NULL)
		abort();
	return g;
}

/* ------------------------------------------------------------------------
 * Zones
 * ------------------------------------------------------------------------
 */

typedef struct TestZone
{
	const char *name;
	pg_tz	   *tz;
	pg_time_t	sweep_from;		/* what to sweep: some bounds and changes */
	pg_time_t	sweep_to;
	int			step;			/* seconds; all offsets are multiples of it */
} TestZone;

#define MAX_ZONES 16

static TestZone zones[MAX_ZONES];
static int	nzones = 0;

static pg_tz *
add_zone(const char *name, int offset, pg_time_t sweep_from, pg_time_t sweep_to, int step)
{
	TestZone   *zone = &zones[nzones++];

	zone->name = name;
	zone->tz = zone_shim_new(name, offset);
	zone->sweep_from = sweep_from;
	zone->sweep_to = sweep_to;
	zone->step = step;
	return zone->tz;
}

/*
 * A zone with summer time: forward by `shift` on the n-th Sunday of `month` at
 * `forward_at` seconds UTC from its midnight, back likewise.
 */
static void
add_summer_zone(const char *name, int offset, int shift,
				int forward_month, int forward_n, int forward_at,
				int back_month, int back_n, int back_at)
{
	pg_tz	   *tz = add_zone(name, offset, utc(2010, 9, 1, 0, 0), utc(2011, 12, 15, 0, 0), 60);

	for (int year = 1970; year <= 2040; year++)
	{
		pg_time_t	forward = sunday(year, forward_month, forward_n) + forward_at;
		pg_time_t	back = sunday(year, back_month, back_n) + back_at;

		if (forward < back)
			zone_shim_change(tz, forward, offset + shift);
		zone_shim_change(tz, back, offset);
		if (forward > back)
			zone_shim_change(tz, forward, offset + shift);
	}
}

static void
make_zones(void)
{
	pg_tz	   *tz;
	pg_time_t	at;

	add_zone("always UTC", 0, utc(2011, 1, 1, 0, 0), utc(2011, 4, 1, 0, 0), 60);
	add_summer_zone("an hour at 2:00, as in New York", -5 * HOUR, HOUR,
					3, 2, 7 * HOUR, 11, 1, 6 * HOUR);
	add_summer_zone("half an hour, as on Lord Howe", 10 * HOUR + 1800, 1800,
					10, 1, -DAY + 15 * HOUR + 1800, 4, 1, -DAY + 15 * HOUR);
	add_summer_zone("at midnight, back to 23:00, as in Beirut", 2 * HOUR, HOUR,
					3, 5, -2 * HOUR, 10, 5, -3 * HOUR);
	add_summer_zone("at midnight, back to midnight, as in Havana", -5 * HOUR, HOUR,
					3, 2, 5 * HOUR, 11, 1, 5 * HOUR);
	add_summer_zone("back from 0:30 to 23:30", HOUR, HOUR,
					3, 5, HOUR, 10, 5, -DAY + 22 * HOUR + 1800);

	tz = add_zone("a day skipped, as in Samoa", -11 * HOUR,
				  utc(2011, 9, 1, 0, 0), utc(2012, 6, 1, 0, 0), 60);
	zone_shim_change(tz, utc(2011, 12, 30, 11, 0), 13 * HOUR);

	tz = add_zone("a day twice, as in Manila", 13 * HOUR + 52 * 60,
				  utc(2011, 9, 1, 0, 0), utc(2012, 6, 1, 0, 0), 60);
	zone_shim_change(tz, utc(2011, 12, 31, 3, 0), -10 * HOUR - 8 * 60);

	tz = add_zone("changes without summer time, as in Caracas", -4 * HOUR,
				  utc(2007, 10, 1, 0, 0), utc(2008, 3, 1, 0, 0), 60);
	zone_shim_change(tz, utc(2007, 12, 9, 7, 0), -4 * HOUR - 1800);
	zone_shim_change(tz, utc(2008, 1, 17, 7, 17), -4 * HOUR - 1800);	/* no change */
	zone_shim_change(tz, utc(2016, 5, 1, 7, 0), -4 * HOUR);

	tz = add_zone("local mean time, as in Paris", 561,
				  utc(1911, 3, 8, 0, 0), utc(1911, 3, 14, 0, 0), 3);
	zone_shim_change(tz, utc(1911, 3, 10, 23, 50) + 39, 0);

	tz = add_zone("chaos", 0, utc(2011, 3, 1, 0, 0), utc(2011, 5, 1, 0, 0), 60);
	at = utc(2011, 3, 1, 0, 0);
	while (at < utc(2011, 6, 1, 0, 0))
	{
		at += 60 * (random_bits() % 3 == 0 ? random_between(1, 90) : random_between(1, 3000));
		zone_shim_change(tz, at, 900 * (int) random_between(-60, 61));
	}
}

/* A random instant: half of the time within two days of a change. */
static TimestampTz
random_instant(const pg_tz *tz)
{
	int			n = zone_shim_changes(tz);
	pg_time_t	at;

	if (n > 0 && random_bits() % 2 == 0)
		at = zone_shim_change_at(tz, (int) random_between(0, n)) +
			random_between(-2 * DAY, 2 * DAY);
	else
		at = random_between(utc(1800, 1, 1, 0, 0), utc(2200, 1, 1, 0, 0));
	if (random_bits() % 4 == 0)
		at -= floor_mod(at, 900);
	return INSTANT(at) + (random_bits() % 2 == 0 ? random_between(0, USECS_PER_SEC) : 0);
}

/* ------------------------------------------------------------------------
 * Granularities
 * ------------------------------------------------------------------------
 */

static void
test_granularity_text(void)
{
	static const struct
	{
		const char *text;
		const char *canonical;	/* NULL: refused */
		const char *infix;
		BucketKind	kind;
		int			width;
	}			cases[] =
	{
		{"1-minute", "1-minute", "minute", BUCKET_CLOCK, 1},
		{"15-minute", "15-minute", "15minute", BUCKET_CLOCK, 15},
		{"15 minutes", "15-minute", "15minute", BUCKET_CLOCK, 15},
		{"7-minute", "7-minute", "7minute", BUCKET_ELAPSED, 7},
		{"45-minute", "45-minute", "45minute", BUCKET_ELAPSED, 45},
		{"60-minute", "60-minute", "60minute", BUCKET_CLOCK, 60},
		{"90-minute", "90-minute", "90minute", BUCKET_DAYPART, 90},
		{"hour", "1-hour", "hour", BUCKET_CLOCK, 60},
		{"1-hour", "1-hour", "hour", BUCKET_CLOCK, 60},
		{"  1 - Hours ", "1-hour", "hour", BUCKET_CLOCK, 60},
		{"4-hour", "4-hour", "4hour", BUCKET_DAYPART, 240},
		{"5-hour", "5-hour", "5hour", BUCKET_ELAPSED, 300},
		{"24-hour", "24-hour", "24hour", BUCKET_DAYPART, 1440},
		{"36-hour", "36-hour", "36hour", BUCKET_ELAPSED, 2160},
		{"DAY", "1-day", "day", BUCKET_DAYS, 1},
		{"3days", "3-day", "3day", BUCKET_DAYS, 3},
		{"2-week", "2-week", "2week", BUCKET_DAYS, 14},
		{"1-month", "1-month", "month", BUCKET_MONTHS, 1},
		{"1-quarter", "1-quarter", "quarter", BUCKET_MONTHS, 3},
		{"Quarters", "1-quarter", "quarter", BUCKET_MONTHS, 3},
		{"010-year", "10-year", "10year", BUCKET_MONTHS, 120},
		{"10000-year", "10000-year", "10000year", BUCKET_MONTHS, 120000},
		{"", NULL, NULL, 0, 0},
		{"  ", NULL, NULL, 0, 0},
		{"1", NULL, NULL, 0, 0},
		{"1-", NULL, NULL, 0, 0},
		{"-hour", NULL, NULL, 0, 0},
		{"0-hour", NULL, NULL, 0, 0},
		{"-1-hour", NULL, NULL, 0, 0},
		{"1--hour", NULL, NULL, 0, 0},
		{"1.5-hour", NULL, NULL, 0, 0},
		{"10001-minute", NULL, NULL, 0, 0},
		{"99999999999999999999-day", NULL, NULL, 0, 0},
		{"1-hourss", NULL, NULL, 0, 0},
		{"1-hou", NULL, NULL, 0, 0},
		{"1-fortnight", NULL, NULL, 0, 0},
		{"1-hour; drop", NULL, NULL, 0, 0},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		Granularity g;
		char		canonical[GRANULARITY_TEXT_LEN];
		char		infix[GRANULARITY_TEXT_LEN];
		const char *problem = granularity_parse(cases[i].text, &g);

		if (cases[i].canonical == NULL)
		{
			tap_ok(problem != NULL, "granularity \"%s\" is refused", cases[i].text);
			continue;
		}
		if (problem == NULL)
		{
			granularity_format(&g, canonical);
			granularity_result_infix(&g, infix);
		}
		tap_ok(problem == NULL && strcmp(canonical, cases[i].canonical) == 0 &&
			   strcmp(infix, cases[i].infix) == 0 &&
			   g.kind == cases[i].kind && g.width == cases[i].width,
			   "granularity \"%s\" is %s", cases[i].text, cases[i].canonical);
	}
}

/* ------------------------------------------------------------------------
 * Calendar
 * ------------------------------------------------------------------------
 */

static void
test_calendar(void)
{
	int64		wrong = 0;

	/* A whole cycle of the Gregorian calendar, and the ends of our range. */
	for (int64 day = -200000; day < 200000; day++)
	{
		time_t		t = EPOCH + day * DAY;
		struct tm	tm;
		int64		month;

		gmtime_r(&t, &tm);
		month = (tm.tm_year - 100) * 12 + tm.tm_mon;
		if (month_of_day(day) != month || month_first_day(month) != day - tm.tm_mday + 1)
			wrong++;
	}
	for (int64 day = -2451600; day < 106760000; day += 997)
	{
		int64		month = month_of_day(day);

		if (month_first_day(month) > day || month_first_day(month + 1) <= day)
			wrong++;
	}
	tap_ok(wrong == 0, "days and months agree with the C library's calendar");
}

/* ------------------------------------------------------------------------
 * Buckets
 * ------------------------------------------------------------------------
 */

static const char *const swept[] = {
	"1-minute", "5-minute", "15-minute", "30-minute", "1-hour",
	"90-minute", "2-hour", "4-hour", "6-hour", "12-hour", "24-hour",
	"7-minute", "45-minute", "5-hour", "36-hour",
	"1-day", "2-day", "3-day", "1-week", "2-week",
	"1-month", "1-quarter", "1-year", "10-year",
};

/* What a sweep finds at each of its steps, in Unix time or a local likeness. */
typedef struct Sweep
{
	pg_time_t	from;
	int			step;
	int			n;
	int64	   *reading;		/* of the local clock */
	int64	   *lowest;			/* lowest reading from here on */
	int64	   *start;			/* start of the bucket */
} Sweep;

static Sweep
sweep_clock(const TestZone *zone)
{
	Sweep		sweep;

	sweep.from = zone->sweep_from;
	sweep.step = zone->step;
	sweep.n = (int) ((zone->sweep_to - zone->sweep_from) / zone->step);
	sweep.reading = palloc(sizeof(int64) * sweep.n);
	sweep.lowest = palloc(sizeof(int64) * sweep.n);
	sweep.start = palloc(sizeof(int64) * sweep.n);

	for (int i = 0; i < sweep.n; i++)
	{
		pg_time_t	t = sweep.from + (int64) i * sweep.step;

		sweep.reading[i] = t + zone_shim_offset(zone->tz, t);
	}
	for (int i = sweep.n - 1; i >= 0; i--)
	{
		sweep.lowest[i] = sweep.reading[i];
		if (i + 1 < sweep.n)
			sweep.lowest[i] = Min(sweep.lowest[i], sweep.lowest[i + 1]);
	}
	return sweep;
}

static void
sweep_free(Sweep *sweep)
{
	pfree(sweep->reading);
	pfree(sweep->lowest);
	pfree(sweep->start);
}

/* The number of the bucket that a reading belongs to; not for ELAPSED. */
static int64
bucket_number(const Granularity *g, int64 reading)
{
	time_t		t = reading;
	struct tm	tm;

	switch (g->kind)
	{
		case BUCKET_DAYS:
			return floor_div(reading - utc(2000, 1, 3, 0, 0), (int64) g->width * DAY);
		case BUCKET_MONTHS:
			gmtime_r(&t, &tm);
			return floor_div((tm.tm_year - 100) * 12 + tm.tm_mon, g->width);
		default:
			return floor_div(reading, (int64) g->width * 60);
	}
}

/* Where the buckets of a granularity begin; PG_INT64_MIN: before the sweep. */
static void
sweep_buckets(Sweep *sweep, const TestZone *zone, const Granularity *g)
{
	int64		width = (int64) g->width * 60;
	pg_time_t	origin = utc(2000, 1, 3, 0, 0);

	origin -= zone_shim_offset(zone->tz, origin);
	sweep->start[0] = PG_INT64_MIN;
	for (int i = 1; i < sweep->n; i++)
	{
		pg_time_t	t = sweep->from + (int64) i * sweep->step;
		bool		begins;

		switch (g->kind)
		{
			case BUCKET_CLOCK:
				begins = sweep->reading[i] % width == 0 ||
					sweep->reading[i] - sweep->reading[i - 1] != sweep->step;
				break;
			case BUCKET_ELAPSED:
				begins = (t - origin) % width == 0;
				break;
			default:
				begins = bucket_number(g, sweep->lowest[i]) !=
					bucket_number(g, sweep->lowest[i - 1]);
				break;
		}
		sweep->start[i] = begins ? t : sweep->start[i - 1];
	}
}

/* Whether a step of a sweep is near a change of the offset. */
static bool
near_change(const Sweep *sweep, int i)
{
	int			distance = 3 * HOUR / sweep->step;
	int			low = Max(i - distance, 0);
	int			high = Min(i + distance, sweep->n - 1);

	return sweep->reading[high] - sweep->reading[low] != (int64) (high - low) * sweep->step;
}

static void
test_bucket_sweeps(void)
{
	for (int z = 0; z < nzones; z++)
	{
		TestZone   *zone = &zones[z];
		Sweep		sweep = sweep_clock(zone);

		for (int k = 0; k < lengthof(swept); k++)
		{
			Granularity g = granularity(swept[k]);
			int			margin = 2 * DAY / zone->step;	/* lowest is not known there */
			int64		compared = 0;
			int64		wrong = 0;

			sweep_buckets(&sweep, zone, &g);
			for (int i = margin; i < sweep.n - margin; i++)
			{
				TimestampTz t = INSTANT(sweep.from + (int64) i * sweep.step);
				TimestampTz expected = INSTANT(sweep.start[i]);
				bool		begins = sweep.start[i] != sweep.start[i - 1];

				if (sweep.start[i] == PG_INT64_MIN || sweep.start[i - 1] == PG_INT64_MIN)
					continue;
				if (!begins && i % 101 != 0 && !near_change(&sweep, i))
					continue;
				if (bucket_start(&g, zone->tz, t) != expected ||
					bucket_start(&g, zone->tz, t + random_between(0, zone->step * USECS_PER_SEC)) !=
					expected)
				{
					if (wrong++ == 0)
						tap_note("at %s: %s instead of %s", show(t),
								 show(bucket_start(&g, zone->tz, t)), show(expected));
				}
				if (begins && bucket_end(&g, zone->tz, INSTANT(sweep.start[i - 1])) != expected)
				{
					if (wrong++ == 0)
						tap_note("end of %s: %s instead of %s", show(INSTANT(sweep.start[i - 1])),
								 show(bucket_end(&g, zone->tz, INSTANT(sweep.start[i - 1]))),
								 show(expected));
				}
				compared++;
			}
			tap_ok(wrong == 0, "%s, %s: %ld of %ld instants differ from the sweep",
				   zone->name, swept[k], (long) wrong, (long) compared);
		}
		sweep_free(&sweep);
	}
}

/* What holds for every bucket, anywhere. */
static bool
bucket_is_sound(const Granularity *g, const pg_tz *tz, TimestampTz t)
{
	TimestampTz start = bucket_start(g, tz, t);
	TimestampTz end = bucket_end(g, tz, start);

	if (!(MIN_TIMESTAMP <= start && start <= t && t < end && end <= END_TIMESTAMP))
		return false;
	if (bucket_start(g, tz, start) != start || bucket_start(g, tz, end - 1) != start)
		return false;
	return end == END_TIMESTAMP || bucket_start(g, tz, end) == end;
}

static void
test_bucket_invariants(void)
{
	static const char *const widest[] = {"10000-minute", "10000-hour", "10000-day", "10000-week",
	"10000-month", "10000-quarter", "10000-year", "4000-year", "1440-minute"};
	static const TimestampTz ends[] = {MIN_TIMESTAMP, MIN_TIMESTAMP + 1,
		MIN_TIMESTAMP + 3 * USECS_PER_DAY, END_TIMESTAMP - 1, END_TIMESTAMP - 2,
	END_TIMESTAMP - 3 * USECS_PER_DAY, 0, -1};

	for (int z = 0; z < nzones; z++)
	{
		const pg_tz *tz = zones[z].tz;
		int64		wrong = 0;
		int64		wrong_at_ends = 0;

		for (int k = 0; k < lengthof(swept) + lengthof(widest); k++)
		{
			Granularity g = granularity(k < lengthof(swept) ? swept[k] :
										widest[k - lengthof(swept)]);

			for (int i = 0; i < 3000; i++)
				wrong += !bucket_is_sound(&g, tz, random_instant(tz));
			for (int i = 0; i < lengthof(ends); i++)
				wrong_at_ends += !bucket_is_sound(&g, tz, ends[i]);
			for (int i = 0; i < 200; i++)
				wrong_at_ends += !bucket_is_sound(&g, tz,
												  random_between(MIN_TIMESTAMP, END_TIMESTAMP));
		}
		tap_ok(wrong == 0, "%s: buckets partition time", zones[z].name);
		tap_ok(wrong_at_ends == 0, "%s: and up to the ends of time", zones[z].name);
	}
}

/* Where granularities nest, coarse buckets are unions of fine ones. */
static void
test_nesting(void)
{
	static const char *const all[] = {
		"1-minute", "2-minute", "3-minute", "4-minute", "5-minute", "6-minute", "10-minute",
		"12-minute", "15-minute", "20-minute", "30-minute", "60-minute",
		"72-minute", "80-minute", "90-minute", "96-minute", "144-minute", "2-hour", "3-hour",
		"4-hour", "6-hour", "8-hour", "12-hour", "24-hour",
		"7-minute", "14-minute", "45-minute", "5-hour", "10-hour", "36-hour",
		"1-day", "2-day", "3-day", "4-day", "6-day", "1-week", "2-week",
		"1-month", "2-month", "1-quarter", "4-month", "6-month", "1-year", "10-year",
	};
	static const struct
	{
		const char *fine;
		const char *coarse;
		bool		nests;
	}			cases[] =
	{
		{"15-minute", "1-hour", true}, {"15-minute", "90-minute", true},
		{"1-hour", "90-minute", false}, {"20-minute", "90-minute", false},
		{"5-minute", "144-minute", false}, {"4-minute", "144-minute", true},
		{"1-hour", "4-hour", true}, {"1-hour", "1-day", true}, {"1-hour", "1-month", true},
		{"20-minute", "1-day", true}, {"4-hour", "6-hour", false}, {"4-hour", "12-hour", true},
		{"4-hour", "1-week", true}, {"90-minute", "1-month", true}, {"1-day", "1-week", true},
		{"1-day", "1-month", true}, {"1-week", "1-month", false}, {"1-week", "2-week", true},
		{"2-day", "1-month", false}, {"2-day", "1-week", false}, {"1-month", "1-quarter", true},
		{"1-quarter", "1-year", true}, {"2-month", "1-quarter", false},
		{"1-hour", "5-hour", false}, {"1-minute", "7-minute", false},
		{"5-hour", "10-hour", true}, {"5-hour", "1-day", false}, {"1-day", "1-hour", false},
		{"1-hour", "15-minute", false}, {"1-hour", "1-hour", true},
	};
	int			npairs = 0;
	int64		wrong = 0;

	for (int i = 0; i < lengthof(cases); i++)
	{
		Granularity fine = granularity(cases[i].fine);
		Granularity coarse = granularity(cases[i].coarse);

		tap_ok(granularity_nests(&fine, &coarse) == cases[i].nests, "%s %s into %s",
			   cases[i].fine, cases[i].nests ? "merges" : "does not merge", cases[i].coarse);
	}

	for (int f = 0; f < lengthof(all); f++)
	{
		for (int c = 0; c < lengthof(all); c++)
		{
			Granularity fine = granularity(all[f]);
			Granularity coarse = granularity(all[c]);

			if (!granularity_nests(&fine, &coarse))
				continue;
			npairs++;
			for (int i = 0; i < 1500; i++)
			{
				const pg_tz *tz = zones[random_between(0, nzones)].tz;
				TimestampTz t = random_instant(tz);
				TimestampTz fine_start = bucket_start(&fine, tz, t);
				TimestampTz start = bucket_start(&coarse, tz, t);

				if (bucket_start(&coarse, tz, fine_start) != start ||
					bucket_end(&fine, tz, fine_start) > bucket_end(&coarse, tz, start))
				{
					if (wrong++ == 0)
						tap_note("%s into %s at %s", all[f], all[c], show(t));
				}
			}
		}
	}
	tap_ok(wrong == 0, "%d pairs of granularities that nest do so", npairs);
}

/* Some bounds that are easy to check by hand. */
static void
test_bucket_examples(void)
{
	static const struct
	{
		int			zone;
		const char *granularity;
		int			at[5];
		int			start[5];
		int			hours;		/* the bucket's length */
	}			cases[] =
	{
		/* New York: a day of 23 hours, one of 25, and the repeated hour. */
		{1, "1-day", {2011, 3, 13, 12, 0}, {2011, 3, 13, 5, 0}, 23},
		{1, "1-day", {2011, 11, 6, 12, 0}, {2011, 11, 6, 4, 0}, 25},
		{1, "1-hour", {2011, 11, 6, 5, 30}, {2011, 11, 6, 5, 0}, 1},
		{1, "1-hour", {2011, 11, 6, 6, 30}, {2011, 11, 6, 6, 0}, 1},
		{1, "2-hour", {2011, 11, 6, 6, 30}, {2011, 11, 6, 4, 0}, 3},
		{1, "4-hour", {2011, 3, 13, 6, 30}, {2011, 3, 13, 5, 0}, 3},
		{1, "1-week", {2011, 3, 13, 12, 0}, {2011, 3, 7, 5, 0}, 7 * 24 - 1},
		/* Beirut: the day begins at 1:00, as there is no midnight. */
		{3, "1-day", {2011, 3, 27, 12, 0}, {2011, 3, 26, 22, 0}, 23},
		/* ... and after its hour from 23:00 has occurred twice. */
		{3, "1-day", {2011, 10, 29, 21, 30}, {2011, 10, 28, 21, 0}, 25},
		/* Havana: the day begins at the first of two midnights. */
		{4, "1-day", {2011, 11, 6, 5, 30}, {2011, 11, 6, 4, 0}, 25},
		/* Put back from 0:30 to 23:30: the second midnight. */
		{5, "1-day", {2011, 10, 29, 22, 15}, {2011, 10, 28, 22, 0}, 25},
		/* Samoa: the 30th does not exist, so two days have one. */
		{6, "1-day", {2011, 12, 30, 9, 0}, {2011, 12, 29, 11, 0}, 24},
		{6, "1-day", {2011, 12, 30, 12, 0}, {2011, 12, 30, 11, 0}, 24},
		{6, "1-week", {2011, 12, 30, 12, 0}, {2011, 12, 26, 11, 0}, 6 * 24},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		const int  *at = cases[i].at;
		const int  *from = cases[i].start;
		Granularity g = granularity(cases[i].granularity);
		const pg_tz *tz = zones[cases[i].zone].tz;
		TimestampTz t = INSTANT(utc(at[0], at[1], at[2], at[3], at[4]));
		TimestampTz start = bucket_start(&g, tz, t);
		int64		hours = (bucket_end(&g, tz, start) - start) / USECS_PER_HOUR;

		tap_ok(start == INSTANT(utc(from[0], from[1], from[2], from[3], from[4])) &&
			   hours == cases[i].hours, "%s, %s at %s UTC begins at %s and has %d hours",
			   zones[cases[i].zone].name, cases[i].granularity, show(t), show(start), (int) hours);
	}
}

/* ------------------------------------------------------------------------
 * Caches
 * ------------------------------------------------------------------------
 */

static void
test_bucket_cache(void)
{
	BucketCache *cache = palloc(sizeof(BucketCache));

	for (int z = 0; z < nzones; z++)
	{
		const pg_tz *tz = zones[z].tz;
		int64		wrong = 0;

		for (int k = 0; k < lengthof(swept); k++)
		{
			Granularity g = granularity(swept[k]);
			TimestampTz t = INSTANT(zones[z].sweep_from);

			bucket_cache_init(cache, &g, tz);
			for (int i = 0; i < 30000; i++)
			{
				/* In turn: all over the centuries, in time order, at the ends. */
				TimestampTz at;

				if (i % 3 == 0)
					at = random_instant(tz);
				else if (i % 1000 == 1)
					at = random_bits() % 2 == 0 ?
						MIN_TIMESTAMP + random_between(0, 10 * USECS_PER_DAY) :
						END_TIMESTAMP - random_between(1, 10 * USECS_PER_DAY);
				else
					at = t += random_between(0, USECS_PER_HOUR / 2);
				wrong += bucket_cache_start(cache, at) != bucket_start(&g, tz, at);
			}
		}
		tap_ok(wrong == 0, "%s: cached buckets are those not cached", zones[z].name);
	}
	pfree(cache);
}

/* PostgreSQL's rule for AT TIME ZONE, as a fact about the zone's table. */
static TimestampTz
instant_of_local(const pg_tz *tz, Timestamp local)
{
	int64		reading = floor_div(local, USECS_PER_SEC) + EPOCH;
	pg_time_t	day_before = reading - DAY;

	for (int i = 0; i < zone_shim_changes(tz); i++)
	{
		pg_time_t	at = zone_shim_change_at(tz, i);

		if (at <= day_before)
			continue;
		if (reading < at + zone_shim_offset(tz, at))
			at--;
		return local - zone_shim_offset(tz, at) * USECS_PER_SEC;
	}
	return local - zone_shim_offset(tz, day_before) * USECS_PER_SEC;
}

static void
test_local_time(void)
{
	for (int z = 0; z < nzones; z++)
	{
		const pg_tz *tz = zones[z].tz;
		LocalCache	cache;
		Timestamp	rising = INSTANT(zones[z].sweep_from);
		Timestamp	falling = INSTANT(zones[z].sweep_to);
		int64		wrong = 0;
		int64		wrong_cached = 0;

		local_cache_init(&cache, tz);
		for (int i = 0; i < 60000; i++)
		{
			/* In turn: all over the centuries, in time order, against it. */
			Timestamp	local;
			TimestampTz expected;

			if (i / 100 % 3 == 0)
				local = random_instant(tz);
			else if (i / 100 % 3 == 1)
				local = rising += random_between(0, USECS_PER_HOUR / 2);
			else
				local = falling -= random_between(0, USECS_PER_HOUR / 2);

			expected = instant_of_local(tz, local);
			wrong += bucket_from_local(tz, local) != expected;
			wrong_cached += local_cache_instant(&cache, local) != expected;
		}
		tap_ok(wrong == 0, "%s: local times are read by PostgreSQL's rule", zones[z].name);
		tap_ok(wrong_cached == 0, "%s: and with the cache too", zones[z].name);
	}
	tap_ok(bucket_from_local(zones[1].tz, END_TIMESTAMP - 1) == END_TIMESTAMP - 1 &&
		   bucket_from_local(zones[2].tz, MIN_TIMESTAMP) == MIN_TIMESTAMP,
		   "local times whose instant is out of range");
}

static void
test_zone_parse(void)
{
	pg_tz	   *tz = NULL;

	tap_ok(zone_parse("test/zone", &tz) == NULL && tz != NULL, "a zone is found in any case");
	tap_ok(zone_parse("Nowhere/Land", &tz) != NULL, "an unknown zone is refused");
	tap_ok(zone_parse("", &tz) != NULL, "an empty zone is refused");
	tap_ok(zone_parse("Foo5", &tz) != NULL, "a zone that is not listed is refused");
	tap_ok(zone_parse("Test/Manila", &tz) == NULL, "a zone of nearly 16 hours is one");
	tap_ok(zone_parse("Test/Far", &tz) != NULL, "a zone of 16 hours is refused");
}

/* A zone whose offset becomes `offset` on this day and hour of 1996, and back a month later. */
static pg_tz *
zone_with_summer(int day, int hour, int offset)
{
	pg_tz	   *tz = zone_shim_new("Test/Summer", 3600);

	zone_shim_change(tz, utc(1996, 3, day, hour, 0), offset);
	zone_shim_change(tz, utc(1996, 4, day, hour, 0), 3600);
	return tz;
}

static void
test_zone_digest(void)
{
	uint64		digest = zone_digest(zone_with_summer(31, 1, 7200));
	pg_tz	   *same = zone_shim_new("Test/Same", 3600);

	tap_ok(zone_digest(zone_with_summer(31, 1, 7200)) == digest, "digests of equal rules are equal");
	tap_ok(zone_digest(zone_with_summer(31, 2, 7200)) != digest, "another hour, another digest");
	tap_ok(zone_digest(zone_with_summer(31, 1, 5400)) != digest, "another offset, another digest");
	zone_shim_change(same, utc(1970, 1, 1, 0, 0), 3600);
	tap_ok(zone_digest(same) == zone_digest(zone_shim_new("Test/Same", 3600)),
		   "a change to the same offset is none");
}

/* ------------------------------------------------------------------------
 * Cron
 * ------------------------------------------------------------------------
 */

static void
test_cron_text(void)
{
	static const struct
	{
		const char *text;
		const char *same_as;	/* NULL: refused */
	}			cases[] =
	{
		{"  0\t*  * * * ", "0 * * * *"},
		{"*/15 * * * *", "0,15,30,45 * * * *"},
		{"5-20/5,7 1-3 * * *", "5,7,10,15,20 1,2,3 * * *"},
		{"0 0 * jan-mar,DEC mon", "0 0 * 1,2,3,12 1"},
		{"0 0 * * 7", "0 0 * * 0"},
		{"0 0 * * sun", "0 0 * * 0"},
		{"0 0 * * 5-7", "0 0 * * 0,5,6"},
		{"0 0 * * fri-sun", "0 0 * * 0,5,6"},
		{"0 0 * * sun-tue", "0 0 * * 0,1,2"},
		{"0 */24 * * *", "0 0 * * *"},
		{"*/60 * * * *", "0 * * * *"},
		{"00 08 01 01 *", "0 8 1 1 *"},
		{"@hourly", "0 * * * *"},
		{" @Daily ", "0 0 * * *"},
		{"@midnight", "0 0 * * *"},
		{"@weekly", "0 0 * * 0"},
		{"@monthly", "0 0 1 * *"},
		{"@yearly", "0 0 1 1 *"},
		{"@annually", "0 0 1 1 *"},
		{"0 0 29 2 *", "0 0 29 feb *"},
		{"0 0 30,31 1,2 *", "0 0 30-31 jan,feb *"},
		{"0 0 31 2 1", "0 0 31 2 mon"},	/* or: Mondays in February */
		{"", NULL},
		{"*", NULL},
		{"0 0 * *", NULL},
		{"0 0 * * * *", NULL},
		{"0 0 * * * command", NULL},
		{"60 * * * *", NULL},
		{"0 24 * * *", NULL},
		{"0 0 0 * *", NULL},
		{"0 0 32 * *", NULL},
		{"0 0 * 0 *", NULL},
		{"0 0 * 13 *", NULL},
		{"0 0 * * 8", NULL},
		{"-1 * * * *", NULL},
		{"99999999999 * * * *", NULL},
		{"20-10 * * * *", NULL},
		{"10- * * * *", NULL},
		{"10-20-30 * * * *", NULL},
		{"1,,2 * * * *", NULL},
		{",1 * * * *", NULL},
		{"1, * * * *", NULL},
		{"5/15 * * * *", NULL},
		{"*/0 * * * *", NULL},
		{"*/61 * * * *", NULL},
		{"*/ * * * *", NULL},
		{"*/x * * * *", NULL},
		{"** * * * *", NULL},
		{"*5 * * * *", NULL},
		{"jan * * * *", NULL},
		{"0 0 * mon *", NULL},
		{"0 0 * * monday", NULL},
		{"0 0 * * sat-fri", NULL},
		{"0 0 31 2 *", NULL},
		{"0 0 30,31 feb *", NULL},
		{"0 0 31 4,6,9,11 *", NULL},
		{"0 0 31 2 */2", NULL},
		{"@", NULL},
		{"@reboot", NULL},
		{"@hourly *", NULL},
		{"0 0 L * *", NULL},
		{"0 0 ? * *", NULL},
		{"30 seconds", NULL},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		CronSchedule schedule = {0};
		CronSchedule same = {0};
		const char *problem = cron_parse(cases[i].text, &schedule);

		if (cases[i].same_as == NULL)
			tap_ok(problem != NULL, "cron \"%s\" is refused: %s", cases[i].text,
				   problem ? problem : "it is not");
		else
			tap_ok(problem == NULL && cron_parse(cases[i].same_as, &same) == NULL &&
				   schedule.minutes == same.minutes && schedule.hours == same.hours &&
				   schedule.days == same.days && schedule.months == same.months &&
				   schedule.weekdays == same.weekdays,
				   "cron \"%s\" is \"%s\"", cases[i].text, cases[i].same_as);
	}
}

/* Whether a clock's reading, in whole minutes, matches. */
static bool
reading_matches(const CronSchedule *schedule, int64 reading)
{
	time_t		t = reading;
	struct tm	tm;
	bool		by_day;
	bool		by_weekday;

	if (!(schedule->minutes >> floor_mod(floor_div(reading, 60), 60) & 1) ||
		!(schedule->hours >> floor_mod(floor_div(reading, HOUR), 24) & 1))
		return false;
	gmtime_r(&t, &tm);
	by_day = schedule->days >> tm.tm_mday & 1;
	by_weekday = schedule->weekdays >> tm.tm_wday & 1;
	if (schedule->any_day || schedule->any_weekday ? !(by_day && by_weekday) :
		!(by_day || by_weekday))
		return false;
	return schedule->months >> (tm.tm_mon + 1) & 1;
}

/* Whether a schedule fires at step i of a sweep by minutes. */
static bool
fires(const CronSchedule *schedule, const Sweep *sweep, int i, int64 passed)
{
	if (schedule->hours == 0xffffff)
		return sweep->reading[i] % 60 == 0 && reading_matches(schedule, sweep->reading[i]);

	/* The readings that have not occurred before, but are reached by now. */
	passed += floor_mod(-passed, 60);
	for (int64 reading = passed; reading <= sweep->reading[i]; reading += 60)
		if (reading_matches(schedule, reading))
			return true;
	return false;
}

static void
test_cron_sweeps(void)
{
	static const char *const expressions[] = {
		"* * * * *", "*/15 * * * *", "0 * * * *", "10 * * * *", "59 */1 * * *",
		"*/20 * * 3,10-12 *", "0 */2 * * *", "0 8 * * *", "30 2 * * *", "30,45 1-2 * * *",
		"0 0 * * *", "30 0 * * *", "30 23 * * *", "*/10 0-22 * * *", "0 0 * * 0", "0 12 13 * 5",
		"0 0 1 * *", "30 2 13 3 *", "15 3 */2 * */3", "0 0,12 30,31 12 *", "5 4 28-31 * sun",
	};

	for (int z = 0; z < nzones; z++)
	{
		TestZone   *zone = &zones[z];
		Sweep		sweep = sweep_clock(zone);
		int			margin = 2 * DAY / zone->step;
		int64		fired = 0;
		int64		wrong = 0;

		for (int e = 0; e < lengthof(expressions); e++)
		{
			CronSchedule schedule;
			TimestampTz next;
			int64		passed = sweep.reading[0];

			if (cron_parse(expressions[e], &schedule) != NULL)
				abort();
			if (!cron_next(&schedule, zone->tz,
						   INSTANT(sweep.from + (int64) margin * sweep.step) - 1, &next))
				abort();

			for (int i = 0; i < sweep.n; i++)
			{
				TimestampTz t = INSTANT(sweep.from + (int64) i * sweep.step);

				if (i >= margin)
				{
					bool		expected = fires(&schedule, &sweep, i, passed);

					if (expected != (next == t) || next < t)
					{
						if (wrong++ == 0)
							tap_note("\"%s\": %s is next, at %s", expressions[e], show(next),
									 show(t));
					}
					if (next <= t)
					{
						fired++;
						if (!cron_next(&schedule, zone->tz, t, &next))
							abort();
					}
				}
				passed = Max(passed, sweep.reading[i] + sweep.step);
			}
		}
		tap_ok(wrong == 0, "%s: %ld times of %d schedules, %ld differ from the sweep",
			   zone->name, (long) fired, (int) lengthof(expressions), (long) wrong);
		sweep_free(&sweep);
	}
}

/* The next instant is the same from wherever one asks. */
static void
test_cron_from_anywhere(void)
{
	static const char *const expressions[] = {
		"*/5 * * * *", "0 */3 * * *", "30 2 * * *", "0 0 * * *", "0 0 1 * *", "15 1-2 * * 6,7"
	};
	int64		wrong = 0;

	for (int e = 0; e < lengthof(expressions); e++)
	{
		CronSchedule schedule;

		if (cron_parse(expressions[e], &schedule) != NULL)
			abort();
		for (int i = 0; i < 40000; i++)
		{
			const pg_tz *tz = zones[random_between(0, nzones)].tz;
			TimestampTz after = random_instant(tz);
			TimestampTz next;
			TimestampTz again;

			if (!cron_next(&schedule, tz, after, &next) || next <= after ||
				!cron_next(&schedule, tz, next - 1, &again) || again != next ||
				!cron_next(&schedule, tz, random_between(after, next), &again) || again != next)
				wrong++;
		}
	}
	tap_ok(wrong == 0, "the next time does not depend on where one looks from");
}

static void
test_cron_rare(void)
{
	CronSchedule schedule;
	TimestampTz next = 0;

	tap_ok(cron_parse("0 0 29 2 *", &schedule) == NULL &&
		   cron_next(&schedule, zones[0].tz, INSTANT(utc(1896, 3, 1, 0, 0)), &next) &&
		   next == INSTANT(utc(1904, 2, 29, 0, 0)), "29 February, over 1900");
	tap_ok(cron_parse("0 0 29 2 */7", &schedule) == NULL &&
		   cron_next(&schedule, zones[0].tz, INSTANT(utc(1880, 2, 29, 0, 0)), &next) &&
		   next == INSTANT(utc(1920, 2, 29, 0, 0)), "29 February on a Sunday, over 1900");
	tap_ok(cron_parse("* * * * *", &schedule) == NULL &&
		   !cron_next(&schedule, zones[0].tz, END_TIMESTAMP - 1, &next), "the end of time");
	tap_ok(cron_parse("0 0 1 1 *", &schedule) == NULL &&
		   !cron_next(&schedule, zones[1].tz, END_TIMESTAMP - 1, &next) &&
		   !cron_next(&schedule, zones[2].tz, END_TIMESTAMP - 20 * USECS_PER_HOUR / 2, &next) &&
		   cron_next(&schedule, zones[2].tz, MIN_TIMESTAMP, &next),
		   "the ends of time by wall clock");
}

/* ------------------------------------------------------------------------
 * Events
 * ------------------------------------------------------------------------
 */

/* What covers a schedule in another zone, over the time of a sweep. */
static const char *
cover(const char *expression, const pg_tz *tz, const pg_tz *other, const TestZone *window)
{
	static char result[CRON_COVER_LEN];
	CronSchedule schedule;

	if (cron_parse(expression, &schedule) != NULL)
		abort();
	cron_cover(&schedule, tz, other, INSTANT(window->sweep_from), INSTANT(window->sweep_to), result);
	return result;
}

static void
test_cron_cover_text(void)
{
	static const struct
	{
		const char *expression;
		const char *same;		/* what covers it on the same clock, UTC */
		const char *moved;		/* in UTC, from the zone like New York */
	}			cases[] =
	{
		{"* * * * *", "* * * * *", "* * * * *"},
		{"@hourly", "0 * * * *", "0 * * * *"},
		{"*/15 * * * *", "*/15 * * * *", "*/15 * * * *"},
		{"0 8 * * *", "0 8 * * *", "0 12,13 * * *"},
		{"0 6,14,22 * * *", "0 6,14,22 * * *", "0 2,3,10,11,18,19 * * *"},
		{"0 6-8 * * mon-fri", "0 6-8 * * 1-5", "0 10-13 * * 1-5"},
		{"0 20 * * fri-sun", "0 20 * * 0,5,6", "0 0,1 * * 0,1,6"},
		{"30 18 * * sun", "30 18 * * 0", "30 22,23 * * 0"},
		{"0 19 * * sun", "0 19 * * 0", "0 0,23 * * 0,1"},
		{"30 2 * * *", "30 2 * * *", "0,30 6,7 * * *"},
		{"0 8 1 */3 *", "0 8 1 */3 *", "0 12,13 1 */3 *"},
		{"0 0 1,15 * *", "0 0 1,15 * *", "0 4,5 1,15 * *"},
		{"0 22 1 1 *", "0 22 1 1 *", "0 2,3 * * *"},
		{"0 8 13 * fri", "0 8 * * *", "0 12,13 * * *"},
		{"0 8 */10 * fri", "0 8 */10 * *", "0 12,13 */10 * *"},
		{"0 8 1-31 * fri", "0 8 * * *", "0 12,13 * * *"},
		{"@yearly", "0 0 1 1 *", "0 4,5 1 1 *"},
	};
	const TestZone *utc_zone = &zones[0];
	const TestZone *new_york = &zones[1];

	for (int i = 0; i < lengthof(cases); i++)
	{
		const char *text = cover(cases[i].expression, utc_zone->tz, utc_zone->tz, new_york);

		tap_ok(strcmp(text, cases[i].same) == 0, "cron \"%s\" is covered by \"%s\"",
			   cases[i].expression, text);
		text = cover(cases[i].expression, new_york->tz, utc_zone->tz, new_york);
		tap_ok(strcmp(text, cases[i].moved) == 0, "... from New York to UTC by \"%s\"", text);
	}
}

/* How often a cron fires in the time of a sweep, where its clock never leaps. */
static int64
firings(const CronSchedule *schedule, const TestZone *window)
{
	int64		n = 0;

	for (pg_time_t t = window->sweep_from; t < window->sweep_to; t += 60)
		n += reading_matches(schedule, t);
	return n;
}

/* Counts what of a schedule is due in a window, and what another cron misses. */
static void
count_missed(const char *expression, const TestZone *zone, const pg_tz *other, int64 *due,
			 int64 *missed)
{
	const char *covering = cover(expression, zone->tz, other, zone);
	CronSchedule schedule;
	CronSchedule covers;
	TimestampTz t = INSTANT(zone->sweep_from);

	if (cron_parse(expression, &schedule) != NULL || cron_parse(covering, &covers) != NULL)
		abort();
	while (cron_next(&schedule, zone->tz, t, &t) && t < INSTANT(zone->sweep_to))
	{
		int64		reading = floor_div(t + zone_stretch(other, t).offset, USECS_PER_SEC) + EPOCH;

		reading += floor_mod(-reading, 60);
		(*due)++;
		if (!reading_matches(&covers, reading) && (*missed)++ == 0)
			tap_note("\"%s\", covered by \"%s\", is missed at %s", expression, covering, show(t));
	}
}

/* Every schedule of every zone is covered in every other zone. */
static void
test_cron_cover_sweeps(void)
{
	static const char *const expressions[] = {
		"*/15 * * * *", "10 * * * *", "*/20 * * 3,10-12 *", "0 */2 * * *", "0 8 * * *",
		"30 2 * * *", "30,45 1-2 * * *", "0 0 * * *", "30 0 * * *", "30 23 * * *",
		"*/10 0-22 * * *", "0 0 * * 0", "30 23 * * 6", "0 12 13 * 5", "0 0 1 * *", "15 3 */2 * */3",
		"0 0,12 30,31 12 *", "5 4 28-31 * sun", "30 2 1-7 * 0",
	};

	for (int z = 0; z < nzones; z++)
	{
		int64		due = 0;
		int64		missed = 0;
		int64		due_in_utc = 0;
		int64		fired = 0;

		for (int e = 0; e < lengthof(expressions); e++)
		{
			CronSchedule covers;

			for (int o = 0; o < nzones; o++)
				count_missed(expressions[e], &zones[z], zones[o].tz, &due, &missed);
			count_missed(expressions[e], &zones[z], zones[0].tz, &due_in_utc, &missed);
			if (cron_parse(cover(expressions[e], zones[z].tz, zones[0].tz, &zones[z]), &covers) != NULL)
				abort();
			fired += firings(&covers, &zones[z]);
		}
		tap_ok(missed == 0, "%s: of %ld times none is missed in other zones, "
			   "and UTC fires %ld times for %ld", zones[z].name, (long) due, (long) fired,
			   (long) due_in_utc);
	}
}

static void
test_event_grammar(void)
{
	static const struct
	{
		const char *name;
		const char *cron;		/* NULL: refused */
		const char *zone;
	}			cases[] =
	{
		{"EVERYMINUTE", "* * * * *", ""},
		{"EVERY1MINUTE", "*/1 * * * *", ""},
		{"EVERY5MINUTES", "*/5 * * * *", ""},
		{"every15minutes", "*/15 * * * *", ""},
		{"EVERY60MINUTES", "*/60 * * * *", ""},
		{"EVERYHOUR", "0 * * * *", ""},
		{"EveryHour", "0 * * * *", ""},
		{"EVERY4HOURS", "0 */4 * * *", ""},
		{"EVERY24HOURS", "0 */24 * * *", ""},
		{"EVERYHOURBYMIN10", "10 * * * *", ""},
		{"EVERYHOURBYMIN05", "5 * * * *", ""},
		{"EVERYDAY", "0 0 * * *", ""},
		{"EVERYDAY8AM", "0 8 * * *", ""},
		{"EVERYDAY8AMET", "0 8 * * *", "America/New_York"},
		{"everyday8amet", "0 8 * * *", "America/New_York"},
		{"EVERYDAY12AM", "0 0 * * *", ""},
		{"EVERYDAY12PM", "0 12 * * *", ""},
		{"EVERYDAY1230PM", "30 12 * * *", ""},
		{"EVERYDAY1230AMIST", "30 0 * * *", "Asia/Kolkata"},
		{"EVERYDAY815PM", "15 20 * * *", ""},
		{"EVERYDAY0815PM", "15 20 * * *", ""},
		{"EVERYDAY8AMUTC", "0 8 * * *", "UTC"},
		{"EVERYDAY8AMEurope/Paris", "0 8 * * *", "Europe/Paris"},
		{"EVERYWEEK", "0 0 * * 0", ""},
		{"EVERYWEEKMON", "0 0 * * 1", ""},
		{"EVERYWEEKSaturday", "0 0 * * 6", ""},
		{"EVERYWEEKFRI615PMPT", "15 18 * * 5", "America/Los_Angeles"},
		{"EVERYMONTH", "0 0 1 * *", ""},
		{"*/7 * * * *", "*/7 * * * *", ""},
		{"@hourly", "@hourly", ""},
		{"", NULL, NULL},
		{"EVERY", NULL, NULL},
		{"EVERYHOURLY", NULL, NULL},
		{" EVERYHOUR", NULL, NULL},
		{"EVERYHOUR ", NULL, NULL},
		{"EVERY0MINUTES", NULL, NULL},
		{"EVERY7MINUTES", NULL, NULL},
		{"EVERY90MINUTES", NULL, NULL},
		{"EVERY5HOURS", NULL, NULL},
		{"EVERY48HOURS", NULL, NULL},
		{"EVERY5", NULL, NULL},
		{"EVERY5MINUTESX", NULL, NULL},
		{"EVERYHOURBYMIN", NULL, NULL},
		{"EVERYHOURBYMIN60", NULL, NULL},
		{"EVERYHOURBYMIN005", NULL, NULL},
		{"EVERYDAY8", NULL, NULL},
		{"EVERYDAY0AM", NULL, NULL},
		{"EVERYDAY13PM", NULL, NULL},
		{"EVERYDAY860AM", NULL, NULL},
		{"EVERYDAY12345AM", NULL, NULL},
		{"EVERYWEEKXYZ", NULL, NULL},
		{"EVERYMONTH2", NULL, NULL},
		{"HOURLY", NULL, NULL},
		{"0 0 31 2 *", NULL, NULL},
	};
	char		longest[2 * EVENT_TEXT_LEN];
	char		suggestion[EVENT_TEXT_LEN];
	EventMeaning meaning;

	for (int i = 0; i < lengthof(cases); i++)
	{
		bool		known = event_parse(cases[i].name, &meaning);
		const char *problem = event_problem(cases[i].name);
		CronSchedule schedule;

		if (cases[i].cron == NULL)
			tap_ok(!known && problem != NULL, "event \"%s\" is refused: %s", cases[i].name,
				   problem ? problem : "it is not");
		else
			tap_ok(known && problem == NULL && strcmp(meaning.cron, cases[i].cron) == 0 &&
				   strcmp(meaning.timezone, cases[i].zone) == 0 &&
				   cron_parse(meaning.cron, &schedule) == NULL,
				   "event \"%s\" is \"%s\" %s", cases[i].name, cases[i].cron, cases[i].zone);
	}

	memset(longest, ' ', sizeof(longest));
	strcpy(longest + sizeof(longest) - 16, "* * * * *");
	tap_ok(!event_parse(longest, &meaning), "a cron expression that is too long");
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "EVERYDAY8AM", 11);
	longest[sizeof(longest) - 1] = '\0';
	tap_ok(!event_parse(longest, &meaning), "a zone that is too long");
	(void) event_suggest(longest, NULL, 0, suggestion);
	tap_ok(strlen(suggestion) < EVENT_TEXT_LEN, "a name that is too long is cut");
}

static void
test_event_suggestions(void)
{
	static const char *const known[] = {"EVERYHOUR", "EVERYDAY8AMET", "EVERYWEEK",
	"EVERYHOURBYMIN10", "EVERYMINUTE", "EVERYDAY", "EVERYMONTH", "Y", "NIGHTLY LOAD"};
	static const struct
	{
		const char *name;
		const char *meant;		/* NULL: nothing is proposed */
	}			cases[] =
	{
		/* Slips of the fingers. */
		{"EVERYHOR", "EVERYHOUR"}, {"everyhours", "EVERYHOUR"}, {"EVERYWEAK", "EVERYWEEK"},
		{"EVERYDAY8AMER", "EVERYDAY8AMER"}, {"EVERYHUOR", "EVERYHOUR"},
		/* What other schedulers take. */
		{"HOURLY", "EVERYHOUR"}, {"daily", "EVERYDAY"}, {"weekly", "EVERYWEEK"},
		{"monthly", "EVERYMONTH"}, {"minutely", "EVERYMINUTE"}, {"@hour", "EVERYHOUR"},
		{"every hour", "EVERYHOUR"}, {"hour", "EVERYHOUR"}, {"EVERY_DAY", "EVERYDAY"},
		{"every 5 minutes", "EVERY5MINUTES"}, {"EVERY5MIN", "EVERY5MINUTES"},
		{"5m", "EVERY5MINUTES"}, {"2h", "EVERY2HOURS"}, {"1 hour", "EVERYHOUR"},
		{"EVERY7MINUTES", "EVERY6MINUTES"}, {"EVERY90MINUTES", NULL}, {"EVERY5", NULL},
		{"HOURLYY", "EVERYHOUR"}, {"mothly", "EVERYMONTH"}, {"weekley", "EVERYWEEK"}, {"main", NULL},
		{"half-hourly", "EVERY30MINUTES"}, {"yearly", "@yearly"}, {"quarterly", "0 0 1 1,4,7,10 *"},
		{"weekdays", "0 0 * * 1-5"},
		/* Times of day. */
		{"8am", "EVERYDAY8AM"}, {"8:30", "EVERYDAY830AM"}, {"08:05", "EVERYDAY805AM"},
		{"00:00", "EVERYDAY12AM"}, {"20:00", "EVERYDAY8PM"}, {"at 12:30 pm", "EVERYDAY1230PM"},
		{"daily at 8am", "EVERYDAY8AM"}, {"EVERYDAY8", "EVERYDAY8AM"}, {"noon", "EVERYDAY12PM"},
		{"EVERYDAY13PM", "EVERYDAY1PM"}, {"25:00", NULL}, {"8:61", NULL}, {"8", NULL},
		{"EVERYDAY8AMEDT", "EVERYDAY8AMET"}, {"8am CEST", "EVERYDAY8AMCET"},
		/* Days of the week. */
		{"EVERYMONDAY", "EVERYWEEKMON"}, {"every friday at 5pm", "EVERYWEEKFRI5PM"},
		{"weekly on Sunday", "EVERYWEEKSUN"}, {"WEEKLY8AM", "EVERYWEEK8AM"},
		/* EVERY is forgotten. */
		{"HOURBYMIN10", "EVERYHOURBYMIN10"}, {"DAY8AMET", "EVERYDAY8AMET"},
		/* Names of one's own. */
		{"nightly_load", "NIGHTLY LOAD"},
		/* Nothing is better than something silly. */
		{"X", NULL}, {"", NULL}, {"sometimes", NULL}, {"60 * * * *", NULL},
		{"EVERYHOURBYMIN60", NULL}, {"0 8 * * MON-FRI 5", NULL}, {"@", NULL}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		char		meant[EVENT_TEXT_LEN] = "";
		bool		found = event_suggest(cases[i].name, known, lengthof(known), meant);

		tap_ok(found ? cases[i].meant && strcmp(meant, cases[i].meant) == 0 :
			   cases[i].meant == NULL,
			   "by event \"%s\" is meant %s", cases[i].name, found ? meant : "nothing");
	}
	{
		char		meant[EVENT_TEXT_LEN];

		tap_ok(!event_suggest("EVERYHUOR", NULL, 0, meant), "nothing is near if nothing is known");
	}
}

static void
test_granularity_suggestions(void)
{
	static const struct
	{
		const char *text;
		const char *meant;
	}			cases[] =
	{
		{"1h", "1-hour"}, {"5m", "5-minute"}, {"15min", "15-minute"}, {"1hr", "1-hour"},
		{"h", "1-hour"}, {"hourly", "1-hour"}, {"daily", "1-day"}, {"weekly", "1-week"},
		{"monthly", "1-month"}, {"1M", "1-month"}, {"1mo", "1-month"}, {"2w", "2-week"},
		{"every hour", "1-hour"}, {"per day", "1-day"}, {"EVERYHOUR", "1-hour"},
		{"1-houre", "1-hour"}, {"15-mintues", "15-minute"}, {"half-hour", "30-minute"},
		{"fortnight", "2-week"}, {"1-fortnight", "2-week"}, {"30s", "1-minute"},
		{"01:00:00", "1-hour"}, {"2_hours", "2-hour"}, {"1q", "1-quarter"}, {"1y", "1-year"},
		{"", NULL}, {"0-hour", NULL}, {"eon", NULL}, {"1.5h", NULL}, {"99999h", NULL}, {"1", NULL}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		Granularity granularity;
		char		meant[GRANULARITY_TEXT_LEN] = "";

		if (granularity_suggest(cases[i].text, &granularity))
			granularity_format(&granularity, meant);
		tap_ok(strcmp(meant, cases[i].meant ? cases[i].meant : "") == 0,
			   "by granularity \"%s\" is meant \"%s\"", cases[i].text, meant);
	}
}

int
main(void)
{
	random_seed(UINT64CONST(20240310));
	make_zones();
	test_granularity_text();
	test_calendar();
	test_bucket_examples();
	test_bucket_sweeps();
	test_bucket_invariants();
	test_nesting();
	test_bucket_cache();
	test_local_time();
	test_zone_parse();
	test_zone_digest();
	test_cron_text();
	test_cron_sweeps();
	test_cron_from_anywhere();
	test_cron_rare();
	test_cron_cover_text();
	test_cron_cover_sweeps();
	test_event_grammar();
	test_event_suggestions();
	test_granularity_suggestions();
	return tap_done();
}
