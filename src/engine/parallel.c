/*-------------------------------------------------------------------------
 *
 * parallel.c
 *	  Reading a source with several processes.
 *
 * A scan that reads all rows of large tables shares them with PostgreSQL's
 * parallel workers.  These have the run's snapshot, user and settings, and are
 * ended with it.  Each process, the one that runs the job being one of them,
 * executes the scan's plan, meets a part of the rows, and has groups of its
 * own.  In the end each worker writes its groups to a temporary file, as one
 * sorted run, and the leader merges these with its own groups while it stores
 * them: from there on a run is as it ever was.  While the processes read, the
 * leader may not write; what it stores, it stores when they are gone.
 *
 * PostgreSQL's own parallel scans hand a table out in small pieces, one process
 * after the other.  As tables are roughly in the order of time, every group
 * would then be met by every process, and there would be as many times more of
 * them to merge.  So processes get long stretches of a table here: the blocks
 * of all tables that the plan scans are seen as one sequence, and who is ready
 * for more takes a share of what is left of it.  The shares become smaller to
 * the end, so that all processes end at about the same time, and a worker that
 * never starts costs nothing but speed.
 *
 * A plan can be divided so if it is nothing but scans of whole tables, one after
 * the other: then each of its rows comes from one row of a table, and the parts
 * together return what the whole does.  And results must not depend on which
 * process meets a row first; so sources with ids that are equal but print
 * differently (numeric 1.0 and 1.00), of which the first one's text counts, are
 * read by one process.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "parser/parsetree.h"
#include "pgtime.h"
#include "storage/bufmgr.h"
#include "storage/sharedfileset.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "engine/entity.h"
#include "engine/parallel.h"
#include "engine/scan.h"
#include "settings.h"

/* As functions of the extension name it. */
#define LIBRARY_NAME "$libdir/batchagg"

#define KEY_SEGMENT 1

/*
 * To start and end a worker takes as long as it does to read and aggregate tens
 * of megabytes; so a source has to be so many times larger than a table that
 * PostgreSQL thinks of scanning in parallel.
 */
#define WORKER_WORTH 8

/*
 * A process takes its share of 1/SHARE of what is left, but no less than its
 * share of 1/LEAST_SHARE of all.
 */
#define SHARE 2
#define LEAST_SHARE 32

/* What a worker leaves of a rollup. */
typedef struct RollupShare
{
	bool		exported;		/* it has groups */
	TapeShare	run;			/* where they are */
	GroupsUsage usage;
	TimestampTz ahead;			/* as in Refresh */
} RollupShare;

/*
 * What the processes share, in a segment of memory of its own: the workers'
 * files are there as long as it is, and that is longer than the workers.  The
 * task for the workers, a parcel, is behind it.
 */
typedef struct ParallelScan
{
	SharedFileSet files;		/* the workers' groups */
	int			processes;
	uint64		nblocks;		/* of all tables */
	pg_atomic_uint64 next_block;	/* that nobody has taken yet */
	pg_atomic_uint64 rows_read;
	pg_atomic_uint64 rows_skipped;	/* by workers */
	pg_atomic_uint32 finished;	/* workers that have */
	int			nfed;			/* rollups fed from rows */
	int			task_length;
	RollupShare rollups[FLEXIBLE_ARRAY_MEMBER]; /* each worker's nfed, one behind
												 * the other */
} ParallelScan;

/* A table that is scanned, as a part of the sequence of all blocks. */
typedef struct Leaf
{
	uint64		first;			/* number of its first block */
	BlockNumber nblocks;
} Leaf;

/* The parts that a process takes. */
typedef struct Parts
{
	ParallelScan *shared;
	int			nleaves;
	Leaf	   *leaves;			/* by index in the plan's range table, from 0 */
	uint64		from;			/* the part at hand: blocks from here on, */
	uint64		to;				/* before this one */
} Parts;

/* May all processes read this table? */
static bool
table_is_shareable(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		result = rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		rel->rd_rel->relpersistence != RELPERSISTENCE_TEMP;

	table_close(rel, NoLock);
	return result;
}

static BlockNumber
table_blocks(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	BlockNumber n = RelationGetNumberOfBlocks(rel);

	table_close(rel, NoLock);
	return n;
}

