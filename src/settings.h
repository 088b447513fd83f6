/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The extension's settings (batchagg.*).
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SETTINGS_H
#define BATCHAGG_SETTINGS_H

extern int	batchagg_batch_size;	/* groups written per batch */
extern int	batchagg_work_mem;	/* memory of one run, kB; -1: hash memory */
extern int	batchagg_max_parallel_workers_per_run;
extern int	batchagg_job_timeout;	/* seconds; 0: none */
extern int	batchagg_log_level; /* an elog level */
extern char *batchagg_timezone; /* zone of events that name none */

/* The service's. */
#define MAX_CONCURRENT_JOBS 128

extern bool batchagg_enabled;
extern bool batchagg_restrict_superuser_jobs;
extern char *batchagg_databases;	/* list of names, or * */
extern int	batchagg_max_concurrent_jobs;
extern int	batchagg_max_retries;
extern int	batchagg_retry_delay;	/* seconds */
extern int	batchagg_history_retention; /* days; 0: for ever */

extern void settings_define(void);
extern Size settings_run_memory(void);
extern void settings_pin(void);
extern bool settings_serve_database(const char *name);

#endif							/* BATCHAGG_SETTINGS_H */
