/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  The ledger of slots: what became of each.
 *
 * A slot enters the ledger, as running, before its run begins, in a committed
 * transaction: should the run take the server down with it, the attempt is
 * counted all the same.  (When that reaches the disk: see dispatch() in
 * scheduler.c.)  It becomes done in the very transaction that stores
 * the results, so that each slot's results are stored exactly once.  That
 * transaction names the attempt that it is.  Where another has begun meanwhile,
 * because this one was taken for dead, it finds that the slot is no longer its
 * own, and fails.
 *
 *		(waits) --start--> running --finish--> done
 *		   |				|	 ^
 *		   |				|	 | start: next attempt
 *		   |				+--finish--> waiting
 *		   |				|				|
 *		   |				+--finish--> failed <--give up
 *		   +--pass over--> missed, skipped
 *
 * An attempt that could not begin, as somebody else is at the job, is none: it is
 * given back, and the slot is what it was before the start.
 *
 * All functions run in the caller's transaction, with the rights of the
 * extension's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "slots/clock.h"
#include "slots/ledger.h"

static const char *const state_names[] = {
	"", "running", "waiting", "done", "failed", "missed", "skipped"
};

/*
 * The state of this name; SLOT_NONE for NULL.
 */
SlotState
slot_state(const char *name)
{
	for (SlotState state = SLOT_RUNNING; name != NULL && state <= SLOT_SKIPPED; state++)
	{
		if (strcmp(name, state_names[state]) == 0)
			return state;
	}
	return SLOT_NONE;
}

/*
 * Notes that attempts begin now.  ERROR where one is at a slot of which another
 * attempt, as late or later, is known.
 */
void
ledger_start(const SlotAttempt *attempts, int n)
{
	Oid			types[] = {INT4ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TIMESTAMPTZOID};
	Datum	   *jobs = palloc(n * sizeof(Datum));
	Datum	   *slots = palloc(n * sizeof(Datum));
	Datum	   *numbers = palloc(n * sizeof(Datum));
	Datum		values[4];
	List	   *rows;

	for (int i = 0; i < n; i++)
	{
		jobs[i] = Int32GetDatum(attempts[i].job_id);
		slots[i] = TimestampTzGetDatum(attempts[i].slot);
		numbers[i] = Int32GetDatum(attempts[i].attempt);
	}
	values[0] = PointerGetDatum(construct_array(jobs, n, INT4OID, 4, true, TYPALIGN_INT));
	values[1] = PointerGetDatum(construct_array(slots, n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	values[2] = PointerGetDatum(construct_array(numbers, n, INT4OID, 4, true, TYPALIGN_INT));
	values[3] = TimestampTzGetDatum(clock_now());
	rows = ext_query(true,
					 psprintf("INSERT INTO %s AS l (job_id, slot, state, attempt, started_at) "
							  "SELECT a.job_id, a.slot, 'running', a.attempt, $4 "
							  "FROM unnest($1, $2, $3) a(job_id, slot, attempt) "
							  "ON CONFLICT (job_id, slot) DO UPDATE SET state = 'running', "
							  "attempt = excluded.attempt, started_at = excluded.started_at, "
							  "finished_at = NULL, not_before = NULL "
							  "WHERE l.attempt < excluded.attempt RETURNING 1",
							  ext_table("batchagg_ledger")),
					 lengthof(types), types, values);
	if (list_length(rows) != n)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("a slot that was to be run has been started by another process")));
}

/*
 * Locks a slot that is in the ledger.  False where it is not there any more, or
 * somebody else has locked it: whoever is deleting its job, and may take an hour
 * to commit.  Nobody waits.
 */
bool
ledger_try_lock(int32 job_id, TimestampTz slot)
{
	Oid			types[] = {INT4OID, TIMESTAMPTZOID};
	Datum		values[] = {Int32GetDatum(job_id), TimestampTzGetDatum(slot)};

	return ext_query(true,
					 psprintf("SELECT 1 FROM %s WHERE job_id = $1 AND slot = $2 "
							  "FOR UPDATE SKIP LOCKED", ext_table("batchagg_ledger")),
					 lengthof(types), types, values) != NIL;
}

/*
 * Notes that a number of slots get no run of their own, and why.
 */
void
ledger_pass_over(int32 job_id, const SlotRange *range, SlotState state, const char *reason)
{
	Oid			types[] = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID,
	TIMESTAMPTZOID};
	Datum		values[] = {
		Int32GetDatum(job_id),
		TimestampTzGetDatum(range->last),
		TimestampTzGetDatum(range->first),
		Int32GetDatum(range->count),
		CStringGetTextDatum(state_names[state]),
		CStringGetTextDatum(reason),
		TimestampTzGetDatum(clock_now())
	};

	ext_query(true,
			  psprintf("INSERT INTO %s (job_id, slot, first_slot, slots, state, reason, finished_at) "
					   "VALUES ($1, $2, nullif($3, $2), nullif(nullif($4, 1), -1), $5, $6, $7) "
					   "ON CONFLICT DO NOTHING",
					   ext_table("batchagg_ledger")),
			  lengthof(types), types, values);
}

/*
 * Notes how an attempt ended: done, failed, or waiting for a retry at
 * not_before (else 0).  `reason` may be NULL; run_id is 0 where nothing was
 * recorded.  ERROR where another attempt at the slot has begun since.
 */
