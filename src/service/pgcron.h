/*-------------------------------------------------------------------------
 *
 * pgcron.h
 *	  Jobs started by pg_cron instead of the background worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_PGCRON_H
#define BATCHAGG_PGCRON_H

extern bool pgcron_drives(void);
extern bool worker_drives(void);
extern void nobody_drives(void);
extern int	pgcron_use(void);
extern int	pgcron_leave(void);
extern void pgcron_sync_at_commit(void);
extern void pgcron_sync(void);
extern void pgcron_forget(void);
extern const char *pgcron_schedule(const char *event_name);

#endif							/* BATCHAGG_PGCRON_H */
