/*-------------------------------------------------------------------------
 *
 * bucket.h
 *	  Time buckets: granularities, bucket bounds in a time zone, and caches
 *	  that make finding a row's bucket cost a few instructions.
 *
 * A pure room: no catalogue, no SPI, no current time.  Instants are
 * TimestampTz (microseconds since 2000-01-01 00:00 UTC).  The essay on what
 * a bucket is stands at the top of bucket.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_BUCKET_H
#define BATCHAGG_BUCKET_H

#include "datatype/timestamp.h"
#include "pgtime.h"

/* How the bounds of a granularity's buckets are found. */
typedef enum BucketKind
{
	BUCKET_CLOCK,				/* minutes dividing an hour, or 1 hour: real time, aligned to the
								 * local clock, cut where the zone's offset changes */
	BUCKET_DAYPART,				/* longer minute widths dividing a day: aligned to local midnight */
	BUCKET_ELAPSED,				/* other minutes and hours: real time counted from the origin */
	BUCKET_DAYS,				/* days, counted from Monday 2000-01-03 local */
	BUCKET_MONTHS				/* months, counted from 2000-01-01 local */
} BucketKind;

typedef struct Granularity
{
	BucketKind	kind;
	int32		width;			/* minutes, days or months, as the kind says */
	int32		count;			/* as written: the 4 of '4-hour' */
	const char *unit;			/* as written, in the singular: "hour" (static) */
} Granularity;

/* Longest canonical text of a granularity, with its terminator. */
#define GRANULARITY_TEXT_LEN 32

/* Most units in one bucket. */
#define GRANULARITY_MAX_COUNT 10000

extern const char *granularity_parse(const char *text, Granularity *result);
extern bool granularity_suggest(const char *text, Granularity *result);
extern void granularity_format(const Granularity *g, char *buf);
extern void granularity_result_infix(const Granularity *g, char *buf);
extern bool granularity_nests(const Granularity *fine, const Granularity *coarse);
extern int64 granularity_length(const Granularity *g);

extern TimestampTz bucket_start(const Granularity *g, const pg_tz *tz, TimestampTz t);
extern TimestampTz bucket_end(const Granularity *g, const pg_tz *tz, TimestampTz start);
extern TimestampTz bucket_from_local(const pg_tz *tz, Timestamp local);

/*
 * A direct-mapped cache of bucket bounds.  A line covers one aligned span of
 * 2^shift microseconds, no longer than a bucket usually is, so that it holds
 * one bucket boundary at most; the few spans that hold more are not cached.
 */
#define BUCKET_CACHE_LINES 8192

typedef struct BucketCacheLine
{
	int64		span;			/* t >> shift, or PG_INT64_MAX: empty */
	TimestampTz boundary;		/* where the second bucket begins, or PG_INT64_MAX: nowhere in
								 * this span */
	TimestampTz before;			/* start of the bucket before the boundary */
} BucketCacheLine;

typedef struct BucketCache
{
	const Granularity *granularity;
	const pg_tz *tz;
	int			shift;
	BucketCacheLine lines[BUCKET_CACHE_LINES];
} BucketCache;

extern void bucket_cache_init(BucketCache *cache, const Granularity *g, const pg_tz *tz);
extern TimestampTz bucket_cache_miss(BucketCache *cache, TimestampTz t);

/* The start of the bucket that holds the finite instant t: bucket_start(), cached. */
static inline TimestampTz
bucket_cache_start(BucketCache *cache, TimestampTz t)
{
	int64		span = t >> cache->shift;
	const BucketCacheLine *line = &cache->lines[span & (BUCKET_CACHE_LINES - 1)];

	if (unlikely(line->span != span))
		return bucket_cache_miss(cache, t);
	return t < line->boundary ? line->before : line->boundary;
}

/*
 * Local time to instant, cached: the stretches of local time met so far, and
 * the one offset at which all of a stretch is read.
 */
#define LOCAL_CACHE_STRETCHES 8

typedef struct LocalStretch
{
	Timestamp	from;			/* inclusive */
	Timestamp	to;				/* exclusive */
	int64		offset;			/* local minus UTC, microseconds */
} LocalStretch;

typedef struct LocalCache
{
	const pg_tz *tz;
	int			used;			/* stretches filled */
	int			next;			/* which to replace next */
	LocalStretch stretches[LOCAL_CACHE_STRETCHES];
} LocalCache;

extern void local_cache_init(LocalCache *cache, const pg_tz *tz);
extern TimestampTz local_cache_instant(LocalCache *cache, Timestamp local);

#endif							/* BATCHAGG_BUCKET_H */
