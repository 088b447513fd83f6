/*-------------------------------------------------------------------------
 *
 * marks.c
 *	  Marks: which times of a source a transaction has changed.
 *
 * A transaction notes the rows that it changes in memory (notes.c), and writes them
 * as rows of batchagg_marks just before it commits or is prepared: so whoever sees
 * the changed rows sees the marks.  They are written straight into the table, with
 * no SQL and no question of rights.
 *
 * A run in the same transaction has them written before.  If it is in a
 * subtransaction, which may still be undone, the notes are kept, and written again
 * if that happens.  Notes that a subtransaction has made itself are kept when it is
 * undone: a mark too many only costs time.
 *
 * Other extensions may write as the transaction commits, after we have written all:
 * what is noted then is written at once.
 *
 * All this is done in other people's transactions, in which any allocation may fail and
 * be caught by a savepoint: what is kept in static variables is whole at each of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "common/pg_prng.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "model/ext.h"
#include "track/collect.h"
#include "track/marks.h"
#include "track/tracking.h"

/* Columns of batchagg_marks, counted from 0. */
enum
{
	MARKS_SOURCE_ID,
	MARKS_XID,
	MARKS_LOW,
	MARKS_HIGH,
	MARKS_IDS,
	MARKS_COLUMNS
};

/* A writer collects about each time that so many marks are written, and deletes so many. */
#define MARKS_PER_COLLECTION 50000
#define COLLECTED_AT_ONCE 100000

uint64		marks_generation = 1;

static struct
{
	MemoryContext context;		/* of all notes; NULL: there are none */
	PendingMarks *first;
	bool		closing;		/* the transaction is about to end */
	bool		committing;		/* by a commit, and not by being prepared */
	bool		run_made;		/* a run has counted its rows so far */
}			pending;

/*----------
 * Writing
 *----------
 */

static void
insert_mark(Relation rel, CatalogIndexState indexes, int32 source_id, const Note *note)
{
	Datum		values[MARKS_COLUMNS];
	bool		nulls[MARKS_COLUMNS] = {false};
	HeapTuple	tuple;

	values[MARKS_SOURCE_ID] = Int32GetDatum(source_id);
	values[MARKS_XID] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[MARKS_LOW] = TimestampTzGetDatum(note->low);
	values[MARKS_HIGH] = TimestampTzGetDatum(note->high);
	values[MARKS_IDS] = PointerGetDatum(note->ids);
	nulls[MARKS_IDS] = note->ids == NULL;
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleInsertWithInfo(rel, tuple, indexes);
	heap_freetuple(tuple);
}

/* Writes a list of Note. */
static void
insert_marks(Oid marks_relid, int32 source_id, List *notes)
{
	Relation	rel = table_open(marks_relid, RowExclusiveLock);
	CatalogIndexState indexes = CatalogOpenIndexes(rel);
	ListCell   *lc;

	/* A long list of ids may be toasted, for which there has to be a snapshot. */
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, notes)
		insert_mark(rel, indexes, source_id, lfirst(lc));
	PopActiveSnapshot();
	CatalogCloseIndexes(indexes);
	table_close(rel, NoLock);
}

/*
 * Marks the times from `low` to `high` of a source, for all entities.
 */
void
marks_write(int32 source_id, int64 low, int64 high)
{
	Note		note = {.low = low,.high = high,.ids = NULL};

	insert_marks(ext_relid("batchagg_marks"), source_id, list_make1(&note));
}

/* Is it this transaction's turn to collect marks, that has written so many? */
static bool
collection_is_due(int written)
{
	static int64 left = 0;		/* to be written until the next time; 0: not known yet */

	/* A session may be too short to write that many. */
	if (left == 0)
		left = pg_prng_uint64_range(&pg_global_prng_state, 1, MARKS_PER_COLLECTION);
	left -= written;
	if (left > 0)
		return false;
	left = MARKS_PER_COLLECTION;
	return true;
}