/* The blocks of all tables that are in a plan. */
static uint64
plan_blocks(const PlannedStmt *stmt)
{
	uint64		n = 0;
	ListCell   *lc;

	foreach(lc, stmt->rtable)
	{
		const RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_RELATION &&
			(rte->relkind == RELKIND_RELATION || rte->relkind == RELKIND_MATVIEW))
			n += table_blocks(rte->relid);
	}
	return n;
}

/*
 * Why a scan cannot be read by several processes, however large its source is;
 * NULL: it can.
 */
static const char *
find_obstacle(const SourceScan *scan, const ScanQuery *query)
{
	List	   *leaves;
	ListCell   *lc;

	if (batchagg_max_parallel_workers_per_run == 0)
		return "batchagg.max_parallel_workers_per_run is 0";
	if (max_parallel_workers == 0)
		return "max_parallel_workers is 0";
	if (!scan_is_of_everything(scan, query))
		return "not everything is recomputed";
	if (!query_leaves(query, &leaves))
		return "the plan does not just scan tables";
	if (!query->parallel_safe)
		return "a view, filter or policy has something that is not parallel safe";
	foreach(lc, leaves)
		if (!table_is_shareable(rt_fetch(lfirst_int(lc), query->plan->rtable)->relid))
			return "a table is temporary or not of the access method heap";
	return scan_order_matters(scan);
}

/*
 * Returns how many workers help to read a scan: one more with each factor of 3
 * by which the source is larger than it has to be, as PostgreSQL has it.  Where
 * the source is large enough and there are none, *obstacle is set to the reason,
 * else to NULL.
 */
int
parallel_workers(const SourceScan *scan, const ScanQuery *query, const char **obstacle)
{
	uint64		blocks = plan_blocks(query->plan);
	uint64		size = Max((uint64) min_parallel_table_scan_size * WORKER_WORTH, 1);
	int			workers = 1;

	*obstacle = NULL;
	if (blocks < size)
		return 0;
	*obstacle = find_obstacle(scan, query);
	if (*obstacle != NULL || IsInParallelMode())
		return 0;
	for (; blocks / 3 >= size; size *= 3)
		workers++;
	return Min(workers, Min(batchagg_max_parallel_workers_per_run, max_parallel_workers));
}

/*
 * A parcel holds what workers have to know.  The same functions pack it and
 * unpack it again, so what goes in comes out.
 */
typedef struct Parcel
{
	bool		packing;
	StringInfo	data;
} Parcel;

static void
parcel_bytes(Parcel *parcel, void *bytes, Size size)
{
	if (parcel->packing)
		appendBinaryStringInfo(parcel->data, bytes, size);
	else
	{
		Assert(parcel->data->cursor + size <= parcel->data->len);
		memcpy(bytes, parcel->data->data + parcel->data->cursor, size);
		parcel->data->cursor += size;
	}
}

#define PARCEL(parcel, field) parcel_bytes(parcel, &(field), sizeof(field))

/* An array of `size` bytes; it is allocated when it is unpacked. */
static void *
parcel_array(Parcel *parcel, void *array, Size size)
{
	if (!parcel->packing)
		array = palloc(size);
	parcel_bytes(parcel, array, size);
	return array;
}

static char *
parcel_text(Parcel *parcel, const char *text)
{
	Size		size = parcel->packing ? strlen(text) + 1 : 0;

	PARCEL(parcel, size);
	return parcel_array(parcel, unconstify(char *, text), size);
}

static void
parcel_query(Parcel *parcel, ScanQuery *query)
{
	char	   *plan = parcel_text(parcel, parcel->packing ? nodeToString(query->plan) : NULL);

	if (!parcel->packing)
		query->plan = stringToNode(plan);
	PARCEL(parcel, query->nvalues);
	query->value_columns = parcel_array(parcel, query->value_columns,
										query->nvalues * sizeof(int));
	query->value_types = parcel_array(parcel, query->value_types,
									  query->nvalues * sizeof(Oid));
	PARCEL(parcel, query->time_column);
	PARCEL(parcel, query->time_type);
	PARCEL(parcel, query->name_column);
	PARCEL(parcel, query->table);
}

