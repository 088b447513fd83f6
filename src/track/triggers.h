/*-------------------------------------------------------------------------
 *
 * triggers.h
 *	  The triggers of tracked tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_TRIGGERS_H
#define BATCHAGG_TRIGGERS_H

#include "lib/stringinfo.h"
#include "utils/relcache.h"

#include "track/tracking.h"

extern void triggers_create(const Tracking *tracking, Oid relid);
extern void triggers_drop(const char *table, Oid relid);
extern const char *triggers_state(Relation pg_trigger, Oid relid, StringInfo token);
extern const char *triggers_check(const Tracking *tracking, Oid relid);

/* Runs a command as the caller, with nothing but pg_catalog in its search_path. */
extern void track_command(const char *sql);
extern char *track_table_name(Oid relid);

#endif							/* BATCHAGG_TRIGGERS_H */
