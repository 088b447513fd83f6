/*-------------------------------------------------------------------------
 *
 * rollup.h
 *	  Scans, and the rollups that they feed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ROLLUP_H
#define BATCHAGG_ROLLUP_H

#include "nodes/pg_list.h"
#include "port/atomics.h"

#include "group/groups.h"
#include "model/textmap.h"
#include "refresh/refresh.h"
#include "source/source.h"

struct RollupWriter;
struct SourceScan;

/*
 * The results that one packed row holds at most, and words of partial states
 * with them.  200 of eight bytes keep the row below the size (2 kB) beyond
 * which PostgreSQL would move it to TOAST.
 */
#define MAX_PART_RESULTS 200

/* A metric that a scan reads, for all its rollups that have it. */
typedef struct ScanMetric
{
	int			number;			/* among a row's values */
	const char *name;			/* as the first job that has it writes it */
	const char *row_name;		/* row layout: the name of its rows */
	AttrNumber	column;			/* column layout only */
	uint32		fields;			/* that any rollup needs */
} ScanMetric;

/* What a rollup needs of a metric that it does not have. */
#define NOT_NEEDED PG_UINT32_MAX

/* A metric with results in a packed row. */
typedef struct ResultMetric
{
	int			state;			/* number of its state in a group */
	const JobMetric *job_metric;
	int			first;			/* position of its first aggregate, from 0 */
	int			together;		/* metrics from here on whose states are finished at once:
								 * neighbours, with the same aggregates */
} ResultMetric;

/* The results of a group that are stored in one packed row. */
typedef struct ResultPart
{
	int			npositions;
	int			nmetrics;
	ResultMetric *metrics;
	int			words;			/* of their partial states */
	struct StoredLayout *layout;	/* its id 0: a dry run, and nothing is stored yet */
} ResultPart;

/* What one definition computes from one source. */
typedef struct Rollup
{
	struct SourceScan *scan;
	Definition *definition;
	Source	   *source;
	Refresh    *refresh;		/* which of its results are brought up to date */
	TimestampTz horizon;		/* rows from here on are not read yet */
	bool		adds;			/* its groups are added to stored ones, but for those that are
								 * recomputed */

	ScanMetric **metrics;		/* its own, in the job's order */
	uint32	   *needs;			/* of each metric of the scan, by its number: fields, or
								 * NOT_NEEDED */
	int			words;			/* of states with just these fields */
	GroupLayout *layout;		/* of its groups */
	int			nparts;
	ResultPart *parts;

	struct Rollup *finer;		/* fed from this one's groups; NULL: from rows */
	List	   *coarser;		/* rollups that are fed from this one's groups */
	Extents    *reads;			/* groups whose rows are read for it */
	TimestampTz stored_from;	/* coarser rollups get groups of buckets from here on as they are
								 * stored, unless they are recomputed; DT_NOEND: none */
	Extents    *stored;			/* those that they need, and some that are recomputed */

	int			id_input;		/* position of the id in the scan's rows, -1: none */
	int			filter_input;	/* position of the filter's flag, -1: none */
	int			id_place;		/* fed from rows: the place of each among the columns */
	int			filter_place;	/* that the receiver takes */
	BucketCache *buckets;
	LocalCache *locals;			/* where time is local */
	const MetricSpan **metric_spans;	/* row layout: of each metric of the scan; NULL: not
										 * needed */
	int			number;			/* among those fed from rows */
	Groups	   *groups;
	GroupsUsage usage;			/* of these, when they are gone */
	struct Wanted *wanted;		/* fed from rows: which of them; NULL: all */
	struct RowBatch *rows;		/* fed from rows: those not yet added to groups */
	struct Early *early;		/* its groups leave while rows are read; NULL: they do not */
	struct Late *late;			/* what came after its groups had left; NULL likewise */

	bool		has_open;		/* fed from groups: a bucket is being collected */
	TimestampTz open;			/* its start */

	struct RollupWriter *writer;
	struct StoredReader *reader;	/* of groups that are stored; NULL: none are needed */
} Rollup;

/*
 * Stores groups of a rollup, or sends them to who does, while rows are read: those
 * of buckets before this, or as many as it can.  Returns before which it has.
 */
typedef TimestampTz (*StoreEarly) (Rollup *rollup, TimestampTz before);

/*
 * One read of a source, for the rollups of all definitions that it serves, of
 * one job or several.
 */
typedef struct SourceScan
{
	Source	   *source;			/* relation, layout, time: the same for all rollups */
	const char *timezone;		/* TimeZone in which filters are evaluated */
	bool		adds;			/* reads rows that are new since the rollups' cursor, the same for
								 * all; else all rows of their extents */
	List	   *rollups;		/* finer before coarser */
	List	   *fed;			/* of these, those fed from rows */

	List	   *metrics;		/* of ScanMetric, those with equal fields next to each other */
	textmap_hash *metrics_by_name;	/* row layout: the same, by the names of rows */
	ScanMetric **metrics_by_column; /* column layout: the same, from 1; NULL: none */

	StoreEarly	store_early;	/* NULL: groups are stored in the end */
	bool		is_read;		/* the source, all of it */

	int64		rows_read;
	int64		rows_skipped;	/* id or time NULL, or time infinite */
	pg_atomic_uint64 *all_rows_read;	/* by all processes that read together, told every few
										 * rows; NULL: there is one */
	int			workers;		/* that have helped to read it */
	struct Parallel *parallel;	/* while they do; NULL: there are none */
} SourceScan;

/*
 * Are a rollup's groups, of which some outlive their rows, all stored with their states?
 */
static inline bool
rollup_stores_history(const Rollup *rollup)
{
	return rollup->refresh->keeps_states && rollup->refresh->history_before != DT_NOBEGIN;
}

#endif							/* BATCHAGG_ROLLUP_H */
