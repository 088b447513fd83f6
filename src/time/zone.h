/*-------------------------------------------------------------------------
 *
 * zone.h
 *	  Time zones and calendar days: between instants and local clocks.
 *
 * A pure room.  Instants are TimestampTz, readings of a local clock are
 * Timestamp, both in microseconds since 2000-01-01 00:00.  Days are counted
 * from 2000-01-01, months from January 2000.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ZONE_H
#define BATCHAGG_ZONE_H

#include "datatype/timestamp.h"
#include "pgtime.h"

/* No clock is further from UTC than this. */
#define ZONE_MAX_OFFSET (TZDISP_LIMIT * USECS_PER_SEC)

/* A stretch of time within which the zone's offset is constant. */
typedef struct ZoneStretch
{
	int64		offset;			/* local minus UTC, microseconds */
	TimestampTz end;			/* where the next stretch begins (its offset may be the same), or
								 * PG_INT64_MAX: nowhere */
} ZoneStretch;

extern const char *zone_parse(const char *name, pg_tz **result);
extern uint64 zone_digest(const pg_tz *tz);

extern ZoneStretch zone_stretch(const pg_tz *tz, TimestampTz t);
extern Timestamp zone_lowest_reading(const pg_tz *tz, TimestampTz t);
extern Timestamp zone_highest_reading(const pg_tz *tz, TimestampTz t);
extern TimestampTz zone_earliest(const pg_tz *tz, Timestamp local);
extern TimestampTz zone_latest(const pg_tz *tz, Timestamp local);
extern Timestamp zone_lowest_since(const pg_tz *tz, TimestampTz t);
extern Timestamp zone_passed_before(const pg_tz *tz, TimestampTz t);
extern TimestampTz zone_settles(const pg_tz *tz, Timestamp local);
extern TimestampTz zone_reaches(const pg_tz *tz, Timestamp local);

extern int64 month_of_day(int64 day);
extern int64 month_first_day(int64 month);
extern Timestamp day_start(int64 day);

/* Division that rounds towards minus infinity; b is positive. */
static inline int64
floor_div(int64 a, int64 b)
{
	int64		quotient = a / b;

	return (a % b < 0) ? quotient - 1 : quotient;
}

/* What floor_div() leaves: from 0 to b - 1. */
static inline int64
floor_mod(int64 a, int64 b)
{
	int64		rest = a % b;

	return rest < 0 ? rest + b : rest;
}

#endif							/* BATCHAGG_ZONE_H */
