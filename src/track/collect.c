/*-------------------------------------------------------------------------
 *
 * collect.c
 *	  Marks that nobody needs any more.
 *
 * A mark is needed by each run that goes on from a cursor which does not see the mark's
 * transaction; and a cursor does not see what its run's snapshot did not.  So those are
 * deleted that neither a cursor nor a snapshot in use may not see.  A run that has no
 * cursor yet has its snapshot until its statement ends; from then on to its commit it
 * has a cursor that nobody else's snapshot sees.  Therefore cursors are read as they
 * are at this moment, those of transactions under way included, and after the question
 * for snapshots: who has given his up by then has written his cursor.
 *
 * That a cursor may be written anew while they are read, and be missed, does no harm: a
 * run whose snapshot is younger than the question has seen, or will be told by marks
 * that are younger, too.
 *
 * Both runs and writers collect: a source that no job reads, or only jobs that are
 * disabled, fail or read it as a whole, has no run that would.  They do so one at a
 * time, and nobody waits: whatever somebody else is at is left to him.  It is done below
 * SQL, as a writer may be anybody, and in any kind of transaction.
 *
 * A cursor that very many marks are kept for is dropped, and its definition's next run
 * reads the source as a whole.  So a job that does not run any more, or seldom, does
 * not make marks pile up.  A run that has that cursor at hand meanwhile reads cursors and
 * marks with its snapshot, for which both are still there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "track/collect.h"

/* Marks that are kept for a cursor that lags behind, at most. */
#define MAX_KEPT_MARKS 1000000

/* More than a block holds. */
#define MARKS_PER_BLOCK 150

/* Columns of batchagg_marks that marks are found by, and of its index. */
#define MARKS_SOURCE_ID 1
#define MARKS_XID 2

/* What is collected, and from where. */
typedef struct Collector
{
	int32		source_id;
	const char *source;
	Relation	marks;
	Oid			index;			/* of marks, by source and xid */
	Relation	cursors;
	AttrNumber	cursor_source;	/* columns of that */
	AttrNumber	cursor_system_id;
	AttrNumber	cursor_snapshot;
	Snapshot	snapshot;
} Collector;

/* A cursor's row. */
typedef struct CursorRow
{
	ItemPointerData tid;
	FullTransactionId xmin;		/* of its snapshot */
	FullTransactionId xmax;
} CursorRow;

/*
 * The 64-bit id of a transaction that began before `next`, of the two that it could be.
 */
FullTransactionId
full_xid(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, xid);
}

/* The oldest transaction that any snapshot in use might not see. */
static FullTransactionId
oldest_unseen(const Collector *collector)
{
	TransactionId oldest = GetOldestNonRemovableTransactionId(collector->marks);

	return full_xid(oldest, ReadNextFullTransactionId());
}

/*----------
 * Cursors
 *----------
 */

/* Is this the row of a cursor of the source, which runs of this cluster may go on from? */
static bool
is_cursor(const Collector *collector, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(collector->cursors);
	bool		isnull;
	Datum		system_id = heap_getattr(tuple, collector->cursor_system_id, desc, &isnull);
	text	   *source = DatumGetTextPP(heap_getattr(tuple, collector->cursor_source, desc, &isnull));

	return DatumGetInt64(system_id) == (int64) GetSystemIdentifier() &&
		VARSIZE_ANY_EXHDR(source) == strlen(collector->source) &&
		memcmp(VARDATA_ANY(source), collector->source, strlen(collector->source)) == 0;
}

/* The cursors of the source, as a snapshot sees them: a list of CursorRow. */
static List *
cursors_of_source(const Collector *collector, Snapshot snapshot)
{
	SysScanDesc scan = systable_beginscan(collector->cursors, InvalidOid, false, snapshot, 0, NULL);
	List	   *cursors = NIL;
	HeapTuple	tuple;

	while ((tuple = systable_getnext(scan)) != NULL)
	{
		CursorRow  *row;
		Datum		seen;
		bool		isnull;

		if (!is_cursor(collector, tuple))
			continue;
		seen = heap_getattr(tuple, collector->cursor_snapshot,
							RelationGetDescr(collector->cursors), &isnull);
		row = palloc(sizeof(CursorRow));
		row->tid = tuple->t_self;
		row->xmin = DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmin, seen));
		row->xmax = DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmax, seen));
		cursors = lappend(cursors, row);
	}
	systable_endscan(scan);
	return cursors;
}

/* Deletes a row, unless somebody else is at it. */
static void
delete_row(const Collector *collector, Relation rel, ItemPointer tid)
{
	TM_FailureData failure;

	(void) table_tuple_delete(rel, tid, GetCurrentCommandId(true), collector->snapshot,
							  InvalidSnapshot, false, &failure, false);
}