static void
parcel_metrics(Parcel *parcel, SourceScan *scan)
{
	int			n = list_length(scan->metrics);
	int			i;

	PARCEL(parcel, n);
	for (i = 0; i < n; i++)
	{
		ScanMetric *metric = parcel->packing ? list_nth(scan->metrics, i) :
			palloc0(sizeof(ScanMetric));

		PARCEL(parcel, metric->number);
		metric->folded = parcel_text(parcel, metric->folded);
		if (!parcel->packing)
			scan->metrics = lappend(scan->metrics, metric);
	}
}

/* A layout of groups, which is made again of what makes it. */
static void
parcel_layout(Parcel *parcel, GroupLayout *layout)
{
	int			n = layout->nmetrics;
	int		   *numbers;
	uint32	   *fields;

	PARCEL(parcel, n);
	numbers = parcel_array(parcel, layout->numbers, n * sizeof(int));
	fields = parcel_array(parcel, layout->fields, n * sizeof(uint32));
	if (!parcel->packing)
		group_layout_init(layout, n, numbers, fields);
}

/* A rollup that is fed from rows, as far as rows have to do with it. */
static void
parcel_rollup(Parcel *parcel, Rollup *rollup)
{
	Definition *definition = rollup->definition;

	PARCEL(parcel, definition->granularity.kind);
	PARCEL(parcel, definition->granularity.width);
	PARCEL(parcel, definition->granularity.count);
	definition->timezone = parcel_text(parcel, definition->timezone);
	definition->tz = pg_tzset(definition->timezone);
	PARCEL(parcel, rollup->source->relid);
	PARCEL(parcel, rollup->source->id_column);
	PARCEL(parcel, rollup->horizon);
	PARCEL(parcel, rollup->id_input);
	PARCEL(parcel, rollup->filter_input);
	parcel_layout(parcel, rollup->layout);
}

static Rollup *
rollup_create(SourceScan *scan)
{
	Rollup	   *rollup = palloc0(sizeof(Rollup));

	rollup->scan = scan;
	rollup->definition = palloc0(sizeof(Definition));
	rollup->source = palloc0(sizeof(Source));
	rollup->refresh = palloc0(sizeof(Refresh));
	rollup->refresh->extents = extents_everything();
	rollup->refresh->ahead = DT_NOBEGIN;
	rollup->layout = palloc0(sizeof(GroupLayout));
	return rollup;
}

/* The rollups of a scan that are fed from rows. */
static List *
fed_rollups(const SourceScan *scan)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, scan->rollups)
		if (((Rollup *) lfirst(lc))->finer == NULL)
			result = lappend(result, lfirst(lc));
	return result;
}

static void
parcel_scan(Parcel *parcel, SourceScan *scan)
{
	List	   *rollups = fed_rollups(scan);
	int			n = list_length(rollups);
	int			i;

	PARCEL(parcel, scan->source->relid);
	PARCEL(parcel, scan->source->layout);
	PARCEL(parcel, scan->source->name_column);
	parcel_metrics(parcel, scan);
	PARCEL(parcel, n);
	for (i = 0; i < n; i++)
	{
		if (!parcel->packing)
			scan->rollups = lappend(scan->rollups, rollup_create(scan));
		parcel_rollup(parcel, list_nth(parcel->packing ? rollups : scan->rollups, i));
	}
}

/* All that workers have to know. */
static void
parcel_task(Parcel *parcel, SourceScan *scan, ScanQuery *query, Parts *parts)
{
	parcel_query(parcel, query);
	parcel_scan(parcel, scan);
	PARCEL(parcel, parts->nleaves);
	parts->leaves = parcel_array(parcel, parts->leaves, parts->nleaves * sizeof(Leaf));
}

static char *
shared_task(ParallelScan *shared)
{
	return (char *) &shared->rollups[(shared->processes - 1) * shared->nfed];
}

/* A worker's share of the rollups. */
static RollupShare *
worker_rollups(ParallelScan *shared, int worker)
{
	return &shared->rollups[worker * shared->nfed];
}

/* Lines up the blocks of the tables that a plan scans; returns how many they are. */
static uint64
parts_init(Parts *parts, const ScanQuery *query)
{
	const PlannedStmt *stmt = query->plan;
	List	   *leaves;
	uint64		n = 0;
	ListCell   *lc;

	(void) query_leaves(query, &leaves);
	parts->nleaves = list_length(stmt->rtable);
	parts->leaves = palloc0(parts->nleaves * sizeof(Leaf));
	foreach(lc, leaves)
	{
		Leaf	   *leaf = &parts->leaves[lfirst_int(lc) - 1];

		/* Rows that are written behind these blocks are not in the snapshot. */
		leaf->nblocks = table_blocks(rt_fetch(lfirst_int(lc), stmt->rtable)->relid);
		leaf->first = n;
		n += leaf->nblocks;
	}
	return n;
}

