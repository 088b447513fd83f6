/*-------------------------------------------------------------------------
 *
 * lock.h
 *	  The locks by which no two runs of a job overlap.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_LOCK_H
#define BATCHAGG_LOCK_H

extern void lock_begin(void);
extern bool run_was_kept_out(void);
extern bool job_try_lock(int32 job_id);
extern void job_lock(int32 job_id);
extern bool job_is_locked(Oid jobs_relid, int32 job_id);
extern uint64 jobs_lock(const int32 *ids, int n, bool waits);
extern void report_deleted(int32 job_id) pg_attribute_noreturn();

#endif							/* BATCHAGG_LOCK_H */
