/*-------------------------------------------------------------------------
 *
 * rowwriter.c
 *	  Writing rows of the store.
 *
 * The store is written below the executor, by the table's access method and
 * its indexes, as COPY does: a row has up to 200 results, and there is nothing
 * else to check, since its only foreign key is a layout that the run has
 * locked.
 *
 * Rows come in the order of the key, which is the best for the table and the
 * key's index, and the worst for the other index, of series (entity, bucket):
 * there, each row of a bucket goes to another page.  So the entries of that
 * index are kept until there are many, and inserted in its own order.
 *
 * While a source is still being read, rows are inserted, but what is to be updated
 * or deleted waits in a temporary file: PostgreSQL does not let a process do that that
 * has parallel workers, and a group that has left early may turn out to have lacked a
 * row (early.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "group/entity.h"
#include "model/ext.h"
#include "settings.h"
#include "store/rowwriter.h"

/* Entries of the index of series that are kept, to be inserted in its order. */
#define MAX_SERIES_ENTRIES 65536

/* A row's entry in the index of series. */
typedef struct SeriesEntry
{
	int32		layout_id;
	TimestampTz bucket;
	text	   *entity;
	ItemPointerData tid;
} SeriesEntry;

/* A change that has to wait. */
typedef struct Deferred
{
	void	   *owner;			/* whose it is, and of which bucket */
	TimestampTz bucket;
	ItemPointerData tid;		/* of the stored row */
	uint32		length;			/* of the one that replaces it; 0: it is deleted */
} Deferred;

struct RowWriter
{
	Relation	rel;
	Snapshot	snapshot;		/* the run's */
	CommandId	command;
	EState	   *estate;
	ResultRelInfo *indexes;		/* all but that of series */
	ResultRelInfo *series_index;	/* that one */
	BulkInsertState bulk;
	TupleTableSlot **pending;	/* rows to insert, up to batch_size; made as needed */
	int			nslots;			/* of these, how many are made */
	int			npending;
	int			batch_size;
	TupleTableSlot *update;
	SeriesEntry *series;		/* entries not yet in the index of series */
	int			nseries;
	TupleTableSlot *series_slot;	/* makes rows of them again */
	MemoryContext series_context;	/* what they point to */
	BufFile    *deferred;		/* of Deferred, each with its row; NULL: nothing waits */
	int64		ndeferred;
	MemoryContext context;		/* of all this */
};

static void series_flush(RowWriter *writer);

/*
 * Moves the index of series from the store's indexes to a list of its own.
 */
static void
split_indexes(RowWriter *writer)
{
	ResultRelInfo *all = writer->indexes;
	ResultRelInfo *series = makeNode(ResultRelInfo);
	Oid			series_oid = ext_relid("batchagg_store_series_idx");
	int			kept = 0;
	int			i;

	InitResultRelInfo(series, writer->rel, 0, NULL, 0);
	series->ri_IndexRelationDescs = palloc(sizeof(Relation));
	series->ri_IndexRelationInfo = palloc(sizeof(IndexInfo *));
	for (i = 0; i < all->ri_NumIndices; i++)
	{
		bool		is_series = RelationGetRelid(all->ri_IndexRelationDescs[i]) == series_oid;
		ResultRelInfo *to = is_series ? series : all;
		int			at = is_series ? series->ri_NumIndices++ : kept++;

		to->ri_IndexRelationDescs[at] = all->ri_IndexRelationDescs[i];
		to->ri_IndexRelationInfo[at] = all->ri_IndexRelationInfo[i];
	}
	all->ri_NumIndices = kept;

	writer->series_index = series;
	writer->series = palloc(MAX_SERIES_ENTRIES * sizeof(SeriesEntry));
	writer->series_slot = MakeSingleTupleTableSlot(RelationGetDescr(writer->rel), &TTSOpsVirtual);

	/* Its rows are ones of the table, as PostgreSQL asserts where it inserts into indexes. */
	writer->series_slot->tts_tableOid = RelationGetRelid(writer->rel);
	writer->series_context = AllocSetContextCreate(CurrentMemoryContext, "batchagg series entries",
												   ALLOCSET_DEFAULT_SIZES);
}

/*
 * Begins to write rows of the store, which is locked for that; what is changed of
 * it has been found with this snapshot.  All is allocated in the current context.
 */
RowWriter *
row_writer_open(Relation rel, Snapshot snapshot)
{
	RowWriter  *writer = palloc0(sizeof(RowWriter));

	writer->rel = rel;
	writer->snapshot = snapshot;
	writer->context = CurrentMemoryContext;

	/* There may be parallel workers when the first row is written. */
	(void) GetCurrentTransactionId();
	writer->command = GetCurrentCommandId(true);
	writer->estate = CreateExecutorState();
	writer->indexes = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->indexes, rel, 0, NULL, 0);
	ExecOpenIndices(writer->indexes, false);
	split_indexes(writer);
	writer->bulk = GetBulkInsertState();
	writer->batch_size = batchagg_batch_size;
	writer->pending = palloc(writer->batch_size * sizeof(TupleTableSlot *));
	writer->update = table_slot_create(rel, NULL);
	return writer;
}

