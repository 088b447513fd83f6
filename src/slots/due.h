/*-------------------------------------------------------------------------
 *
 * due.h
 *	  Which slots of a job are due, and what becomes of those that were missed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_DUE_H
#define BATCHAGG_DUE_H

#include "time/event.h"

/* batch_jobs.missed_runs */
typedef enum MissedPolicy
{
	MISSED_COALESCE,			/* one run catches up for all */
	MISSED_EACH,				/* a run for each, oldest first */
	MISSED_SKIP					/* no run */
} MissedPolicy;

/* Slots are not counted beyond this. */
#define MAX_COUNTED_SLOTS 10000

/* A number of slots, one after the other. */
typedef struct SlotRange
{
	TimestampTz first;
	TimestampTz last;
	int			count;			/* 0: none; -1: more than MAX_COUNTED_SLOTS */
} SlotRange;

/* What is to be done about the slots of a job after one that is accounted for. */
typedef struct DueSlots
{
	TimestampTz skipped_to;		/* those up to this one are not to be run; DT_NOBEGIN: none */
	TimestampTz oldest;			/* the first that waits; DT_NOEND: none does */
	TimestampTz slot;			/* the one to run, which catches up for those before it; where
								 * none is due, the next */
} DueSlots;

extern SlotRange slots_between(const CronSchedule *schedule, const pg_tz *tz, TimestampTz after,
							   TimestampTz until);
extern void slots_due(const CronSchedule *schedule, const pg_tz *tz, MissedPolicy policy,
					  TimestampTz accounted, TimestampTz watched_since, TimestampTz now,
					  DueSlots *result);

#endif							/* BATCHAGG_DUE_H */
