/*-------------------------------------------------------------------------
 *
 * refresh.h
 *	  What a run has to recompute of a definition's results from one source.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_REFRESH_H
#define BATCHAGG_REFRESH_H

#include "utils/snapshot.h"

#include "refresh/cursor.h"
#include "refresh/extent.h"
#include "source/source.h"
#include "track/tracking.h"

/* How a run knows what to read of a source. */
typedef enum RefreshMode
{
	REFRESH_FULL,				/* it does not: everything */
	REFRESH_LOG,				/* by the marks that writers left */
	REFRESH_SNAPSHOT,			/* by which transaction inserted a row, and marks */
	REFRESH_LOOKBACK			/* what is younger than the definition's lookback */
} RefreshMode;

/* What is to be done about one source of one definition. */
typedef struct Refresh
{
	Source	   *source;
	TimestampTz horizon;		/* rows from here on are not read yet */
	RefreshMode mode;
	const char *reason;			/* why everything is recomputed where the mode knows better; NULL:
								 * it is not */
	const Tracking *tracking;	/* of the source; NULL: not tracked, or not usable */
	const Tracking *marked;		/* likewise, usable or not */
	const Cursor *cursor;		/* where the last run left off; NULL: nowhere usable */
	char	   *fingerprint;	/* of all that results depend on besides rows */

	List	   *names;			/* row layout: names in the rows that match a metric, as far as
								 * they matter (rownames.c) */
	Extents    *changed;		/* times of rows that have changed since the cursor, as the source
								 * has them; NULL: there is no cursor to go on from */

	Extents    *extents;		/* what is recomputed from all of its rows */
	bool		additions;		/* new rows elsewhere are added to stored states */
	bool		keeps_states;	/* partial states are stored with the results, to be added to or
								 * for coarser ones */
	TimestampTz retained_from;	/* results of buckets before this are deleted */
	TimestampTz history_before; /* results of buckets before this outlive their rows: DT_NOEND:
								 * all do, DT_NOBEGIN: none (history.c) */
	TimestampTz cut_bucket;		/* that has lost rows, though it is the first; DT_NOBEGIN: none
								 * has */
	TimestampTz rows_from;		/* time of the oldest row ever met; DT_NOEND: not known */
	bool		mixed;			/* some results are of an earlier meaning, and may be of other
								 * buckets than the definition's */
	TimestampTz states_from;	/* in buckets from here on, what is not brought up to date is so
								 * already, and its states are stored; DT_NOEND: nowhere */
	TimestampTz exact_from;		/* results of buckets from here on are exact after the run;
								 * DT_NOBEGIN: all are */
	Ahead		ahead;			/* where there may be rows from the horizon on */
} Refresh;

extern int64 refresh_tidy(const Refresh *refresh);
extern const char *refresh_mode_name(RefreshMode mode);
extern TimestampTz bucket_before(const Definition *definition, TimestampTz t,
								 const char *interval);
extern bool refresh_counts_passed_time(const Refresh *refresh);
extern Extents *refresh_passed_time(const Refresh *refresh);

#endif							/* BATCHAGG_REFRESH_H */