/*
 * Goes on in another command, with another snapshot.  Nothing is pending.
 */
void
row_writer_go_on(RowWriter *writer, Snapshot snapshot)
{
	writer->snapshot = snapshot;
	writer->command = GetCurrentCommandId(true);
}

/*
 * Writes what is pending, and ends.
 */
void
row_writer_close(RowWriter *writer)
{
	int			i;

	row_writer_flush(writer);
	series_flush(writer);
	for (i = 0; i < writer->nslots; i++)
		ExecDropSingleTupleTableSlot(writer->pending[i]);
	ExecDropSingleTupleTableSlot(writer->update);
	ExecDropSingleTupleTableSlot(writer->series_slot);
	FreeBulkInsertState(writer->bulk);
	ExecCloseIndices(writer->indexes);
	ExecCloseIndices(writer->series_index);
	FreeExecutorState(writer->estate);
}

static void
slot_set_row(TupleTableSlot *slot, const Datum *values, const bool *nulls)
{
	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, STORE_COLUMNS * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, STORE_COLUMNS * sizeof(bool));
	ExecStoreVirtualTuple(slot);
}

static void
index_insert_row(RowWriter *writer, ResultRelInfo *indexes, TupleTableSlot *slot)
{
#if PG_VERSION_NUM >= 160000
	(void) ExecInsertIndexTuples(indexes, slot, writer->estate, false, false, NULL, NIL, false);
#else
	(void) ExecInsertIndexTuples(indexes, slot, writer->estate, false, false, NULL, NIL);
#endif
	ResetPerTupleExprContext(writer->estate);
}

static inline int
series_compare(const SeriesEntry *a, const SeriesEntry *b)
{
	int			c;

	if (a->layout_id != b->layout_id)
		return a->layout_id < b->layout_id ? -1 : 1;
	c = entity_text_compare(VARDATA_ANY(a->entity), VARSIZE_ANY_EXHDR(a->entity),
							VARDATA_ANY(b->entity), VARSIZE_ANY_EXHDR(b->entity));
	if (c != 0)
		return c;
	return a->bucket < b->bucket ? -1 : 1;
}

#define ST_SORT sort_series
#define ST_ELEMENT_TYPE SeriesEntry
#define ST_COMPARE(a, b) series_compare(a, b)
#define ST_CHECK_FOR_INTERRUPTS
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* Inserts the kept entries of the index of series. */
static void
series_flush(RowWriter *writer)
{
	TupleTableSlot *slot = writer->series_slot;
	int			i;

	sort_series(writer->series, writer->nseries);
	for (i = 0; i < writer->nseries; i++)
	{
		const SeriesEntry *entry = &writer->series[i];

		CHECK_FOR_INTERRUPTS();
		ExecClearTuple(slot);
		memset(slot->tts_isnull, true, STORE_COLUMNS * sizeof(bool));
		slot->tts_values[STORE_LAYOUT_ID] = Int32GetDatum(entry->layout_id);
		slot->tts_values[STORE_BUCKET] = TimestampTzGetDatum(entry->bucket);
		slot->tts_values[STORE_ENTITY_ID] = PointerGetDatum(entry->entity);
		slot->tts_isnull[STORE_LAYOUT_ID] = false;
		slot->tts_isnull[STORE_BUCKET] = false;
		slot->tts_isnull[STORE_ENTITY_ID] = false;
		ExecStoreVirtualTuple(slot);
		slot->tts_tid = entry->tid;
		index_insert_row(writer, writer->series_index, slot);
	}
	writer->nseries = 0;
	MemoryContextReset(writer->series_context);
}

/* Keeps a new row's entry of the index of series. */
static void
series_keep(RowWriter *writer, TupleTableSlot *slot)
{
	MemoryContext old_context = MemoryContextSwitchTo(writer->series_context);
	SeriesEntry *entry = &writer->series[writer->nseries++];

	slot_getsomeattrs(slot, STORE_ENTITY_ID + 1);
	entry->layout_id = DatumGetInt32(slot->tts_values[STORE_LAYOUT_ID]);
	entry->bucket = DatumGetTimestampTz(slot->tts_values[STORE_BUCKET]);
	entry->entity = DatumGetTextPCopy(slot->tts_values[STORE_ENTITY_ID]);
	entry->tid = slot->tts_tid;
	MemoryContextSwitchTo(old_context);
	if (writer->nseries == MAX_SERIES_ENTRIES)
		series_flush(writer);
}

