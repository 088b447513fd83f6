/*-------------------------------------------------------------------------
 *
 * bucket.c
 *	  Time buckets: granularities, bucket bounds in a time zone, and caches
 *	  that make finding a row's bucket cost a few instructions.
 *
 * A bucket is a half-open range of instants, [start, end), named by its
 * start.  The buckets of a granularity in a zone partition time: every finite
 * instant lies in exactly one, and none is empty.  How the bounds are found
 * depends on the granularity's kind.
 *
 * CLOCK: minutes that divide an hour, and the hour.  Real time matters at
 * this scale, so an hour that occurs twice is two buckets.  Within a stretch
 * of constant offset, bounds are where the local clock reads a multiple of
 * the width; where the offset changes there is always a bound.  (Mostly the
 * two coincide.  Where a clock leaps by half an hour, or a zone gives up a
 * local mean time of odd minutes, the buckets beside the leap are short.)
 *
 * DAYPART, DAYS, MONTHS: bounds are readings of the local clock: multiples of
 * the width from midnight, midnights, first midnights of months.  The bound
 * for a reading b is zone_settles(b), the instant from which on the clock
 * never reads less than b.  So a midnight that occurs twice begins its day at
 * the second occurrence if the clock read less in between, that is, if it was
 * put back to a time before midnight; and at the first one if it was put back
 * to midnight itself.  A midnight that is skipped begins its day where the
 * gap ends.  Days have 23, 24 or 25 hours.  As zone_settles() grows with b,
 * the bucket of an instant t is that of the lowest reading since t.  Readings
 * that are skipped together have one instant: there the bucket between them
 * is empty, and does not exist.
 *
 * ELAPSED: all other widths in minutes and hours.  They fit no day, so they
 * are counted in real time from Monday 2000-01-03 00:00 local.
 *
 * All instants that are finite to PostgreSQL are covered.  The first bucket
 * begins at the first of them, MIN_TIMESTAMP, and the last ends behind the
 * last, at END_TIMESTAMP, where the rule would say something further out.
 *
 * What the caches return is always what the plain functions return.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "time/bucket.h"
#include "time/zone.h"
#include "words/nearest.h"

/* The origin of days, weeks and elapsed time: Monday 2000-01-03. */
#define ORIGIN_DAY 2

#define MINUTES_PER_DAY (MINS_PER_HOUR * HOURS_PER_DAY)

/* What a unit is made of. */
typedef enum UnitBase
{
	BASE_MINUTES,
	BASE_DAYS,
	BASE_MONTHS
} UnitBase;

typedef struct Unit
{
	const char *name;
	UnitBase	base;
	int			width;			/* in the base */
} Unit;

static const Unit units[] = {
	{"minute", BASE_MINUTES, 1},
	{"hour", BASE_MINUTES, MINS_PER_HOUR},
	{"day", BASE_DAYS, 1},
	{"week", BASE_DAYS, 7},
	{"month", BASE_MONTHS, 1},
	{"quarter", BASE_MONTHS, 3},
	{"year", BASE_MONTHS, 12},
};

/* ------------------------------------------------------------------------
 * Granularities as text
 * ------------------------------------------------------------------------
 */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Finds a unit by its name of `length` characters, singular or plural, in any
 * case; NULL if there is none.
 */
static const Unit *
unit_lookup(const char *name, size_t length)
{
	for (int i = 0; i < lengthof(units); i++)
	{
		size_t		singular = strlen(units[i].name);

		if (length != singular &&
			!(length == singular + 1 && (name[singular] == 's' || name[singular] == 'S')))
			continue;
		if (pg_strncasecmp(name, units[i].name, singular) == 0)
			return &units[i];
	}
	return NULL;
}

