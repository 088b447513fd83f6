/*-------------------------------------------------------------------------
 *
 * parallel.c
 *	  Reading a source with several processes.
 *
 * A scan that reads all rows of large tables shares them with PostgreSQL's
 * parallel workers.  These have the run's snapshot, user and settings, and are
 * ended with it.  Each process, the one that runs the job being one of them,
 * executes the scan's plan, meets a part of the rows, and has groups of its
 * own.  Workers send theirs to the leader, each as one sorted stream, and the
 * leader merges them with its own groups while it stores them.
 *
 * The blocks of all tables that the plan scans are seen as one sequence, and who is
 * ready for more takes some of what is left of it: one part after the other, so
 * that a worker that never starts costs nothing but speed.  Parts are long
 * stretches.  PostgreSQL's own parallel scans hand a table out in small pieces,
 * one process after the other; as tables are roughly in the order of time, every
 * group would then be met by every process, and there would be as many times more
 * of them to merge.
 *
 * Where rows come in the order of time, groups leave while others are read
 * (early.c).  Then parts are of middling size, the same for all, so that processes
 * are near each other in time.  A worker sends the groups that are behind its
 * watermark, and then tells the watermark; the leader stores those that are behind
 * all processes' watermarks, its own included.  A worker that is ahead waits for
 * room in its stream; the leader never waits while it reads.  So whoever is
 * farthest behind can always go on, and then all others can.  A worker that has read
 * its last part sends all that it has.  When one process has met a late row, or
 * needs temporary files, or has more in the end than there is room for, all keep
 * their groups.
 *
 * Each process having read its last part, workers send the groups that are left, one
 * rollup after the other, and the leader stores them in this order.
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
#include "storage/bufmgr.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "read/early.h"
#include "read/parallel.h"
#include "read/scan.h"
#include "read/task.h"
#include "settings.h"
#include "store/late.h"

/* As functions of the extension name it. */
#define LIBRARY_NAME "$libdir/batchagg"

/* What the processes share, in the segment of the workers. */
#define KEY_SHARED 1

/*
 * To start and end a worker takes as long as it does to read and aggregate tens
 * of megabytes; so a source has to be so many times larger than a table that
 * PostgreSQL thinks of scanning in parallel.
 */
#define WORKER_WORTH 8

/*
 * A process takes its share of 1/SHARE of what is left, but no less than its
 * share of 1/LEAST_SHARE of all; where groups leave early, so many blocks.
 */
#define SHARE 2
#define LEAST_SHARE 32
#define EARLY_SHARE 4096

/*
 * Memory for the groups of a rollup that are under way from a worker.  Where they
 * leave early, that is half of a run's memory in all, since a worker should not have
 * to wait as soon as it is ahead; in the end, little will do.
 */
#define MIN_QUEUE ((Size) 256 * 1024)
#define MAX_QUEUE ((Size) 32 * 1024 * 1024)

/*
 * All of these queues together have no more than this in the end, however many rollups
 * there are, of which each has no less than that: fewer workers help then.
 */
#define MAX_QUEUES ((Size) 64 * 1024 * 1024)
#define LEAST_QUEUE ((Size) 16 * 1024)

/* To look for news this often, in milliseconds, if nobody wakes us. */
#define LOOK_INTERVAL 10

/* What is known of a rollup in a worker. */
typedef struct RollupShare
{
	pg_atomic_uint64 watermark; /* groups of buckets before this have been sent */

	/* When the worker has finished: */
	GroupsUsage usage;
	Ahead		ahead;			/* as in Refresh */
	TimestampTz first_late;		/* as in Early */
	TimestampTz last_late;
} RollupShare;

/*
 * What the processes share.  The task for the workers is behind it, then each
 * worker's streams.
 */
