/*-------------------------------------------------------------------------
 *
 * cursor.h
 *	  Cursors: up to where the results of a definition from one source are
 *	  known to be exact.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_CURSOR_H
#define BATCHAGG_CURSOR_H

#include "access/transam.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/snapshot.h"

#include "refresh/ahead.h"

typedef struct Cursor
{
	int32		definition_id;
	const char *source;			/* qualified and quoted */
	const char *mode;			/* of the run that left it */
	const char *fingerprint;
	TimestampTz horizon;		/* up to which rows were read */
	Ahead		ahead;			/* where there were rows beyond it, or could be */
	TimestampTz exact_from;		/* results of buckets from here on are exact; DT_NOBEGIN: all are */
	const char *snapshot;		/* what the run saw, as a pg_snapshot; its own transaction is not
								 * committed in it */
	FullTransactionId run_xid;	/* that transaction */
	List	   *names;			/* row layout: known names in the rows that match a metric, some
								 * of which may be gone (rownames.c) */
} Cursor;

extern List *cursors_load(const List *definition_ids);
extern const Cursor *cursor_find(const List *cursors, int32 definition_id, const char *source);
extern void cursor_save(const Cursor *cursor);
extern void cursors_drop_others(const List *definition_ids, const List *sources);
extern char *snapshot_text(Snapshot snapshot);

#endif							/* BATCHAGG_CURSOR_H */