/* What other systems call these units, and widths that have names of their own. */
static const Synonym unit_names[] = {
	{"m", "minute"}, {"min", "minute"}, {"mins", "minute"}, {"minutely", "minute"},
	{"h", "hour"}, {"hr", "hour"}, {"hrs", "hour"}, {"hourly", "hour"},
	{"d", "day"}, {"daily", "day"}, {"dy", "day"},
	{"w", "week"}, {"wk", "week"}, {"wks", "week"}, {"weekly", "week"},
	{"mo", "month"}, {"mon", "month"}, {"mons", "month"}, {"mth", "month"}, {"monthly", "month"},
	{"q", "quarter"}, {"qtr", "quarter"}, {"quarterly", "quarter"},
	{"y", "year"}, {"yr", "year"}, {"yrs", "year"}, {"yearly", "year"}, {"annual", "year"},
	{"annually", "year"}
};
static const Synonym width_names[] = {
	{"halfhour", "30-minute"}, {"halfhourly", "30-minute"},
	{"quarterhour", "15-minute"}, {"quarterhourly", "15-minute"},
	{"fortnight", "2-week"}, {"biweekly", "2-week"}, {"decade", "10-year"},
	{"s", "1-minute"}, {"sec", "1-minute"}, {"second", "1-minute"}, {"seconds", "1-minute"},
	{"01:00:00", "1-hour"}, {"1:00:00", "1-hour"}, {"01:00", "1-hour"}, {"00:15:00", "15-minute"}
};

static BucketKind
minutes_kind(int minutes)
{
	if (MINS_PER_HOUR % minutes == 0)
		return BUCKET_CLOCK;
	if (minutes > MINS_PER_HOUR && MINUTES_PER_DAY % minutes == 0)
		return BUCKET_DAYPART;
	return BUCKET_ELAPSED;
}

/*
 * Reads a granularity: '<n>-<unit>', such as '15-minute'.  The number may be
 * missing and is 1 then, the hyphen may be missing or a blank, and the unit
 * may be in the plural.  Returns NULL and sets *result, or says what is wrong,
 * in a sentence for errdetail().
 */
const char *
granularity_parse(const char *text, Granularity *result)
{
	const char *at = text;
	const char *end = text + strlen(text);
	const Unit *unit;
	int			count = 1;

	while (is_blank(*at))
		at++;
	while (end > at && is_blank(end[-1]))
		end--;

	if (*at >= '0' && *at <= '9')
	{
		for (count = 0; *at >= '0' && *at <= '9'; at++)
			count = Min(count * 10 + (*at - '0'), GRANULARITY_MAX_COUNT + 1);
		if (count < 1 || count > GRANULARITY_MAX_COUNT)
			return "The number must be between 1 and " CppAsString2(GRANULARITY_MAX_COUNT) ".";

		while (is_blank(*at))
			at++;
		if (*at == '-')
			at++;
		while (is_blank(*at))
			at++;
	}

	unit = unit_lookup(at, Max(end - at, 0));
	if (unit == NULL)
		return "A granularity is a number and one of minute, hour, day, week, month, quarter "
			"and year, such as 15-minute.";

	result->count = count;
	result->unit = unit->name;
	result->width = count * unit->width;
	switch (unit->base)
	{
		case BASE_MINUTES:
			result->kind = minutes_kind(result->width);
			break;
		case BASE_DAYS:
			result->kind = BUCKET_DAYS;
			break;
		case BASE_MONTHS:
			result->kind = BUCKET_MONTHS;
			break;
	}
	return NULL;
}

/*
 * granularity_suggest
 *		Which granularity was probably meant by a text that is none.
 *
 * Returns false where there is nothing to propose; else sets *result.
 */
bool
granularity_suggest(const char *text, Granularity *result)
{
	char		folded[NEAREST_MAX_LENGTH];
	const char *names[lengthof(units)];
	const char *at = folded;
	const char *meant;
	size_t		digits;
	char		proposal[2 * NEAREST_MAX_LENGTH];

	word_fold(text, " \t\n\r-_/'\"", folded, sizeof(folded));
	if (strncmp(at, "every", 5) == 0)
		at += 5;
	else if (strncmp(at, "per", 3) == 0)
		at += 3;
	digits = strspn(at, "0123456789");
	meant = synonym_of(width_names, lengthof(width_names), at);
	if (meant == NULL && at[digits] != '\0')
		meant = synonym_of(width_names, lengthof(width_names), at + digits);
	if (meant)
		return granularity_parse(meant, result) == NULL;

	/* A single M is a month to those who write minutes as m. */
	meant = strchr(text, 'M') && strcmp(at + digits, "m") == 0 ? "month" :
		synonym_of(unit_names, lengthof(unit_names), at + digits);
	for (int i = 0; i < lengthof(units); i++)
		names[i] = units[i].name;
	if (meant == NULL)
		meant = word_nearest(at + digits, names, lengthof(names));
	snprintf(proposal, sizeof(proposal), "%.*s%s%s", (int) digits, at, digits > 0 ? "-" : "",
			 meant ? meant : at + digits);
	return granularity_parse(proposal, result) == NULL;
}

