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
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "model/ext.h"
#include "refresh/cursor.h"
#include "source/source.h"
#include "track/collect.h"

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
	uint64		xmin = U64FromFullTransactionId(full_xid(snapshot->xmin, next));
	uint64		xmax = U64FromFullTransactionId(full_xid(snapshot->xmax, next));
	uint64		own_full = U64FromFullTransactionId(full_xid(own, next));
	int			n = 0;
	StringInfoData text;
	int			i;

	for (i = 0; i < snapshot->xcnt; i++)
		running[n++] = U64FromFullTransactionId(full_xid(snapshot->xip[i], next));
	if (TransactionIdIsValid(own) && own_full < xmax)
	{
		running[n++] = own_full;
		xmin = Min(xmin, own_full);
	}
	qsort(running, n, sizeof(uint64), xid_compare);

	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":", xmin, xmax);
	for (i = 0; i < n; i++)
		appendStringInfo(&text, "%s" UINT64_FORMAT, i > 0 ? "," : "", running[i]);
	return text.data;
}

/* The texts of an array as it is printed. */
static List *
array_texts(const char *printed)
{
	Datum		array = OidInputFunctionCall(F_ARRAY_IN, (char *) printed, TEXTOID, -1);
	Datum	   *elements;
	List	   *texts = NIL;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL,
					  &n);
	for (int i = 0; i < n; i++)
		texts = lappend(texts, TextDatumGetCString(elements[i]));
	return texts;
}

/*
 * The cursors of these definitions that can be used in this cluster and that the active
 * snapshot sees, a list of Cursor.
 */
List *
cursors_load(const List *definition_ids)
{
	Oid			types[] = {INT4ARRAYOID, INT8OID};
	Datum		values[] = {ext_int_array(definition_ids), Int64GetDatum(GetSystemIdentifier())};
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, ext_query_active(true,
								 psprintf("SELECT definition_id, source, mode, fingerprint, "
										  EXT_MICROSECONDS("horizon") ", "
										  "ahead, snapshot, run_xid, "
										  EXT_MICROSECONDS("exact_from") ", names "
										  "FROM %s WHERE definition_id = ANY ($1) AND system_id = $2 "
										  "AND pg_snapshot_xmax(snapshot) <= "
										  "pg_snapshot_xmax(pg_current_snapshot())",
										  ext_table("batchagg_cursors")),
								 lengthof(types), types, values))
	{
		char	  **row = lfirst(lc);
		Cursor	   *cursor = palloc(sizeof(Cursor));

		cursor->definition_id = pg_strtoint32(row[0]);
		cursor->source = row[1];
		cursor->mode = row[2];
		cursor->fingerprint = row[3];
		cursor->horizon = pg_strtoint64(row[4]);
		ahead_read(&cursor->ahead, row[5]);
		cursor->snapshot = row[6];
		cursor->run_xid.value = pg_strtoint64(row[7]);
		cursor->exact_from = row[8] ? pg_strtoint64(row[8]) : DT_NOBEGIN;
		cursor->names = array_texts(row[9]);
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
	Oid			types[] = {INT4OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID,
	INT8OID, TEXTOID, XID8OID, TIMESTAMPTZOID, TEXTARRAYOID};
	Datum		values[] = {
		Int32GetDatum(cursor->definition_id),
		CStringGetTextDatum(cursor->source),
		CStringGetTextDatum(cursor->mode),
		CStringGetTextDatum(cursor->fingerprint),
		TimestampTzGetDatum(cursor->horizon),
		CStringGetTextDatum(ahead_text(&cursor->ahead)),
		Int64GetDatum(GetSystemIdentifier()),
		CStringGetTextDatum(cursor->snapshot),
		FullTransactionIdGetDatum(cursor->run_xid),
		TimestampTzGetDatum(cursor->exact_from),
		ext_text_array(cursor->names)
	};

	ext_query(true,
			  psprintf("INSERT INTO %s (definition_id, source, mode, fingerprint, horizon, "
					   "ahead, system_id, snapshot, run_xid, exact_from, names) "
					   "VALUES ($1, $2, $3, $4, $5, $6::bigint[], $7, "
					   "$8::pg_snapshot, $9, nullif($10, '-infinity'), $11) "
					   "ON CONFLICT (definition_id, source) DO UPDATE SET (mode, fingerprint, "
					   "horizon, ahead, system_id, snapshot, run_xid, exact_from, names) = "
					   "(excluded.mode, excluded.fingerprint, excluded.horizon, excluded.ahead, "
					   "excluded.system_id, excluded.snapshot, excluded.run_xid, "
					   "excluded.exact_from, excluded.names)",
					   ext_table("batchagg_cursors")),
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

	values[0] = ext_int_array(definition_ids);
	sources_as_arrays(sources, &values[1], &values[2]);
	ext_query(true,
			  psprintf("DELETE FROM %s WHERE definition_id = ANY ($1) AND NOT EXISTS "
					   "(SELECT FROM ROWS FROM (unnest($2), unnest($3)) AS k (d, s) "
					   "WHERE d = definition_id AND s = source)",
					   ext_table("batchagg_cursors")),
			  lengthof(types), types, values);
}