void
ledger_finish(const SlotAttempt *attempt, SlotState state, int64 run_id, TimestampTz not_before,
			  const char *reason)
{
	Oid			types[] = {INT4OID, TIMESTAMPTZOID, INT4OID, TEXTOID, INT8OID, TIMESTAMPTZOID,
	TEXTOID, TIMESTAMPTZOID};
	Datum		values[] = {
		Int32GetDatum(attempt->job_id),
		TimestampTzGetDatum(attempt->slot),
		Int32GetDatum(attempt->attempt),
		CStringGetTextDatum(state_names[state]),
		Int64GetDatum(run_id),
		TimestampTzGetDatum(not_before != 0 ? not_before : DT_NOBEGIN),
		CStringGetTextDatum(reason ? reason : ""),
		TimestampTzGetDatum(clock_now())
	};

	if (ext_query(true,
				  psprintf("UPDATE %s SET state = $4, run_id = nullif($5, 0), "
						   "not_before = nullif($6, '-infinity'), reason = nullif($7, ''), "
						   "finished_at = $8 WHERE job_id = $1 AND slot = $2 AND attempt = $3 "
						   "AND state = 'running' RETURNING 1",
						   ext_table("batchagg_ledger")),
				  lengthof(types), types, values) == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("slot %s of job %d has been taken over by another run",
						timestamptz_to_str(attempt->slot), attempt->job_id)));
}

/*
 * Takes back that an attempt has been started, as nothing of it was done.  The slot is
 * as it was before; one that waits for a retry does so until not_before.
 */
void
ledger_give_back(const SlotAttempt *attempt, TimestampTz not_before, const char *reason)
{
	Oid			types[] = {INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, TEXTOID};
	Datum		values[] = {
		Int32GetDatum(attempt->job_id),
		TimestampTzGetDatum(attempt->slot),
		Int32GetDatum(attempt->attempt),
		TimestampTzGetDatum(not_before),
		CStringGetTextDatum(reason)
	};

	ext_query(true,
			  psprintf("WITH fresh AS (DELETE FROM %1$s WHERE job_id = $1 AND slot = $2 "
					   "AND attempt = $3 AND attempt = 1 AND state = 'running') "
					   "UPDATE %1$s SET state = 'waiting', attempt = attempt - 1, not_before = $4, "
					   "reason = $5 WHERE job_id = $1 AND slot = $2 AND attempt = $3 "
					   "AND attempt > 1 AND state = 'running'",
					   ext_table("batchagg_ledger")),
			  lengthof(types), types, values);
}

/*
 * Notes that a slot that waits for a retry gets none.
 */
void
ledger_give_up(int32 job_id, TimestampTz slot, const char *reason)
{
	Oid			types[] = {INT4OID, TIMESTAMPTZOID, TEXTOID};
	Datum		values[] = {Int32GetDatum(job_id), TimestampTzGetDatum(slot),
	CStringGetTextDatum(reason)};

	ext_query(true,
			  psprintf("UPDATE %s SET state = 'failed', not_before = NULL, "
					   "reason = concat_ws('; ', reason, $3) "
					   "WHERE job_id = $1 AND slot = $2 AND state = 'waiting'",
					   ext_table("batchagg_ledger")),
			  lengthof(types), types, values);
}

/*
 * Forgets the slots of a job that is not there any more.
 */
void
ledger_forget_deleted(int32 job_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(job_id)};

	ext_query(true,
			  psprintf("DELETE FROM %s WHERE job_id = $1 "
					   "AND NOT EXISTS (SELECT FROM %s WHERE id = $1)",
					   ext_table("batchagg_ledger"), ext_table("batch_jobs")),
			  lengthof(types), types, values);
}

/*
 * Forgets the slots of a job after an instant: the clock has gone back behind it.
 */
void
ledger_take_back(int32 job_id, TimestampTz after)
{
	Oid			types[] = {INT4OID, TIMESTAMPTZOID};
	Datum		values[] = {Int32GetDatum(job_id), TimestampTzGetDatum(after)};

	ext_query(true,
			  psprintf("DELETE FROM %s WHERE job_id = $1 AND slot > $2",
					   ext_table("batchagg_ledger")),
			  lengthof(types), types, values);
}

/*
 * Removes runs and slots that are older than that many days, at most `limit`
 * of each; never the last slot of a job, from which the next ones follow.
 * Returns how many.
 */
int
ledger_trim(int days, int limit)
{
	Oid			types[] = {TIMESTAMPTZOID, INT4OID};
	Datum		values[] = {TimestampTzGetDatum(clock_now() - days * USECS_PER_DAY),
	Int32GetDatum(limit)};
	List	   *rows;

	rows = ext_query(true,
					 psprintf("WITH slots AS (DELETE FROM %1$s WHERE ctid = ANY (ARRAY("
							  "SELECT l.ctid FROM %1$s l WHERE l.slot < $1 AND l.state <> 'running' "
							  "AND EXISTS (SELECT FROM %1$s later "
							  "WHERE later.job_id = l.job_id AND later.slot > l.slot) LIMIT $2)) "
							  "RETURNING 1), "
							  "runs AS (DELETE FROM %2$s WHERE ctid = ANY (ARRAY("
							  "SELECT r.ctid FROM %2$s r WHERE r.started_at < $1 LIMIT $2)) RETURNING 1) "
							  "SELECT count(*) FROM (TABLE slots UNION ALL TABLE runs) r",
							  ext_table("batchagg_ledger"), ext_table("batchagg_runs")),
					 lengthof(types), types, values);
	return pg_strtoint32(((char **) linitial(rows))[0]);
}