typedef struct ParallelScan
{
	PGPROC	   *leader;
	bool		early;			/* groups leave while others are read */
	int			processes;
	int			nleaves;
	uint64		nblocks;		/* of all tables */
	pg_atomic_uint64 next_block;	/* that nobody has taken yet */
	pg_atomic_uint64 rows_read;
	pg_atomic_uint64 rows_skipped;	/* by workers */
	pg_atomic_uint32 over;		/* as in Early */
	pg_atomic_uint32 ready;		/* workers that have read their last part */
	pg_atomic_uint32 finished;	/* workers that have */
	int			nfed;			/* rollups fed from rows */
	Size		queue;			/* bytes of each stream's queue */
	int			task_length;
	RollupShare rollups[FLEXIBLE_ARRAY_MEMBER]; /* each worker's nfed, one behind the other */
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
	uint64		from;			/* the part at hand: blocks from here on, */
	uint64		to;				/* before this one */
} Parts;

/* What the leader has to know of the workers. */
typedef struct Parallel
{
	const SourceScan *scan;
	ParallelContext *context;
	Parts		parts;
} Parallel;

/* A worker, as what it does is called back for. */
static struct
{
	ParallelScan *shared;
	RollupShare *shares;		/* of each rollup */
	StreamWriter **streams;		/* likewise */
}			worker;

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
	if (list_length(scan->fed) > MAX_QUEUES / LEAST_QUEUE)
		return "too many definitions are computed from its rows";
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
	workers = Min(workers, Min(batchagg_max_parallel_workers_per_run, max_parallel_workers));
	return Min(workers, MAX_QUEUES / LEAST_QUEUE / list_length(scan->fed));
}

