/*-------------------------------------------------------------------------
 *
 * early.c
 *	  Groups that are stored while their source is still being read.
 *
 * Measurements are mostly stored in the order in which they are made.  When a
 * scan has come to the rows of May, then, groups of April are finished.  They
 * need not wait in memory for the end of the scan, where there is no room for
 * all of them in the processor's cache, and perhaps not in the budget: they are
 * stored, and leave.  However many groups there are in all, memory is needed
 * for those of a few buckets only.
 *
 * Which groups are finished cannot be known, only guessed; so there are three
 * steps.
 *
 * First, the planner's statistics must say that rows come in the order of time
 * (order.c), and everything be read and recomputed.
 *
 * Second, each rollup has a watermark, as stream processing calls it: buckets
 * before it have left.  From time to time, whenever a certain number of groups
 * has been added, the newest bucket is noted.  If until the next time but one
 * no row comes that is older than that, the watermark moves there.  So what
 * leaves is behind by at least as many groups as are added between two looks,
 * and a source with rows that are later than that keeps its groups.
 *
 * Third, a row may come for a bucket that has left.  It is late, and is not
 * counted.  From then on no group leaves early any more, and when all has been
 * read and stored, what was late is recomputed in the way in which a run
 * recomputes what has changed: a second scan reads the rows of these buckets,
 * and the results are merged with what was stored.  As results do not depend on
 * the order of rows, they are what they would have been.  (Of ids that are equal
 * but print differently the first one's text counts; sources that may have such
 * keep their groups.)
 *
 * Where several processes read a source, each has a watermark for what it reads.
 * Workers send what is behind theirs to the leader, and the leader stores what is
 * behind all of them.  What one of them says of late rows holds for all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "read/early.h"
#include "read/order.h"
#include "store/late.h"

/* Groups leave when those in memory take more than this, or half the budget. */
#define EARLY_MEMORY ((Size) 12 * 1024 * 1024)

/* Groups are from as many intervals as this. */
#define INTERVALS 3

/* An interval is no less. */
#define MIN_INTERVAL 256

/*
 * May groups of this scan leave before all of its rows have been read?
 */
bool
scan_may_store_early(const SourceScan *scan, const ScanQuery *query)
{
	return scan_is_of_everything(scan, query) && scan_order_matters(scan) == NULL &&
		query_is_in_time_order(query, scan);
}

/*
 * Lets the groups of a rollup leave early, of one that is fed from rows when
 * early_look() says so.
 */
void
early_create(Rollup *rollup)
{
	Early	   *early = palloc0(sizeof(Early));

	early->first_late = DT_NOEND;
	early->last_late = DT_NOBEGIN;
	early->watermark = early->watched = early->newest = DT_NOBEGIN;
	rollup->early = early;
	rollup->late = late_create();
}

/*
 * Has no group leave early any more when another of the processes that read together
 * has come to that, and tells them.
 */
void
early_share(Early *early, pg_atomic_uint32 *over_for_all)
{
	early->over_for_all = over_for_all;
}

/* Does no group leave early any more? */
static bool
is_over(const Early *early)
{
	return early->over ||
		(early->over_for_all != NULL && pg_atomic_read_u32(early->over_for_all) != 0);
}

/*
 * Has no group leave any more while rows are read, in this process or another that
 * reads together with it.
 */
void
early_stop(Early *early)
{
	early->over = true;
	if (early->over_for_all != NULL)
		pg_atomic_write_u32(early->over_for_all, 1);
}

/*
 * Must the groups of a rollup stay to the end?  Then those of other processes must,
 * too.
 */
static bool
must_stay(const Rollup *rollup)
{
	if (!is_over(rollup->early) && !groups_spilled(rollup->groups))
		return false;
	early_stop(rollup->early);
	return true;
}

/*
 * A row of a bucket that is to leave next, or has left.  Returns whether the row
 * can be added to its group.
 */
bool
early_meet(const Rollup *rollup, TimestampTz bucket)
{
	Early	   *early = rollup->early;

	if (bucket >= early->watermark)
	{
		early->watched = early->watermark;
		return true;
	}
	early_stop(early);
	early->first_late = Min(early->first_late, bucket);
	early->last_late = Max(early->last_late, bucket);
	late_add(rollup->late, bucket, bucket);
	return false;
}

/*
 * Sets after how many groups to look, as soon as they take their part of the
 * memory.  Returns false where they do not.
 */
static bool
find_interval(Early *early, const Groups *groups, uint64 added)
{
	Size		memory = Min(EARLY_MEMORY, groups_budget(groups) / 2);

	if (added < MIN_INTERVAL || groups_memory(groups) < memory / INTERVALS)
		return false;
	early->interval = added;
	return true;
}

/* Moves the watermark of a rollup to `to`, or as far as it goes. */
static void
advance(Rollup *rollup, TimestampTz to)
{
	Early	   *early = rollup->early;

	if (to > early->watermark)
		early->watermark = rollup->scan->store_early(rollup, to);
}

/*
 * Lets all groups of a rollup leave for which other processes have no more, this one
 * having read all rows of its parts so far.  Returns whether the watermark moves.
 */
bool
early_finish(Rollup *rollup)
{
	Early	   *early = rollup->early;
	TimestampTz watermark = early->watermark;

	if (must_stay(rollup))
		return false;
	advance(rollup, DT_NOEND);
	early->watched = Max(early->watched, early->watermark);
	return early->watermark > watermark;
}

/*
 * Lets all groups of a rollup leave, no more rows being to come.  If that is not
 * possible, others must not wait for it.
 */
void
early_end(Rollup *rollup)
{
	(void) early_finish(rollup);
	if (rollup->early->watermark != DT_NOEND)
		early_stop(rollup->early);
}

/*
 * Lets groups of a rollup leave if it is time to.  To be called every few rows.
 */
void
early_look(Rollup *rollup)
{
	Early	   *early = rollup->early;
	TimestampTz newest;
	uint64		added = groups_added(rollup->groups, &newest);

	if (early->over)
		return;
	if (early->interval == 0 ? !find_interval(early, rollup->groups, added) :
		added - early->added < early->interval)
		return;
	if (must_stay(rollup))
		return;
	advance(rollup, early->watched);
	early->watched = Max(early->newest, early->watermark);
	early->newest = newest;
	early->added = added;
}
