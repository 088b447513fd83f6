/*-------------------------------------------------------------------------
 *
 * pass.c
 *	  One pass of a run: its scans, each read into groups that are merged with the store.
 *
 * While one process reads, or several, groups to which no row will come any more may be
 * stored: the reader calls us back (rollup_take_early), and for that moment we are
 * ourselves again and not the owner of the job.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "model/layout.h"
#include "model/owner.h"
#include "progress.h"
#include "read/early.h"
#include "read/parallel.h"
#include "read/query.h"
#include "read/scan.h"
#include "run/pass.h"
#include "settings.h"
#include "store/cascade.h"
#include "store/report.h"
#include "store/write.h"

/*
 * Logs how a scan's groups fared; not to the client, whose encoding may lack what is in
 * names; here and below.
 */
static void
scan_log(const SourceScan *scan, const char *database)
{
	ListCell   *lc;

	if (DEBUG1 < batchagg_log_level)
		return;
	foreach(lc, scan->rollups)
	{
		const Rollup *rollup = lfirst(lc);

		ereport(LOG_SERVER_ONLY,
				(errmsg("batchagg job %d in database \"%s\", definition %d: read %s with %d workers, groups took %zu kB of memory, %d sorted runs in temporary files",
						rollup->definition->job->id, database, rollup->definition->id, scan->source->name,
						scan->workers, rollup->usage.peak / 1024, rollup->usage.runs),
				 errhidestmt(true), errhidecontext(true)));
	}
}

/* The job of a run that a rollup is of. */
static JobRun *
rollup_job(const Run *run, const Rollup *rollup)
{
	int			i = 0;

	while (run->jobs[i].job != rollup->definition->job)
		i++;
	return &run->jobs[i];
}

/*
 * Adds a scan's rows to the figures of each job that it has read for.
 */
static void
scan_count_rows(const Run *run, const SourceScan *scan)
{
	List	   *counted = NIL;
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		JobRun	   *job = rollup_job(run, lfirst(lc));

		if (list_member_ptr(counted, job))
			continue;
		counted = lappend(counted, job);
		job->result->rows_read += scan->rows_read;
		if (!run->again)
			job->result->rows_skipped += scan->rows_skipped;
	}
}

/*
 * Finds or makes the layouts by which the results of all rollups are stored.
 */
static void
run_layouts(Run *run, List *scans)
{
	ListCell   *lc;

	foreach(lc, scans)
	{
		ListCell   *lc2;

		foreach(lc2, ((SourceScan *) lfirst(lc))->rollups)
		{
			Rollup	   *rollup = lfirst(lc2);
			JobRun	   *job = rollup_job(run, rollup);

			job->layouts = list_concat(job->layouts,
									   rollup_find_layouts(rollup, !run->dry_run,
														   &run->layouts_changed));
		}
	}
}

/* The ids of a job's definitions, and in *horizon the latest of their horizons. */
List *
pass_definition_ids(const Job *job, TimestampTz slot, TimestampTz *horizon)
{
	List	   *ids = NIL;
	ListCell   *lc;

	*horizon = DT_NOBEGIN;
	foreach(lc, job->definitions)
	{
		const Definition *definition = lfirst(lc);

		ids = lappend_int(ids, definition->id);
		*horizon = Max(*horizon, job_run_time(job, slot) - definition->job_delay * USECS_PER_HOUR);
	}
	return ids;
}

/*
 * Reports what is stored where nothing is computed: in other layouts than the
 * scans', and of buckets whose results are retained no longer.
 */
static void
run_report_others(const Run *run, List *scans, StoreWriter *store)
{
	const RunRequest *range = run->repeats;
	TimestampTz horizon;
	ListCell   *lc;

	foreach(lc, layouts_others(pass_definition_ids(run->jobs[0].job, run->slot, &horizon),
							   run->jobs[0].layouts))
		store_report_layout(store, lfirst(lc), range->from, range->to);
	foreach(lc, scans)
	{
		ListCell   *lc2;

		foreach(lc2, ((SourceScan *) lfirst(lc))->rollups)
		{
			Rollup	   *rollup = lfirst(lc2);
			TimestampTz to = Min(rollup->refresh->retained_from, range->to);
			int			i;

			for (i = 0; i < rollup->nparts && to > range->from; i++)
				store_report_layout(store, rollup->parts[i].layout, range->from, to);
		}
	}
}

/* What storing groups while others are read needs to know. */
static struct
{
	MemoryContext memory;		/* the run's */
	const OwnerScope *scope;	/* who we were before we read as the owner */
}			reading;

/*
 * Takes the groups of a rollup that are of buckets before this, as far as all
 * processes have them, while the source is being read: as ourselves.  A StoreEarly.
 */
static TimestampTz
rollup_take_early(Rollup *rollup, TimestampTz before)
{
	MemoryContext old_context;
	Oid			owner;
	int			context;

	before = Min(before, parallel_watermark(rollup));
	if (before <= rollup->early->watermark)
		return rollup->early->watermark;
	old_context = MemoryContextSwitchTo(reading.memory);
	GetUserIdAndSecContext(&owner, &context);
	SetUserIdAndSecContext(reading.scope->saved_user, reading.scope->saved_context);
	cascade_store_before(rollup, before);
	SetUserIdAndSecContext(owner, context);
	MemoryContextSwitchTo(old_context);
	return before;
}

/* Lets groups of a scan be stored while others are read, if they may. */
static void
scan_prepare_early(const Run *run, SourceScan *scan, const ScanQuery *query)
{
	ListCell   *lc;

	if (run->repeats || run->again || !scan_may_store_early(scan, query))
		return;
	scan->store_early = rollup_take_early;
	foreach(lc, scan->rollups)
		early_create(lfirst(lc));
}