/* Waits until another process wakes this one, or for a while. */
static void
wait_for_news(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_INTERVAL,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* A worker's share of the rollups. */
static RollupShare *
worker_rollups(ParallelScan *shared, int number)
{
	return &shared->rollups[number * shared->nfed];
}

/* Where in the shared memory the tables are, by their indexes in the range table. */
static Size
leaves_offset(const ParallelScan *shared)
{
	return offsetof(ParallelScan, rollups) +
		(shared->processes - 1) * shared->nfed * sizeof(RollupShare);
}

static Leaf *
shared_leaves(ParallelScan *shared)
{
	return (Leaf *) ((char *) shared + leaves_offset(shared));
}

/* Where the task is. */
static Size
task_offset(const ParallelScan *shared)
{
	return leaves_offset(shared) + shared->nleaves * sizeof(Leaf);
}

static char *
shared_task(ParallelScan *shared)
{
	return (char *) shared + task_offset(shared);
}

/* Where a stream is, of all of them. */
static Size
stream_offset(const ParallelScan *shared, int number)
{
	return MAXALIGN(task_offset(shared) + shared->task_length) +
		number * stream_size(shared->queue);
}

static Stream *
worker_stream(ParallelScan *shared, int number, int rollup)
{
	return (Stream *) ((char *) shared + stream_offset(shared, number * shared->nfed + rollup));
}

static Size
shared_size(const ParallelScan *shared)
{
	return stream_offset(shared, (shared->processes - 1) * shared->nfed);
}

/*
 * Lines up the blocks of the tables that a plan scans.
 */
static void
line_up_leaves(ParallelScan *shared, const ScanQuery *query)
{
	Leaf	   *leaves = shared_leaves(shared);
	List	   *indexes;
	ListCell   *lc;

	memset(leaves, 0, shared->nleaves * sizeof(Leaf));
	shared->nblocks = 0;
	(void) query_leaves(query, &indexes);
	foreach(lc, indexes)
	{
		Leaf	   *leaf = &leaves[lfirst_int(lc) - 1];

		/* Rows that are written behind these blocks are not in the snapshot. */
		leaf->nblocks = table_blocks(rt_fetch(lfirst_int(lc), query->plan->rtable)->relid);
		leaf->first = shared->nblocks;
		shared->nblocks += leaf->nblocks;
	}
}

/* Sets up what the processes share, of which *head is the beginning. */
static void
shared_init(ParallelScan *shared, const ParallelScan *head, const ScanQuery *query,
			const StringInfoData *task)
{
	int			i;

	*shared = *head;
	pg_atomic_init_u64(&shared->next_block, 0);
	pg_atomic_init_u64(&shared->rows_read, 0);
	pg_atomic_init_u64(&shared->rows_skipped, 0);
	pg_atomic_init_u32(&shared->over, 0);
	pg_atomic_init_u32(&shared->ready, 0);
	pg_atomic_init_u32(&shared->finished, 0);
	line_up_leaves(shared, query);
	memcpy(shared_task(shared), task->data, task->len);
	for (i = 0; i < (shared->processes - 1) * shared->nfed; i++)
	{
		pg_atomic_init_u64(&shared->rollups[i].watermark, (uint64) DT_NOBEGIN);
		stream_init(worker_stream(shared, i / shared->nfed, i % shared->nfed), shared->queue);
	}
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
	leaf = shared_leaves(parts->shared) + ((const Scan *) node->plan)->scanrelid - 1;
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

/* How many blocks to take, of which the first is number `from`. */
static uint64
part_size(const ParallelScan *shared, uint64 from)
{
	uint64		least = shared->nblocks / (LEAST_SHARE * shared->processes) + 1;

	if (shared->early)
		return Min(least, EARLY_SHARE);
	return Max(least, (shared->nblocks - from) / (SHARE * shared->processes));
}

/* A NextPart: takes another part of the blocks. */
static bool
next_part(void *arg, QueryDesc *desc)
{
	Parts	   *parts = arg;
	ParallelScan *shared = parts->shared;
	uint64		from = pg_atomic_read_u64(&shared->next_block);
	uint64		n;

	do
	{
		if (from >= shared->nblocks)
			return false;
		n = part_size(shared, from);
	} while (!pg_atomic_compare_exchange_u64(&shared->next_block, &from, from + n));
	parts->from = from;
	parts->to = Min(from + n, shared->nblocks);

	/* That takes back the limits of the part before, too. */
	ExecutorRewind(desc);
	(void) limit_leaves(desc->planstate, parts);
	return true;
}

/*
 * Bytes of memory for the groups of all processes that read a scan together, early
 * being whether groups leave early.
 */
Size
parallel_groups_memory(bool early)
{
	return early ? settings_run_memory() / 2 : settings_run_memory();
}

/* Has the groups of workers merged with the leader's. */
static void
add_streams(const SourceScan *scan, ParallelContext *context, ParallelScan *shared)
{
	int			number;

	for (number = 0; number < context->nworkers_launched; number++)
	{
		ListCell   *lc;

		foreach(lc, scan->fed)
		{
			const Rollup *rollup = lfirst(lc);

			groups_add_stream(rollup->groups,
							  stream_reader_open(worker_stream(shared, number, rollup->number),
												 context->seg, context->worker[number].bgwhandle));
		}
	}
}

/* Starts the workers. */
static void
start_workers(SourceScan *scan, ScanQuery *query, int workers)
{
	Parallel   *parallel = palloc0(sizeof(Parallel));
	StringInfo	task = task_pack(scan, query);
	int			nfed = list_length(scan->fed);
	bool		early = scan->store_early != NULL;
	Size		share = parallel_groups_memory(early) / (workers + 1) / nfed;
	Size		least = Min(MIN_QUEUE, MAX_QUEUES / workers / nfed);
	ParallelScan head = {
		.leader = MyProc,
		.early = early,
		.processes = workers + 1,
		.nleaves = list_length(query->plan->rtable),
		.nfed = nfed,
		.queue = early ? Max(least, Min(MAX_QUEUE, share)) : least,
		.task_length = task->len
	};
	ParallelContext *context;
	ParallelScan *shared;

	EnterParallelMode();
	context = CreateParallelContext(LIBRARY_NAME, "batchagg_parallel_main", workers);
	shm_toc_estimate_chunk(&context->estimator, shared_size(&head));
	shm_toc_estimate_keys(&context->estimator, 1);
	InitializeParallelDSM(context);
	shared = shm_toc_allocate(context->toc, shared_size(&head));
	shared_init(shared, &head, query, task);
	shm_toc_insert(context->toc, KEY_SHARED, shared);
	LaunchParallelWorkers(context);
	add_streams(scan, context, shared);
	parallel->scan = scan;
	parallel->context = context;
	parallel->parts.shared = shared;
	scan->parallel = parallel;
}

/*
 * Stores early what workers have sent, and what the leader has, which is at none of
 * its parts.  Returns whether there was anything.
 */
static bool
store_sent(const SourceScan *scan)
{
	bool		stored = false;
	ListCell   *lc;

	foreach(lc, scan->fed)
		stored |= early_finish(lfirst(lc));
	return stored;
}

/*
 * The leader's NextPart: only who has nothing to store reads.
 */
static bool
leader_next_part(void *arg, QueryDesc *desc)
{
	Parallel   *parallel = arg;

	while (parallel->parts.shared->early && parallel->context->nworkers_launched > 0 &&
		   store_sent(parallel->scan))
		CHECK_FOR_INTERRUPTS();
	return next_part(&parallel->parts, desc);
}

/*
 * Stores early what workers have sent until all of them have read their last part.
 * After that they only send.
 */
static void
wait_for_readers(const SourceScan *scan)
{
	const Parallel *parallel = scan->parallel;
	ParallelScan *shared = parallel->parts.shared;

	WaitForParallelWorkersToAttach(parallel->context);
	for (;;)
	{
		bool		ready = pg_atomic_read_u32(&shared->ready) ==
		parallel->context->nworkers_launched;

		(void) store_sent(scan);
		if (ready || pg_atomic_read_u32(&shared->over) != 0)
			break;
		wait_for_news();
	}
}

/*
 * Reads the source into the groups of the scan's rollups, as scan_run() does,
 * together with up to `workers` other processes.  groups_emit() has to follow for
 * each rollup that is fed from rows, in their order, and then parallel_end().
 */
void
parallel_run(SourceScan *scan, ScanQuery *query, int workers)
{
	Parallel   *parallel;
	ParallelScan *shared;
	ListCell   *lc;

	start_workers(scan, query, workers);
	parallel = scan->parallel;
	shared = parallel->parts.shared;
	scan->all_rows_read = &shared->rows_read;
	foreach(lc, scan->fed)
		if (shared->early)
			early_share(((Rollup *) lfirst(lc))->early, &shared->over);
	if (parallel_leader_participation || parallel->context->nworkers_launched == 0)
		scan_run(scan, query, leader_next_part, parallel);
	if (shared->early)
		wait_for_readers(scan);
}

/*
 * Before which bucket workers have sent all groups of a rollup.
 */
TimestampTz
parallel_watermark(const Rollup *rollup)
{
	const Parallel *parallel = rollup->scan->parallel;
	TimestampTz result = DT_NOEND;
	int			number;

	if (parallel == NULL)
		return result;
	for (number = 0; number < parallel->context->nworkers_launched; number++)
	{
		RollupShare *share = worker_rollups(parallel->parts.shared, number) + rollup->number;

		result = Min(result, (TimestampTz) pg_atomic_read_u64(&share->watermark));
	}

	/* What was sent before is read after. */
	pg_read_barrier();
	return result;
}

/* Makes what a worker has found of a rollup the leader's own. */
static void
take_share(Rollup *rollup, const RollupShare *shares)
{
	const RollupShare *share = &shares[rollup->number];

	ahead_add_all(&rollup->refresh->ahead, &share->ahead);
	rollup->usage.runs += share->usage.runs;
	rollup->usage.peak += share->usage.peak;
	if (rollup->early != NULL)
		late_add(rollup->late, share->first_late, share->last_late);
}

/*
 * Ends what parallel_run() has begun.  ERROR where a worker has failed.
 */
void
parallel_end(SourceScan *scan)
{
	Parallel   *parallel = scan->parallel;
	ParallelScan *shared;
	int			number;

	if (parallel == NULL)
		return;
	shared = parallel->parts.shared;
	WaitForParallelWorkersToFinish(parallel->context);
	scan->workers = parallel->context->nworkers_launched;

	/* Of one that has failed we have heard already. */
	if (pg_atomic_read_u32(&shared->finished) != scan->workers)
		elog(ERROR, "a parallel worker has not finished");
	scan->rows_read = pg_atomic_read_u64(&shared->rows_read);
	scan->rows_skipped += pg_atomic_read_u64(&shared->rows_skipped);
	for (number = 0; number < scan->workers; number++)
	{
		ListCell   *lc;

		foreach(lc, scan->fed)
			take_share(lfirst(lc), worker_rollups(shared, number));
	}
	DestroyParallelContext(parallel->context);
	ExitParallelMode();
	scan->all_rows_read = NULL;
	scan->parallel = NULL;
}

/*
 * A StoreEarly of a worker: sends groups to the leader.  While there is no room for
 * them, it waits, unless none is to leave early any more.
 */
static TimestampTz
send_early(Rollup *rollup, TimestampTz before)
{
	StreamWriter *stream = worker.streams[rollup->number];
	Size		size = groups_bytes(rollup->groups, before);

	while (!stream_fits(stream, size))
	{
		if (size > worker.shared->queue / 2 || pg_atomic_read_u32(&worker.shared->over) != 0)
			return rollup->early->watermark;
		wait_for_news();
	}
	groups_send(rollup->groups, before, stream);
	pg_write_barrier();
	pg_atomic_write_u64(&worker.shares[rollup->number].watermark, (uint64) before);
	SetLatch(&worker.shared->leader->procLatch);
	return before;
}

/* Reads a worker's parts. */
static void
worker_read(SourceScan *scan, ScanQuery *query, Parts *parts, dsm_segment *segment)
{
	ParallelScan *shared = worker.shared;
	ListCell   *lc;

	scan->all_rows_read = &shared->rows_read;
	scan->store_early = shared->early ? send_early : NULL;
	scan_create_groups(scan, CurrentMemoryContext, parallel_groups_memory(shared->early),
					   shared->processes);
	worker.streams = palloc(shared->nfed * sizeof(StreamWriter *));
	foreach(lc, scan->fed)
	{
		Rollup	   *rollup = lfirst(lc);
		Stream	   *stream = worker_stream(shared, ParallelWorkerNumber, rollup->number);

		worker.streams[rollup->number] = stream_writer_open(stream, segment);
		if (shared->early)
		{
			early_create(rollup);
			early_share(rollup->early, &shared->over);
		}
	}
	scan_run(scan, query, next_part, parts);
	pg_atomic_fetch_add_u64(&shared->rows_skipped, scan->rows_skipped);
	foreach(lc, scan->fed)
		if (shared->early)
			early_end(lfirst(lc));
	pg_atomic_fetch_add_u32(&shared->ready, 1);
	SetLatch(&shared->leader->procLatch);
}

/* Sends what a worker still has of a rollup. */
static void
worker_finish(const Rollup *rollup)
{
	RollupShare *share = &worker.shares[rollup->number];

	groups_send(rollup->groups, DT_NOEND, worker.streams[rollup->number]);
	share->ahead = rollup->refresh->ahead;
	share->usage = groups_usage(rollup->groups);
	share->first_late = rollup->early ? rollup->early->first_late : DT_NOEND;
	share->last_late = rollup->early ? rollup->early->last_late : DT_NOBEGIN;
	groups_free(rollup->groups);
	stream_writer_close(worker.streams[rollup->number]);
}

/*
 * What a parallel worker executes.
 */
void
batchagg_parallel_main(dsm_segment *segment, shm_toc * toc)
{
	ParallelScan *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	Parts		parts = {.shared = shared};
	SourceScan	scan;
	ScanQuery	query;
	ListCell   *lc;

	debug_query_string = QUERY_NAME;
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	worker.shared = shared;
	worker.shares = worker_rollups(shared, ParallelWorkerNumber);
	task_unpack(shared_task(shared), shared->task_length, &scan, &query);
	worker_read(&scan, &query, &parts, segment);
	foreach(lc, scan.fed)
		worker_finish(lfirst(lc));
	pg_atomic_fetch_add_u32(&shared->finished, 1);
}
