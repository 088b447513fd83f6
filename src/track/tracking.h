/*-------------------------------------------------------------------------
 *
 * tracking.h
 *	  Sources whose changes are tracked, and whether nothing escapes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_TRACKING_H
#define BATCHAGG_TRACKING_H

typedef enum TrackMode
{
	TRACK_LOG,					/* every change is marked */
	TRACK_SNAPSHOT				/* inserted rows have their transaction's id, the rest is marked */
} TrackMode;

/* A row of batchagg_sources. */
typedef struct Tracking
{
	int32		id;
	char	   *source;			/* qualified and quoted */
	TrackMode	mode;
	char	   *time_column;
	char	   *id_column;		/* NULL: marks are of all entities */
	char	   *xid_column;		/* TRACK_SNAPSHOT only */
} Tracking;

/* How the source of this name is tracked, as the active snapshot sees it; or NULL. */
extern Tracking *tracking_load(const char *source);

/*
 * Compares the tables that the source's rows are in, its leaves, with what the
 * active snapshot sees in batchagg_leaves.  What came, went or changed is marked
 * under this transaction's id, and batchagg_leaves is brought up to date; without
 * may_write that is a reason not to rely on marks.  The relation is locked.
 *
 * Returns NULL, or why marks do not tell all changes: a text for a message's detail.
 */
extern const char *tracking_settle(const Tracking *tracking, Oid relid, bool may_write);

/* For this room. */
extern const char *tracking_mode_name(TrackMode mode);
extern bool tracking_writing(Oid schema, int32 id);
extern Oid	tracking_marks_relid(int32 id);
extern const char *tracking_source_name(int32 id);
extern void tracking_changed(void);
extern const char *leaves_renew(const Tracking *tracking, Oid relid);
extern void leaves_forget(int32 source_id);

#endif							/* BATCHAGG_TRACKING_H */
