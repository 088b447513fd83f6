/*-------------------------------------------------------------------------
 *
 * cascade.c
 *	  Storing a rollup's groups, which feed coarser rollups on their way.
 *
 * Groups leave in the order of their buckets.  Each first feeds the coarser rollups, in
 * its place among the stored groups that do, and is then merged with the store.  A
 * coarse bucket is finished when the next one begins, and its groups take the same way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "store/cascade.h"

/* The rollup whose groups are being stored, for the context of errors; NULL: none. */
static const Rollup *storing;

static void feed_group(Rollup *coarse, const GroupOut *group);

/*
 * The rollup whose groups are being stored; NULL: none.
 */
const Rollup *
cascade_storing(void)
{
	return storing;
}

/*
 * Nothing is being stored: a run begins, or goes on to read.
 */
void
cascade_rest(void)
{
	storing = NULL;
}

/*
 * Begins to merge the groups of all rollups of a scan with the store.
 */
void
cascade_open(SourceScan *scan, StoreWriter *store)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		Rollup	   *rollup = lfirst(lc);

		rollup->writer = rollup_writer_open(store, rollup);
		if (rollup->stored->n > 0)
			rollup->reader = stored_reader_open(store, rollup);
	}
}

/* Feeds a group of a rollup to the coarser ones. */
static void
feed_coarser(const Rollup *rollup, const GroupOut *group)
{
	ListCell   *lc;

	foreach(lc, rollup->coarser)
		feed_group(lfirst(lc), group);
}

/*
 * Feeds those of a rollup's stored groups to the coarser ones that are not
 * recomputed and come before `next`, or to the end (NULL).
 */
static void
feed_stored(const Rollup *rollup, const GroupOut *next)
{
	GroupOut	group;

	if (rollup->reader == NULL)
		return;
	while (stored_reader_next(rollup->reader, next, &group))
		feed_coarser(rollup, &group);
}

/*
 * Takes a finished group of a rollup: first it feeds the coarser ones, in its
 * place among those that are stored, then it is stored.  A GroupSink.
 *
 * Where stored groups are fed, others than those that are recomputed may have
 * come with them, and lack rows.
 */
static void
take_group(void *arg, const GroupOut *group)
{
	Rollup	   *rollup = arg;

	rollup_writer_meet(rollup->writer, group);
	feed_stored(rollup, group);
	if (group->bucket < rollup->stored_from ||
		rollup_writer_recomputes(rollup->writer, group))
		feed_coarser(rollup, rollup->reader == NULL ? group :
					 stored_reader_settle(rollup->reader, rollup->writer, group));
	storing = rollup;
	if (rollup->late != NULL)
		late_store(rollup, group->bucket, rollup_writer_counts(rollup->writer));
	rollup_writer_put(rollup->writer, group);
}

/*
 * Merges a finer rollup's group into a coarser one.  Groups arrive in the
 * order of their buckets, so a coarse bucket is finished when the next begins.
 */
static void
feed_group(Rollup *coarse, const GroupOut *group)
{
	TimestampTz bucket;

	check_stack_depth();
	if (group->bucket >= coarse->horizon)
		return;
	bucket = bucket_cache_start(coarse->buckets, group->bucket);
	Assert(!coarse->has_open || coarse->open <= bucket);
	if (coarse->has_open && coarse->open != bucket)
		groups_emit(coarse->groups, take_group, coarse);
	coarse->has_open = true;
	coarse->open = bucket;
	groups_feed(coarse->groups, bucket, group);
}

/*
 * Stores the groups of a rollup that are of buckets before this.
 */
void
cascade_store_before(Rollup *rollup, TimestampTz before)
{
	groups_emit_before(rollup->groups, before, take_group, rollup);
	storing = NULL;
}

/*
 * Finishes and stores all groups of a rollup, and of those that it feeds.
 */
void
cascade_finish(Rollup *rollup)
{
	ListCell   *lc;

	check_stack_depth();
	groups_emit(rollup->groups, take_group, rollup);
	rollup->usage = groups_usage(rollup->groups);
	groups_free(rollup->groups);
	feed_stored(rollup, NULL);
	foreach(lc, rollup->coarser)
		cascade_finish(lfirst(lc));
}

/*
 * Ends the merge of all rollups of a scan, whose source has been read.  Returns what was
 * late: a list of Refresh.
 */
List *
cascade_close(SourceScan *scan, StoreWriter *store)
{
	List	   *late;
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		storing = lfirst(lc);
		rollup_writer_finish(storing->writer);
	}
	late = late_refreshes(scan);
	store_writer_catch_up(store);
	foreach(lc, scan->rollups)
	{
		storing = lfirst(lc);
		rollup_writer_close(storing->writer);
		if (storing->reader != NULL)
			stored_reader_close(storing->reader);
	}
	storing = NULL;
	return late;
}