/* Are there so many marks that it is worth counting them? */
static bool
marks_are_many(const Collector *collector)
{
	return RelationGetNumberOfBlocks(collector->marks) > MAX_KEPT_MARKS / MARKS_PER_BLOCK;
}

/* Are more marks kept for a cursor than it may have? */
static bool
lags(const Collector *collector, const CursorRow *cursor)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	int			n = 0;

	ScanKeyInit(&keys[0], MARKS_SOURCE_ID, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(collector->source_id));
	ScanKeyInit(&keys[1], MARKS_XID, BTGreaterEqualStrategyNumber, F_XID8GE,
				FullTransactionIdGetDatum(cursor->xmax));
	scan = systable_beginscan(collector->marks, collector->index, true,
							  collector->snapshot, lengthof(keys), keys);
	while (n <= MAX_KEPT_MARKS && systable_getnext(scan) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		n++;
	}
	systable_endscan(scan);
	return n > MAX_KEPT_MARKS;
}

static int
compare_cursors(const ListCell *a, const ListCell *b)
{
	uint64		left = U64FromFullTransactionId(((CursorRow *) lfirst(a))->xmax);
	uint64		right = U64FromFullTransactionId(((CursorRow *) lfirst(b))->xmax);

	return (left > right) - (left < right);
}

/* Drops the cursors that lag behind, the oldest first. */
static void
drop_laggards(const Collector *collector)
{
	List	   *cursors = cursors_of_source(collector, collector->snapshot);
	ListCell   *lc;

	list_sort(cursors, compare_cursors);
	foreach(lc, cursors)
	{
		CursorRow  *cursor = lfirst(lc);

		if (!lags(collector, cursor))
			return;
		delete_row(collector, collector->cursors, &cursor->tid);
	}
}

/*----------
 * Marks
 *----------
 */

/* The transaction from which on marks are needed. */
static FullTransactionId
needed_from(const Collector *collector)
{
	FullTransactionId from = oldest_unseen(collector);
	SnapshotData now;
	ListCell   *lc;

	InitDirtySnapshot(now);
	foreach(lc, cursors_of_source(collector, &now))
	{
		const CursorRow *cursor = lfirst(lc);

		if (FullTransactionIdPrecedes(cursor->xmin, from))
			from = cursor->xmin;
	}
	return from;
}

/* Deletes the marks of transactions before this one, or so many of them. */
static void
delete_before(const Collector *collector, FullTransactionId before, int64 at_most)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], MARKS_SOURCE_ID, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(collector->source_id));
	ScanKeyInit(&keys[1], MARKS_XID, BTLessStrategyNumber, F_XID8LT,
				FullTransactionIdGetDatum(before));
	scan = systable_beginscan(collector->marks, collector->index, true,
							  collector->snapshot, lengthof(keys), keys);
	while (at_most-- > 0 && (tuple = systable_getnext(scan)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		delete_row(collector, collector->marks, &tuple->t_self);
	}
	systable_endscan(scan);
}

/* Only one at a time collects marks of a source; others leave it to that one. */
static bool
take_turn(Oid marks_relid, int32 source_id)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, marks_relid, (uint32) source_id, 0);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Deletes the marks of a source, in batchagg_marks, that no run needs any more, or
 * `at_most` of them.
 */
void
marks_collect(Oid marks_relid, int32 source_id, const char *source, int64 at_most)
{
	Oid			schema = get_rel_namespace(marks_relid);
	Oid			cursors = get_relname_relid("batchagg_cursors", schema);
	Collector	collector = {
		.source_id = source_id,.source = source,
		.index = get_relname_relid("batchagg_marks_source_id_xid_idx", schema),
		.cursor_source = get_attnum(cursors, "source"),
		.cursor_system_id = get_attnum(cursors, "system_id"),
		.cursor_snapshot = get_attnum(cursors, "snapshot")
	};

	if (!OidIsValid(collector.index) || !OidIsValid(cursors) || !take_turn(marks_relid, source_id))
		return;
	collector.marks = table_open(marks_relid, RowExclusiveLock);
	collector.cursors = table_open(cursors, RowExclusiveLock);
	PushActiveSnapshot(GetLatestSnapshot());
	collector.snapshot = GetActiveSnapshot();
	if (marks_are_many(&collector))
		drop_laggards(&collector);
	delete_before(&collector, needed_from(&collector), at_most);
	PopActiveSnapshot();
	table_close(collector.cursors, NoLock);
	table_close(collector.marks, NoLock);
}
