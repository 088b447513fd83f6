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
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "catalog/store.h"
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

uint64		marks_generation = 1;

static struct
{
	MemoryContext context;		/* of all notes; NULL: there are none */
	PendingMarks *first;
	bool		closing;		/* the transaction is about to end */
	bool		run_made;		/* a run has counted its rows so far */
} pending;

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

	foreach(lc, notes)
		insert_mark(rel, indexes, source_id, lfirst(lc));
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

	insert_marks(store_relid("batchagg_marks"), source_id, list_make1(&note));
}

/* Writes what was noted of one source, unless that is tracked no more. */
static void
write_pending(PendingMarks *marks)
{
	Oid			marks_relid = tracking_marks_relid(marks->source_id);

	marks->unwritten = false;
	if (OidIsValid(marks_relid))
		insert_marks(marks_relid, marks->source_id, notes_list(marks->notes));
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
			marks_flush();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
			pending.closing = pending.run_made = false;
			/* The memory goes with the transaction's. */
			if (pending.first != NULL)
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
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
	registered = true;
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