/*
 * Sets up what the processes share.  Returns NULL where there is no memory for
 * it.
 */
static dsm_segment *
shared_create(SourceScan *scan, ScanQuery *query, int workers, Parts *parts)
{
	uint64		nblocks = parts_init(parts, query);
	int			nfed = list_length(fed_rollups(scan));
	StringInfoData task;
	Parcel		parcel = {.packing = true,.data = &task};
	dsm_segment *segment;
	ParallelScan *shared;

	initStringInfo(&task);
	parcel_task(&parcel, scan, query, parts);
	segment = dsm_create(offsetof(ParallelScan, rollups) + workers * nfed * sizeof(RollupShare) +
						 task.len, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (segment == NULL)
		return NULL;
	shared = parts->shared = dsm_segment_address(segment);
	SharedFileSetInit(&shared->files, segment);
	shared->processes = workers + 1;
	shared->nblocks = nblocks;
	pg_atomic_init_u64(&shared->next_block, 0);
	pg_atomic_init_u64(&shared->rows_read, 0);
	pg_atomic_init_u64(&shared->rows_skipped, 0);
	pg_atomic_init_u32(&shared->finished, 0);
	shared->nfed = nfed;
	shared->task_length = task.len;
	memcpy(shared_task(shared), task.data, task.len);
	pfree(task.data);
	return segment;
}

/* Limits the scans of tables to the part at hand. */
static bool
limit_leaves(PlanState *node, void *arg)
{
	const Parts *parts = arg;
	ScanState  *scan = (ScanState *) node;
	const Leaf *leaf;
	uint64		from;
	uint64		to;

	if (!IsA(node, SeqScanState))
		return planstate_tree_walker(node, limit_leaves, arg);
	leaf = &parts->leaves[((const Scan *) node->plan)->scanrelid - 1];
	from = Max(parts->from, leaf->first);
	to = Min(parts->to, leaf->first + leaf->nblocks);
	if (scan->ss_currentScanDesc == NULL)
		scan->ss_currentScanDesc = table_beginscan_strat(scan->ss_currentRelation,
														 node->state->es_snapshot, 0, NULL,
														 true, false);
	if (from < to)
		heap_setscanlimits(scan->ss_currentScanDesc, from - leaf->first, to - from);
	else
		heap_setscanlimits(scan->ss_currentScanDesc, 0, 0);
	return false;
}

/* A NextPart: takes another part of the blocks. */
static bool
next_part(void *arg, QueryDesc *desc)
{
	Parts	   *parts = arg;
	ParallelScan *shared = parts->shared;
	uint64		least = shared->nblocks / (LEAST_SHARE * shared->processes) + 1;
	uint64		from = pg_atomic_read_u64(&shared->next_block);
	uint64		n;

	do
	{
		if (from >= shared->nblocks)
			return false;
		n = Max((shared->nblocks - from) / (SHARE * shared->processes), least);
	} while (!pg_atomic_compare_exchange_u64(&shared->next_block, &from, from + n));
	parts->from = from;
	parts->to = Min(from + n, shared->nblocks);

	/* That takes back the limits of the part before, too. */
	ExecutorRewind(desc);
	(void) limit_leaves(desc->planstate, parts);
	return true;
}

/* Makes what the workers have found the scan's own. */
static void
take_results(SourceScan *scan, ParallelScan *shared, int workers)
{
	List	   *rollups = fed_rollups(scan);
	int			worker;

	/* Of one that has failed we have heard already. */
	if (pg_atomic_read_u32(&shared->finished) != workers)
		elog(ERROR, "a parallel worker has not finished");
	scan->rows_read = pg_atomic_read_u64(&shared->rows_read);
	scan->rows_skipped += pg_atomic_read_u64(&shared->rows_skipped);
	for (worker = 0; worker < workers; worker++)
	{
		const RollupShare *shares = worker_rollups(shared, worker);
		ListCell   *lc;

		foreach(lc, rollups)
		{
			const Rollup *rollup = lfirst(lc);
			int			i = foreach_current_index(lc);

			refresh_saw(rollup->refresh, shares[i].ahead);
			if (shares[i].exported)
				groups_import(rollup->groups, &shared->files, worker * shared->nfed + i,
							  &shares[i].run, &shares[i].usage);
		}
	}
}

/* Starts the workers. */
static ParallelContext *
start_workers(dsm_segment *segment, int workers)
{
	ParallelContext *context = CreateParallelContext(LIBRARY_NAME, "batchagg_parallel_main",
													 workers);
	dsm_handle *handle;

	shm_toc_estimate_chunk(&context->estimator, sizeof(dsm_handle));
	shm_toc_estimate_keys(&context->estimator, 1);
	InitializeParallelDSM(context);
	handle = shm_toc_allocate(context->toc, sizeof(dsm_handle));
	*handle = dsm_segment_handle(segment);
	shm_toc_insert(context->toc, KEY_SEGMENT, handle);
	LaunchParallelWorkers(context);
	return context;
}

/*
 * Reads the source into the groups of the scan's rollups, as scan_run() does,
 * together with up to `workers` other processes.  parallel_end() has to follow
 * when the groups have been emitted.
 */
void
parallel_run(SourceScan *scan, ScanQuery *query, int workers)
{
	Parts		parts;
	ParallelContext *context;

	scan->shared = shared_create(scan, query, workers, &parts);
	if (scan->shared == NULL)
	{
		scan_run(scan, query, NULL, NULL);
		return;
	}
	EnterParallelMode();
	context = start_workers(scan->shared, workers);
	scan->all_rows_read = &parts.shared->rows_read;
	if (parallel_leader_participation || context->nworkers_launched == 0)
		scan_run(scan, query, next_part, &parts);
	WaitForParallelWorkersToFinish(context);
	scan->workers = context->nworkers_launched;
	DestroyParallelContext(context);
	ExitParallelMode();
	scan->all_rows_read = NULL;
	take_results(scan, parts.shared, scan->workers);
}

/*
 * Frees what the processes have shared, and the workers' files with it.
 */
void
parallel_end(SourceScan *scan)
{
	if (scan->shared != NULL)
		dsm_detach(scan->shared);
	scan->shared = NULL;
}

/*
 * A worker's part of reading a scan.
 */
static void
worker_run(ParallelScan *shared)
{
	RollupShare *shares = worker_rollups(shared, ParallelWorkerNumber);
	SourceScan *scan = palloc0(sizeof(SourceScan));
	ScanQuery	query = {0};
	Parts		parts = {.shared = shared};
	StringInfoData task = {.data = shared_task(shared),.len = shared->task_length};
	Parcel		parcel = {.packing = false,.data = &task};
	ListCell   *lc;

	scan->source = palloc0(sizeof(Source));
	parcel_task(&parcel, scan, &query, &parts);
	scan->all_rows_read = &shared->rows_read;
	scan_create_groups(scan, CurrentMemoryContext, settings_run_memory(), shared->processes);
	foreach(lc, scan->rollups)
		groups_share(((Rollup *) lfirst(lc))->groups, &shared->files,
					 ParallelWorkerNumber * shared->nfed + foreach_current_index(lc));
	scan_run(scan, &query, next_part, &parts);
	pg_atomic_fetch_add_u64(&shared->rows_skipped, scan->rows_skipped);
	foreach(lc, scan->rollups)
	{
		const Rollup *rollup = lfirst(lc);
		RollupShare *share = &shares[foreach_current_index(lc)];

		share->ahead = rollup->refresh->ahead;
		share->exported = groups_export(rollup->groups, &share->run);
		share->usage = groups_usage(rollup->groups);
		groups_free(rollup->groups);
	}
}

/*
 * What a parallel worker executes.
 */
void
batchagg_parallel_main(dsm_segment *segment, shm_toc *toc)
{
	const dsm_handle *handle = shm_toc_lookup(toc, KEY_SEGMENT, false);
	dsm_segment *own = dsm_attach(*handle);
	ParallelScan *shared;

	if (own == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not map dynamic shared memory segment")));
	shared = dsm_segment_address(own);
	SharedFileSetAttach(&shared->files, own);
	debug_query_string = QUERY_NAME;
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	worker_run(shared);
	pg_atomic_fetch_add_u32(&shared->finished, 1);
	dsm_detach(own);
}
