/*-------------------------------------------------------------------------
 *
 * jobwork.h
 *	  The scheduler's transactions, and what it does in them for one job.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_JOBWORK_H
#define BATCHAGG_JOBWORK_H

#include "slots/agenda.h"

/* Pauses after failures, milliseconds: the first, doubled up to the longest. */
#define FIRST_PAUSE 1000
#define LONGEST_PAUSE 30000

/* So many jobs get a row of the ledger without a worker, until the others had a turn. */
#define MAX_SETTLED 100

extern void jobwork_begin(void);
extern void jobwork_end(void);
extern void for_job(AgendaJob *job, TimestampTz now,
					void (*work) (AgendaJob *job, TimestampTz now));

#endif							/* BATCHAGG_JOBWORK_H */
