/*-------------------------------------------------------------------------
 *
 * zone_shim.h
 *	  Made-up time zones for unit programs, in place of the server's time
 *	  zone library (zone_shim.c).
 *
 * Include after postgres.h.  Times are in Unix time, offsets are local minus
 * UTC, all in seconds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ZONE_SHIM_H
#define BATCHAGG_ZONE_SHIM_H

#include "pgtime.h"

/* A zone that is at `offset` always, until changes are added. */
extern pg_tz *zone_shim_new(const char *name, int offset);

/* From `at` on, which is later than all changes so far, it is at `offset`. */
extern void zone_shim_change(pg_tz *zone, pg_time_t at, int offset);

/* The zone's offset at an instant. */
extern int	zone_shim_offset(const pg_tz *zone, pg_time_t at);

/* The number of changes, and when change i is. */
extern int	zone_shim_changes(const pg_tz *zone);
extern pg_time_t zone_shim_change_at(const pg_tz *zone, int i);

/* An instant, of a date and time in UTC. */
extern pg_time_t utc(int year, int month, int day, int hour, int minute);

#endif							/* BATCHAGG_ZONE_SHIM_H */