/*
 * Writes the canonical text of a granularity, '15-minute' or '1-hour', into
 * buf of GRANULARITY_TEXT_LEN bytes.
 */
void
granularity_format(const Granularity *g, char *buf)
{
	snprintf(buf, GRANULARITY_TEXT_LEN, "%d-%s", g->count, g->unit);
}

/*
 * Writes a granularity as it is part of a result's name, '15minute' or 'hour',
 * into buf of GRANULARITY_TEXT_LEN bytes.
 */
void
granularity_result_infix(const Granularity *g, char *buf)
{
	if (g->count == 1)
		strlcpy(buf, g->unit, GRANULARITY_TEXT_LEN);
	else
		snprintf(buf, GRANULARITY_TEXT_LEN, "%d%s", g->count, g->unit);
}

/*
 * Whether each bucket of `fine` lies within one bucket of `coarse`, in every
 * zone: then partial states of the one can be merged into the other's.
 *
 * A bound of `coarse` must always be a bound of `fine`.  Midnights are bounds
 * of CLOCK and DAYPART: either the clock reads midnight there, and their
 * widths divide a day; or the offset changes there, which is a bound of
 * CLOCK's.  The like holds for the other bounds of DAYPART where the widths
 * divide.
 */
bool
granularity_nests(const Granularity *fine, const Granularity *coarse)
{
	bool		divides = (coarse->width % fine->width == 0);

	switch (coarse->kind)
	{
		case BUCKET_CLOCK:
			return fine->kind == BUCKET_CLOCK && divides;
		case BUCKET_DAYPART:
			return (fine->kind == BUCKET_CLOCK || fine->kind == BUCKET_DAYPART) && divides;
		case BUCKET_ELAPSED:
			return fine->kind == BUCKET_ELAPSED && divides;
		case BUCKET_DAYS:
			return fine->kind == BUCKET_CLOCK || fine->kind == BUCKET_DAYPART ||
				(fine->kind == BUCKET_DAYS && divides);
		case BUCKET_MONTHS:
			return fine->kind == BUCKET_CLOCK || fine->kind == BUCKET_DAYPART ||
				(fine->kind == BUCKET_DAYS && fine->width == 1) ||
				(fine->kind == BUCKET_MONTHS && divides);
	}
	return false;				/* keep compiler quiet */
}

/*
 * About how long a granularity's buckets are, in minutes: to order them.
 */
int64
granularity_length(const Granularity *g)
{
	switch (g->kind)
	{
		case BUCKET_DAYS:
			return (int64) g->width * MINUTES_PER_DAY;
		case BUCKET_MONTHS:
			return (int64) g->width * MINUTES_PER_DAY * DAYS_PER_MONTH;
		default:
			return g->width;
	}
}

/* ------------------------------------------------------------------------
 * Bounds
 * ------------------------------------------------------------------------
 */

/* A bound, brought into the range of timestamps. */
static TimestampTz
clamp_start(TimestampTz t)
{
	return Max(t, MIN_TIMESTAMP);
}

static TimestampTz
clamp_end(TimestampTz t)
{
	return Min(t, END_TIMESTAMP);
}

/*
 * CLOCK: the last bound up to t.  It is where the clock last read a multiple
 * of the width, or a later change of the offset.
 */
static TimestampTz
clock_start(int64 width, const pg_tz *tz, TimestampTz t)
{
	ZoneStretch stretch = zone_stretch(tz, t);
	TimestampTz start = t - floor_mod(t + stretch.offset, width);

	stretch = zone_stretch(tz, start);
	while (stretch.end <= t)
	{
		int64		offset = stretch.offset;
		TimestampTz next = stretch.end;

		stretch = zone_stretch(tz, next);
		if (stretch.offset != offset)
			start = next;
	}
	return start;
}

/* CLOCK: the first bound after the bound `start`. */
static TimestampTz
clock_end(int64 width, const pg_tz *tz, TimestampTz start)
{
	ZoneStretch stretch = zone_stretch(tz, start);
	TimestampTz end = start + width - floor_mod(start + stretch.offset, width);

	while (stretch.end < end)
	{
		int64		offset = stretch.offset;
		TimestampTz next = stretch.end;

		stretch = zone_stretch(tz, next);
		if (stretch.offset != offset)
			return next;
	}
	return end;
}