/* The slot for the next row to insert. */
static TupleTableSlot *
next_slot(RowWriter *writer)
{
	if (writer->npending == writer->nslots)
	{
		MemoryContext caller = MemoryContextSwitchTo(writer->context);

		writer->pending[writer->nslots++] = table_slot_create(writer->rel, NULL);
		MemoryContextSwitchTo(caller);
	}
	return writer->pending[writer->npending++];
}

/* Takes a row to insert, and inserts a full batch of them. */
void
row_writer_insert(RowWriter *writer, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot = next_slot(writer);

	slot_set_row(slot, values, nulls);
	ExecMaterializeSlot(slot);
	if (writer->npending == writer->batch_size)
		row_writer_flush(writer);
}

/* Inserts the pending rows. */
void
row_writer_flush(RowWriter *writer)
{
	int			i;

	if (writer->npending == 0)
		return;
	table_multi_insert(writer->rel, writer->pending, writer->npending, writer->command, 0,
					   writer->bulk);
	for (i = 0; i < writer->npending; i++)
	{
		CHECK_FOR_INTERRUPTS();
		index_insert_row(writer, writer->indexes, writer->pending[i]);
		series_keep(writer, writer->pending[i]);
		ExecClearTuple(writer->pending[i]);
	}
	writer->npending = 0;
}

static void
read_deferred(RowWriter *writer, void *to, Size size)
{
	if (BufFileRead(writer->deferred, to, size) != size)
		elog(ERROR, "unexpected end of temporary file");
}

/*
 * Deletes a stored row.
 */
void
row_writer_delete(RowWriter *writer, ItemPointer tid)
{
	simple_table_tuple_delete(writer->rel, tid, writer->snapshot);
}

/* Replaces a stored row by the one in the slot for that. */
static void
update_by_slot(RowWriter *writer, ItemPointer tid)
{
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes update_indexes;
#else
	bool		update_indexes;
#endif

	simple_table_tuple_update(writer->rel, tid, writer->update, writer->snapshot, &update_indexes);
	if (update_indexes)
	{
		index_insert_row(writer, writer->indexes, writer->update);
		series_keep(writer, writer->update);
	}
	ExecClearTuple(writer->update);
}

/*
 * Replaces a stored row.
 */
void
row_writer_update(RowWriter *writer, ItemPointer tid, const Datum *values, const bool *nulls)
{
	slot_set_row(writer->update, values, nulls);
	update_by_slot(writer, tid);
}

/*
 * Has a stored row replaced, or deleted where values is NULL, by row_writer_catch_up().
 */
void
row_writer_defer(RowWriter *writer, void *owner, TimestampTz bucket, ItemPointer tid,
				 const Datum *values, const bool *nulls)
{
	MemoryContext old_context = MemoryContextSwitchTo(writer->context);
	HeapTuple	row = values == NULL ? NULL :
	heap_form_tuple(RelationGetDescr(writer->rel), unconstify(Datum *, values),
					unconstify(bool *, nulls));
	Deferred	deferred = {owner, bucket, *tid, row ? row->t_len : 0};

	if (writer->deferred == NULL)
		writer->deferred = BufFileCreateTemp(false);
	BufFileWrite(writer->deferred, &deferred, sizeof(deferred));
	if (row != NULL)
	{
		BufFileWrite(writer->deferred, row->t_data, row->t_len);
		heap_freetuple(row);
	}
	writer->ndeferred++;
	MemoryContextSwitchTo(old_context);
}

/*
 * Makes the changes that have had to wait, as far as they are still meant.  To be
 * called when the source has been read, and there are no parallel workers any more.
 */
void
row_writer_catch_up(RowWriter *writer, ChangeIsMeant is_meant)
{
	if (writer->deferred == NULL)
		return;
	if (BufFileSeek(writer->deferred, 0, 0, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not rewind temporary file: %m")));
	for (; writer->ndeferred > 0; writer->ndeferred--)
	{
		Deferred	deferred;
		HeapTuple	row;
		bool		meant;

		CHECK_FOR_INTERRUPTS();
		read_deferred(writer, &deferred, sizeof(deferred));
		row = palloc0(HEAPTUPLESIZE + deferred.length);
		row->t_len = deferred.length;
		row->t_data = (HeapTupleHeader) ((char *) row + HEAPTUPLESIZE);
		read_deferred(writer, row->t_data, deferred.length);
		meant = is_meant(deferred.owner, deferred.bucket);
		if (meant && deferred.length == 0)
			row_writer_delete(writer, &deferred.tid);
		else if (meant)
		{
			ExecForceStoreHeapTuple(row, writer->update, false);
			update_by_slot(writer, &deferred.tid);
		}
		pfree(row);
	}
	BufFileClose(writer->deferred);
	writer->deferred = NULL;
}
