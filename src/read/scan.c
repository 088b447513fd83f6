/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  Reading a source: its query is run into a receiver (receiver.c), which
 *	  takes the rows into the rollups' groups.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "progress.h"
#include "read/receiver.h"
#include "read/scan.h"

/* The cache of buckets of a definition, which all that have the same buckets share. */
static BucketCache *
shared_buckets(textmap_hash *caches, const Definition *definition)
{
	char	   *key = psprintf("%s %s", definition->granularity_text, definition->timezone);
	BucketCache *cache = textmap_get(caches, key);

	if (cache == NULL)
	{
		cache = palloc(sizeof(BucketCache));
		bucket_cache_init(cache, &definition->granularity, definition->tz);
		textmap_put(caches, key, cache);
	}
	return cache;
}

/*
 * Gives every rollup of the scan its caches and an empty table of groups.
 * Those fed from rows share `memory` bytes, of which those fed from groups, if
 * there are any, get a quarter.  Where several processes read the source, each
 * has its part of the memory for those fed from rows.
 */
void
scan_create_groups(SourceScan *scan, MemoryContext context, Size memory, int processes)
{
	MemoryContext old_context = MemoryContextSwitchTo(context);
	int			nfed = list_length(scan->fed);
	int			ncoarser = list_length(scan->rollups) - nfed;
	Size		for_coarser = ncoarser > 0 ? memory / 4 : 0;
	textmap_hash *caches = textmap_create(context, 16, NULL);
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		Rollup	   *rollup = lfirst(lc);
		const Definition *definition = rollup->definition;
		Oid			id_type = TEXTOID;
		Oid			id_collation = InvalidOid;
		int32		typmod;

		CHECK_FOR_INTERRUPTS();
		rollup->buckets = shared_buckets(caches, definition);
		rollup->locals = palloc(sizeof(LocalCache));
		local_cache_init(rollup->locals, definition->tz);
		if (rollup->finer == NULL && rollup->source->id_column != InvalidAttrNumber)
			get_atttypetypmodcoll(rollup->source->relid, rollup->source->id_column,
								  &id_type, &typmod, &id_collation);
		rollup->groups = groups_create(context, rollup->layout, id_type, id_collation,
									   rollup->finer != NULL ? for_coarser / ncoarser :
									   (memory - for_coarser) / nfed / processes);
	}
	MemoryContextSwitchTo(old_context);
}

/*
 * Tells the rollups that are fed from groups what those that are fed from rows
 * have seen ahead of the horizon.
 */
static void
scan_tell_ahead(const SourceScan *scan)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		const Rollup *rollup = lfirst(lc);
		const Rollup *finer = rollup->finer;

		if (finer == NULL)
			continue;
		ahead_add_all(&rollup->refresh->ahead, &finer->refresh->ahead);
		if (rollup->horizon < finer->horizon)
			ahead_add(&rollup->refresh->ahead, rollup->horizon, finer->horizon - 1);
	}
}

static void
run_query(QueryDesc *desc)
{
#if PG_VERSION_NUM >= 180000
	ExecutorRun(desc, ForwardScanDirection, 0);
#else
	ExecutorRun(desc, ForwardScanDirection, 0, false);
#endif
}

/*
 * Reads a part of the source.  Before the next one groups may leave, and so each row
 * must be in its group.
 */
static void
run_part(ScanReceiver *receiver, QueryDesc *desc)
{
	run_query(desc);
	receiver_flush(receiver);
}

/*
 * Reads the source into the groups of the scan's rollups, as the current user
 * and with the active snapshot: all of it, or part by part what next_part, if
 * that is not NULL, says.
 */
void
scan_run(SourceScan *scan, const ScanQuery *query, NextPart next_part, void *arg)
{
	ScanReceiver *receiver = receiver_create(scan, query);
	QueryDesc  *desc = CreateQueryDesc(query->plan, QUERY_NAME, GetActiveSnapshot(),
									   InvalidSnapshot, receiver_dest(receiver), NULL, NULL, 0);

	ExecutorStart(desc, 0);
	if (OidIsValid(query->table))
		receiver_take_table_rows(receiver, desc->planstate);
	if (next_part == NULL)
		run_part(receiver, desc);
	else
		while (next_part(arg, desc))
			run_part(receiver, desc);
	receiver_end(receiver);
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
}

/*
 * To be called when the source has been read, by one process or several.
 */
void
scan_end(const SourceScan *scan)
{
	progress_rows_read(scan->rows_read);
	scan_tell_ahead(scan);
}
