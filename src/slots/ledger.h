/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  The ledger of slots: what became of each.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_LEDGER_H
#define BATCHAGG_LEDGER_H

#include "slots/due.h"

/* batchagg_ledger.state */
typedef enum SlotState
{
	SLOT_NONE,					/* not in the ledger */
	SLOT_RUNNING,
	SLOT_WAITING,				/* for a retry */
	SLOT_DONE,
	SLOT_FAILED,
	SLOT_MISSED,
	SLOT_SKIPPED
} SlotState;

/* An attempt at a slot. */
typedef struct SlotAttempt
{
	int32		job_id;
	TimestampTz slot;
	int			attempt;		/* from 1 */
} SlotAttempt;

extern SlotState slot_state(const char *name);

extern void ledger_start(const SlotAttempt *attempts, int n);
extern bool ledger_try_lock(int32 job_id, TimestampTz slot);
extern void ledger_pass_over(int32 job_id, const SlotRange *range, SlotState state,
							 const char *reason);
extern void ledger_finish(const SlotAttempt *attempt, SlotState state, int64 run_id,
						  TimestampTz not_before, const char *reason);
extern void ledger_give_back(const SlotAttempt *attempt, TimestampTz not_before,
							 const char *reason);
extern void ledger_give_up(int32 job_id, TimestampTz slot, const char *reason);
extern void ledger_take_back(int32 job_id, TimestampTz after);
extern void ledger_forget_deleted(int32 job_id);
extern int	ledger_trim(int days, int limit);

#endif							/* BATCHAGG_LEDGER_H */