/* Reads a scan's source into the groups of its rollups; `scope` is who we were. */
static void
read_source(Run *run, SourceScan *scan, const OwnerScope *scope)
{
	ScanQuery  *query = query_choose(scan);
	const char *obstacle;
	int			workers;

	progress_estimate(query->plan->planTree->plan_rows);
	workers = parallel_workers(scan, query, &obstacle);
	scan_prepare_early(run, scan, query);
	scan_create_groups(scan, CurrentMemoryContext, workers == 0 ? settings_run_memory() :
					   parallel_groups_memory(scan->store_early != NULL), workers + 1);
	reading.memory = run->memory;
	reading.scope = scope;
	if (workers > 0)
		parallel_run(scan, query, workers);
	else
		scan_run(scan, query, NULL, NULL);
	scan->is_read = true;
}

/*
 * Reads a scan's source into the groups of its rollups, as the jobs' owner.
 */
static void
run_scan(Run *run, SourceScan *scan)
{
	MemoryContext caller = CurrentMemoryContext;
	OwnerScope	scope;

	if (!scan_reads_rows(scan))
	{
		scan_create_groups(scan, CurrentMemoryContext, settings_run_memory(), 1);
		return;
	}
	owner_enter(&scope, run->jobs[0].job, scan->timezone);
	PG_TRY();
	{
		read_source(run, scan, &scope);
	}
	PG_CATCH();
	{
		owner_rethrow(caller);
	}
	PG_END_TRY();
	owner_leave(&scope);
}

/*
 * Merges the groups of all rollups of a scan, but those that have left early, with
 * the store.  Returns what was late: a list of Refresh.
 */
static List *
scan_store_groups(Run *run, SourceScan *scan, StoreWriter *store)
{
	ListCell   *lc;

	foreach(lc, scan->fed)
		cascade_finish(lfirst(lc));
	parallel_end(scan);
	scan_end(scan);
	scan_log(scan, run->database);
	return cascade_close(scan, store);
}

/* Adds what the merge of a rollup's groups came to to its job's figures. */
static void
rollup_count(const Run *run, const Rollup *rollup)
{
	WriteCounts *counts = &rollup_job(run, rollup)->counts;
	const WriteCounts *own = rollup_writer_counts(rollup->writer);

	counts->groups += own->groups;
	counts->results += own->results;
	counts->changed += own->changed;
	counts->first_bucket = Min(counts->first_bucket, own->first_bucket);
	if (rollup->late != NULL)
	{
		WriteCounts late = late_counts(rollup->late, own);

		counts->groups -= late.groups;
		counts->results -= late.results;

		/* What was inserted was changed, even if it is changed again. */
		if (run->dry_run)
			counts->changed -= late.changed;
	}
}

/* Has an earlier rollup of a scan the same filter, and is of the same job? */
static bool
filter_came_before(const SourceScan *scan, const Rollup *rollup)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		const Definition *other = ((const Rollup *) lfirst(lc))->definition;

		if (lfirst(lc) == rollup)
			return false;
		if (other->job == rollup->definition->job && other->filter != NULL &&
			strcmp(other->filter, rollup->definition->filter) == 0)
			return true;
	}
	return false;
}

/*
 * Tells of a filter that no row passes, where all were looked at.  In row layout, that no
 * row has the metrics was told.
 */
static void
tell_empty_filter(const SourceScan *scan, const Rollup *rollup)
{
	const Definition *definition = rollup->definition;

	if (definition->filter == NULL || scan->source->layout == LAYOUT_ROW ||
		rollup_writer_counts(rollup->writer)->groups > 0 || scan->rows_skipped > 0 ||
		!extents_are_everything(rollup->refresh->extents) || filter_came_before(scan, rollup))
		return;
	ereport(NOTICE,
			(errmsg("no row of source \"%s\" up to the horizon passes the filter of definition %d",
					text_for_client(scan->source->name), definition->id),
			 errdetail("The filter is: %s", text_for_client(definition->filter))));
}

/* Adds a scan, whose groups are stored, to the figures. */
static void
scan_count(const Run *run, const SourceScan *scan)
{
	ListCell   *lc;

	scan_count_rows(run, scan);
	foreach(lc, scan->rollups)
	{
		rollup_count(run, lfirst(lc));
		if (!run->repeats)
			tell_empty_filter(scan, lfirst(lc));
	}
}

/*
 * Runs scans and stores their results.  Returns what was late, and has to be
 * recomputed: a list of Refresh.
 */
List *
pass_store(Run *run, List *scans)
{
	List	   *late = NIL;
	StoreWriter *store;
	bool		added = false;
	ListCell   *lc;

	/* The same snapshot, but what we have stored so far is seen. */
	run_layouts(run, scans);
	CommandCounterIncrement();
	PushCopiedSnapshot(GetActiveSnapshot());
	UpdateActiveSnapshotCommandId();
	store = store_writer_open(run->dry_run, run->repeats ? run->repeats->differences : NULL);
	foreach(lc, scans)
	{
		SourceScan *scan = lfirst(lc);

		/* What is recomputed builds on what is stored. */
		if (added && !scan->adds)
			store_writer_see_written(store);
		added = scan->adds;
		run->scan = scan;
		progress_scan(scan->source->relid, foreach_current_index(lc) + 1, list_length(scans));
		cascade_open(scan, store);
		run_scan(run, scan);
		progress_store();
		late = list_concat(late, scan_store_groups(run, scan, store));
		run->scan = NULL;
		scan_count(run, scan);
	}
	if (run->repeats && run->repeats->differences)
		run_report_others(run, scans, store);
	store_writer_close(store);
	PopActiveSnapshot();
	return late;
}