/* ELAPSED: how far t is into its bucket. */
static int64
elapsed_in_bucket(int64 width, const pg_tz *tz, TimestampTz t)
{
	return floor_mod(t - zone_settles(tz, day_start(ORIGIN_DAY)), width);
}

/*
 * DAYPART, DAYS, MONTHS: the number of the bucket that a reading of the local
 * clock belongs to.
 */
static int64
local_bucket(const Granularity *g, Timestamp local)
{
	int64		day = floor_div(local, USECS_PER_DAY);

	switch (g->kind)
	{
		case BUCKET_DAYPART:
			return floor_div(local, g->width * USECS_PER_MINUTE);
		case BUCKET_DAYS:
			return floor_div(day - ORIGIN_DAY, g->width);
		default:
			return floor_div(month_of_day(day), g->width);
	}
}

/* DAYPART, DAYS, MONTHS: the reading at which a bucket begins. */
static Timestamp
local_bound(const Granularity *g, int64 bucket)
{
	switch (g->kind)
	{
		case BUCKET_DAYPART:
			return bucket * g->width * USECS_PER_MINUTE;
		case BUCKET_DAYS:
			return day_start(bucket * g->width + ORIGIN_DAY);
		default:
			return day_start(month_first_day(bucket * g->width));
	}
}

/*
 * The start of the bucket that holds the finite instant t.  Raises no error.
 */
TimestampTz
bucket_start(const Granularity *g, const pg_tz *tz, TimestampTz t)
{
	TimestampTz start;

	switch (g->kind)
	{
		case BUCKET_CLOCK:
			start = clock_start(g->width * USECS_PER_MINUTE, tz, t);
			break;
		case BUCKET_ELAPSED:
			start = t - elapsed_in_bucket(g->width * USECS_PER_MINUTE, tz, t);
			break;
		default:
			start = zone_settles(tz, local_bound(g, local_bucket(g, zone_lowest_since(tz, t))));
			break;
	}
	return clamp_start(start);
}

/*
 * The end, exclusive, of the bucket that begins at `start`, which is the start
 * of the next one; END_TIMESTAMP for the last bucket.  Raises no error.
 */
TimestampTz
bucket_end(const Granularity *g, const pg_tz *tz, TimestampTz start)
{
	int64		width = g->width * USECS_PER_MINUTE;
	int64		bucket;
	TimestampTz end;

	switch (g->kind)
	{
		case BUCKET_CLOCK:
			return clamp_end(clock_end(width, tz, start));

		case BUCKET_ELAPSED:
			/* `start` is short of a bound only where it was clamped. */
			width -= elapsed_in_bucket(width, tz, start);
			return start < END_TIMESTAMP - width ? start + width : END_TIMESTAMP;

		default:
			bucket = local_bucket(g, zone_lowest_since(tz, start));
			do
				end = zone_settles(tz, local_bound(g, ++bucket));
			while (end <= start);	/* a bucket of skipped readings */
			return clamp_end(end);
	}
}

/* ------------------------------------------------------------------------
 * Cached bounds
 * ------------------------------------------------------------------------
 */

/*
 * Makes an empty cache of the buckets of *g, which must outlive it, in a zone.
 */
void
bucket_cache_init(BucketCache *cache, const Granularity *g, const pg_tz *tz)
{
	int64		width;

	switch (g->kind)
	{
		case BUCKET_DAYS:
			width = g->width * USECS_PER_DAY;
			break;
		case BUCKET_MONTHS:
			width = g->width * 28 * USECS_PER_DAY;
			break;
		default:
			width = g->width * USECS_PER_MINUTE;
			break;
	}

	cache->granularity = g;
	cache->tz = tz;
	cache->shift = 0;
	while ((width >> cache->shift) > 1)
		cache->shift++;
	for (int i = 0; i < BUCKET_CACHE_LINES; i++)
		cache->lines[i].span = PG_INT64_MAX;
}

/*
 * bucket_start() of the finite instant t, and the cache line for its span
 * filled, unless the span holds bounds of three buckets or more.
 */
