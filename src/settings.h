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
extern int	batchagg_work_mem;		/* memory of one run, kB; -1: hash memory */
extern int	batchagg_job_timeout;	/* seconds; 0: none */
extern int	batchagg_log_level;		/* an elog level */
extern char *batchagg_timezone;		/* zone of events that name none */

extern void settings_define(void);
extern Size settings_run_memory(void);

#endif							/* BATCHAGG_SETTINGS_H */
