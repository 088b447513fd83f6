/*-------------------------------------------------------------------------
 *
 * attempt.h
 *	  Attempts at slots: running a job for one, and what follows from that.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ATTEMPT_H
#define BATCHAGG_ATTEMPT_H

#include "run/run.h"
#include "slots/agenda.h"

/* How an attempt of several jobs ended. */
typedef enum AttemptEnd
{
	ATTEMPT_DONE,
	ATTEMPT_FAILED,				/* it is recorded */
	ATTEMPT_AGAIN				/* each is to be tried alone */
} AttemptEnd;

extern AttemptEnd attempt_together(const SlotAttempt *attempts, int n);
extern bool attempt_alone(const SlotAttempt *attempt);
extern void attempt_was_interrupted(AgendaJob *job, int pid);
extern bool attempt_if_due(AgendaJob *job, RunResult *result);

#endif							/* BATCHAGG_ATTEMPT_H */