TimestampTz
bucket_cache_miss(BucketCache *cache, TimestampTz t)
{
	const Granularity *g = cache->granularity;
	int64		span = t >> cache->shift;
	BucketCacheLine *line = &cache->lines[span & (BUCKET_CACHE_LINES - 1)];
	TimestampTz last = t | ((INT64CONST(1) << cache->shift) - 1);
	TimestampTz start = bucket_start(g, cache->tz, t);
	TimestampTz first;
	TimestampTz before;
	TimestampTz boundary;

	/* The span's finite instants, from first to last. */
	first = Max(span * (INT64CONST(1) << cache->shift), MIN_TIMESTAMP);
	last = Min(last, END_TIMESTAMP - 1);

	before = start;
	if (start > first)
		before = bucket_start(g, cache->tz, first);
	boundary = bucket_end(g, cache->tz, before);
	if (boundary > last)
		boundary = PG_INT64_MAX;
	else if (bucket_end(g, cache->tz, boundary) <= last)
		return start;

	line->span = span;
	line->boundary = boundary;
	line->before = before;
	return start;
}

/* ------------------------------------------------------------------------
 * Local time to instants
 * ------------------------------------------------------------------------
 */

/*
 * The stretch of readings around `local` that are all taken at one offset.
 *
 * Which offset that is, PostgreSQL decides so for its AT TIME ZONE: of the
 * first change of the offset that comes later than a day before the reading
 * (as if that were UTC), it takes the offset before, if the reading is less
 * than what the clock reads right after the change, else the one after.  So
 * a reading that is skipped is taken at the offset before the gap, and one
 * that occurs twice is taken at its second occurrence.
 *
 * `from` is no tighter than it is cheap to find out: looking back goes in
 * halving steps from 200 days.
 */
static LocalStretch
local_stretch(const pg_tz *tz, Timestamp local)
{
	ZoneStretch before = zone_stretch(tz, local - USECS_PER_DAY);
	LocalStretch result;
	TimestampTz change = before.end;

	if (change != PG_INT64_MAX)
	{
		ZoneStretch after = zone_stretch(tz, change);
		Timestamp	reading = change + after.offset;

		if (local >= reading)
		{
			result.offset = after.offset;
			result.to = PG_INT64_MAX;
			if (after.end != PG_INT64_MAX)
				result.to = Max(change + USECS_PER_DAY,
								after.end + zone_stretch(tz, after.end).offset);
			result.from = local;
			if (zone_stretch(tz, reading - USECS_PER_DAY).end == change)
				result.from = reading;
			return result;
		}
		result.to = reading;
	}
	else
		result.to = PG_INT64_MAX;

	result.offset = before.offset;
	result.from = local;
	for (int64 back = 200 * USECS_PER_DAY; back > USECS_PER_SEC; back /= 2)
	{
		if (zone_stretch(tz, local - back - USECS_PER_DAY).end == change)
		{
			result.from = local - back;
			break;
		}
	}
	return result;
}

/* The instant of a reading at an offset, brought into the range of timestamps. */
static TimestampTz
local_at_offset(Timestamp local, int64 offset)
{
	return clamp_start(Min(local - offset, END_TIMESTAMP - 1));
}

/*
 * The instant of a finite local time, as PostgreSQL's AT TIME ZONE gives it.
 * Where that raises an error, as the instant is out of range, this returns the
 * nearest finite one.
 */
TimestampTz
bucket_from_local(const pg_tz *tz, Timestamp local)
{
	return local_at_offset(local, local_stretch(tz, local).offset);
}

/* Makes an empty cache of the local times of a zone. */
void
local_cache_init(LocalCache *cache, const pg_tz *tz)
{
	cache->tz = tz;
	cache->used = 0;
	cache->next = 0;
}

/* bucket_from_local(), cached. */
TimestampTz
local_cache_instant(LocalCache *cache, Timestamp local)
{
	LocalStretch *stretch;

	for (int i = 0; i < cache->used; i++)
	{
		stretch = &cache->stretches[i];
		if (local >= stretch->from && local < stretch->to)
			return local_at_offset(local, stretch->offset);
	}

	stretch = &cache->stretches[cache->next];
	*stretch = local_stretch(cache->tz, local);
	cache->next = (cache->next + 1) % LOCAL_CACHE_STRETCHES;
	cache->used = Min(cache->used + 1, LOCAL_CACHE_STRETCHES);
	return local_at_offset(local, stretch->offset);
}
