/*-------------------------------------------------------------------------
 *
 * cursor.c
 *	  Cursors: up to where the results of a definition from one source are
 *	  known to be exact.
 *
 * A run that need not read its source as a whole leaves a cursor behind, in
 * the transaction that stores the results: the snapshot that they were
 * computed with, and the horizon.  The next run takes everything up from
 * there: what transactions have done that this snapshot does not see, and the
 * time that has passed.
 *
 * The snapshot is kept as PostgreSQL's type pg_snapshot has it, with
 * transaction ids that do not wrap around.  The run's own transaction counts
 * as one that it does not see, because it may write to the source after the
 * run.  What it has written before is marked, and recomputed once more.  Where
 * new rows are told by their transaction's id, and added, those of this one are
 * left out: the run has counted them, and rows that come after it are marked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "catalog/source.h"
#include "catalog/store.h"
#include "engine/cursor.h"

/*
 * The 64-bit id of a transaction of this snapshot's time: of the two that it
 * could be, the one before the next id.
 */
static uint64
full_xid(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

static int
xid_compare(const void *a, const void *b)
{
	uint64		xid_a = *(const uint64 *) a;
	uint64		xid_b = *(const uint64 *) b;

	return xid_a < xid_b ? -1 : (xid_a > xid_b ? 1 : 0);
}

/*
 * A snapshot as the text of a pg_snapshot, in which the current transaction
 * has not committed.
 */
char *
snapshot_text(Snapshot snapshot)
{
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId own = GetTopTransactionIdIfAny();
	uint64	   *running = palloc((snapshot->xcnt + 1) * sizeof(uint64));
	uint64		xmin = full_xid(snapshot->xmin, next);
	uint64		xmax = full_xid(snapshot->xmax, next);
	int			n = 0;
	StringInfoData text;
	int			i;

	for (i = 0; i < snapshot->xcnt; i++)
		running[n++] = full_xid(snapshot->xip[i], next);
	if (TransactionIdIsValid(own) && full_xid(own, next) < xmax)
	{
		running[n++] = full_xid(own, next);
		xmin = Min(xmin, full_xid(own, next));
	}
	qsort(running, n, sizeof(uint64), xid_compare);

	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":", xmin, xmax);
	for (i = 0; i < n; i++)
		appendStringInfo(&text, "%s" UINT64_FORMAT, i > 0 ? "," : "", running[i]);
	return text.data;
}

/*
 * The cursors of these definitions that can be used in this cluster, a list of
 * Cursor.
 */
List *
cursors_load(const List *definition_ids)
{
	Oid			types[] = {INT4ARRAYOID, INT8OID};
	Datum		values[] = {store_int_array(definition_ids), Int64GetDatum(GetSystemIdentifier())};
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, store_query(true,
							psprintf("SELECT definition_id, source, mode, fingerprint, "
									 STORE_MICROSECONDS("horizon") ", "
									 STORE_MICROSECONDS("ahead") ", snapshot, run_xid "
									 "FROM %s WHERE definition_id = ANY ($1) AND system_id = $2 "
									 "AND pg_snapshot_xmax(snapshot) <= "
									 "pg_snapshot_xmax(pg_current_snapshot())",
									 store_table("batchagg_cursors")),
							lengthof(types), types, values))
	{
		char	  **row = lfirst(lc);
		Cursor	   *cursor = palloc(sizeof(Cursor));

		cursor->definition_id = pg_strtoint32(row[0]);
		cursor->source = row[1];
		cursor->mode = row[2];
		cursor->fingerprint = row[3];
		cursor->horizon = pg_strtoint64(row[4]);
		cursor->ahead = row[5] ? pg_strtoint64(row[5]) : DT_NOBEGIN;
		cursor->snapshot = row[6];
		cursor->run_xid.value = pg_strtoint64(row[7]);
		result = lappend(result, cursor);
	}
	return result;
}

/*
 * The cursor of a definition and source; NULL where there is none.
 */
const Cursor *
cursor_find(const List *cursors, int32 definition_id, const char *source)
{
	ListCell   *lc;

	foreach(lc, cursors)
	{
		const Cursor *cursor = lfirst(lc);

		if (cursor->definition_id == definition_id && strcmp(cursor->source, source) == 0)
			return cursor;
	}
	return NULL;
}

/*
 * Stores a cursor in the place of the one of the same definition and source.
 */
void
cursor_save(const Cursor *cursor)
{
	Oid			types[] = {INT4OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	INT8OID, TEXTOID, XID8OID};
	Datum		values[] = {
		Int32GetDatum(cursor->definition_id),
		CStringGetTextDatum(cursor->source),
		CStringGetTextDatum(cursor->mode),
		CStringGetTextDatum(cursor->fingerprint),
		TimestampTzGetDatum(cursor->horizon),
		TimestampTzGetDatum(cursor->ahead),
		Int64GetDatum(GetSystemIdentifier()),
		CStringGetTextDatum(cursor->snapshot),
		FullTransactionIdGetDatum(cursor->run_xid)
	};

	store_query(true,
				psprintf("INSERT INTO %s (definition_id, source, mode, fingerprint, horizon, "
						 "ahead, system_id, snapshot, run_xid) "
						 "VALUES ($1, $2, $3, $4, $5, nullif($6, '-infinity'), $7, "
						 "$8::pg_snapshot, $9) "
						 "ON CONFLICT (definition_id, source) DO UPDATE SET "
						 "(mode, fingerprint, horizon, ahead, system_id, snapshot, run_xid) = "
						 "(excluded.mode, excluded.fingerprint, excluded.horizon, "
						 "excluded.ahead, excluded.system_id, excluded.snapshot, excluded.run_xid)",
						 store_table("batchagg_cursors")),
				lengthof(types), types, values);
}

/*
 * Drops the cursors of these definitions but those of `sources`, a list of
 * Source.
 */
void
cursors_drop_others(const List *definition_ids, const List *sources)
{
	Oid			types[] = {INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID};
	Datum		values[3];

	values[0] = store_int_array(definition_ids);
	sources_as_arrays(sources, &values[1], &values[2]);
	store_query(true,
				psprintf("DELETE FROM %s WHERE definition_id = ANY ($1) AND NOT EXISTS "
						 "(SELECT FROM ROWS FROM (unnest($2), unnest($3)) AS k (d, s) "
						 "WHERE d = definition_id AND s = source)",
						 store_table("batchagg_cursors")),
				lengthof(types), types, values);
}

/*
 * Deletes the marks of a source that all cursors have seen.  Rows that another
 * run is deleting are left to it.
 */
void
cursors_forget_marks(int32 source_id, const char *source)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(source_id), CStringGetTextDatum(source)};
	char	   *marks = store_table("batchagg_marks");

	store_query(true,
				psprintf("DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %s "
						 "WHERE source_id = $1 AND xid < (SELECT min(pg_snapshot_xmin(snapshot)) "
						 "FROM %s WHERE source = $2) FOR UPDATE SKIP LOCKED))",
						 marks, marks, store_table("batchagg_cursors")),
				lengthof(types), types, values);
}