/* Writes what was noted of one source, unless that is tracked no more. */
static void
write_pending(PendingMarks *marks)
{
	Oid			marks_relid = tracking_marks_relid(marks->source_id);
	const char *source;
	List	   *notes;

	marks->unwritten = false;
	if (!OidIsValid(marks_relid))
		return;
	notes = notes_list(marks->notes);
	insert_marks(marks_relid, marks->source_id, notes);
	if (!pending.committing || !collection_is_due(list_length(notes)))
		return;
	source = tracking_source_name(marks->source_id);
	if (source != NULL)
		marks_collect(marks_relid, marks->source_id, source, COLLECTED_AT_ONCE);
}

static void
forget_all(void)
{
	pending.context = NULL;
	pending.first = NULL;
	marks_generation++;
}

void
marks_flush(void)
{
	MemoryContext caller;
	bool		wrote = false;

	if (pending.first == NULL)
		return;
	caller = MemoryContextSwitchTo(pending.context);
	for (PendingMarks *marks = pending.first; marks; marks = marks->next)
		if (marks->unwritten)
		{
			write_pending(marks);
			wrote = true;
		}
	MemoryContextSwitchTo(caller);
	if (wrote && !pending.closing)
		CommandCounterIncrement();
	if (GetCurrentTransactionNestLevel() == 1)
	{
		MemoryContextDelete(pending.context);
		forget_all();
	}
}

/*----------
 * The transaction
 *----------
 */

static void
at_transaction_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			pending.closing = true;
			pending.committing = event == XACT_EVENT_PRE_COMMIT;
			marks_flush();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
			pending.closing = pending.committing = pending.run_made = false;
			/* The memory goes with the transaction's. */
			if (pending.context != NULL)
				forget_all();
			break;
		default:
			break;
	}
}

/* Marks that an undone subtransaction had written are to be written again. */
static void
at_subtransaction_event(SubXactEvent event, SubTransactionId id, SubTransactionId parent,
						void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		for (PendingMarks *marks = pending.first; marks; marks = marks->next)
			marks->unwritten = true;
}

static void
register_callbacks(void)
{
	static bool for_transactions = false;
	static bool for_subtransactions = false;

	if (!for_transactions)
		RegisterXactCallback(at_transaction_event, NULL);
	for_transactions = true;
	if (!for_subtransactions)
		RegisterSubXactCallback(at_subtransaction_event, NULL);
	for_subtransactions = true;
}

/*
 * A run counts the rows that its own transaction has inserted by then.  Those
 * that it inserts later have the same stamp: from now on they are noted.
 */
void
marks_note_run(void)
{
	register_callbacks();
	pending.run_made = true;
}

/*
 * Does the stamp of a row that this transaction inserts say that it is new?
 */
bool
marks_stamp_tells(FullTransactionId stamp)
{
	return !pending.run_made && FullTransactionIdEquals(stamp, GetTopFullTransactionId());
}

/*----------
 * Noting
 *----------
 */

static PendingMarks *
make_pending(int32 source_id)
{
	PendingMarks *marks;

	register_callbacks();
	if (pending.context == NULL)
		pending.context = AllocSetContextCreate(TopTransactionContext, "batchagg notes",
												ALLOCSET_SMALL_SIZES);
	marks = MemoryContextAlloc(pending.context, sizeof(PendingMarks));
	marks->source_id = source_id;
	marks->notes = notes_create(pending.context);
	marks->unwritten = false;
	marks->next = pending.first;
	pending.first = marks;
	return marks;
}

/*
 * Where this transaction notes what it changes in a source; NULL if that is not
 * tracked, or not written to by this transaction.  `schema` is the extension's.
 */
PendingMarks *
marks_of(Oid schema, int32 source_id)
{
	for (PendingMarks *marks = pending.first; marks; marks = marks->next)
		if (marks->source_id == source_id)
			return marks;
	return tracking_writing(schema, source_id) ? make_pending(source_id) : NULL;
}

/*
 * Notes a changed row; its time is finite.
 */
void
marks_note(PendingMarks *marks, int64 time, const NoteId *id)
{
	marks->unwritten = true;
	notes_add(marks->notes, time, id);
	if (unlikely(pending.closing))
		marks_flush();
}
