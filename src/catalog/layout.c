/*-------------------------------------------------------------------------
 *
 * layout.c
 *	  Layouts of packed rows: what each element of a stored array means.
 *
 * The results of a group are stored as an array of float8.  Its layout, a row
 * of batchagg_layouts with one of batchagg_positions for each element, says
 * which metric and aggregate every element is.  The meaning of an element is
 * stored and never derived from the definition, so that the results stay what
 * they were computed as while a definition changes.
 *
 * A run asks for the layouts that its definitions need now.  Where the stored
 * one is another, because metrics, aggregates, the granularity or the focal
 * entity have changed, it is dropped with all its rows and a new one made.
 * Layouts in use are locked to the end of the transaction: dropping the
 * definition waits for the run, and a run in a repeatable read transaction
 * fails where another one has changed the results since its snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "catalog/layout.h"
#include "catalog/source.h"
#include "catalog/store.h"

static Datum
text_array(const char *const *texts, int n)
{
	Datum	   *elements = palloc(n * sizeof(Datum));
	int			i;

	for (i = 0; i < n; i++)
		elements[i] = CStringGetTextDatum(texts[i]);
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
int_array(const int *integers, int n)
{
	Datum	   *elements = palloc(n * sizeof(Datum));
	int			i;

	for (i = 0; i < n; i++)
		elements[i] = Int32GetDatum(integers[i]);
	return PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true,
										   TYPALIGN_INT));
}

/*
 * Returns the id of the stored layout equal to this one, locked; 0 where there
 * is none.
 */
static int32
layout_find(const StoredLayout *layout, bool lock)
{
	char	   *sql = psprintf("SELECT l.id FROM %s l "
							   "WHERE l.definition_id = $1 AND l.source = $2 AND l.part = $3 "
							   "AND l.focal_entity = $4 AND l.granularity = $5 "
							   "AND $6 = ARRAY(SELECT p.metric_name FROM %s p "
							   "WHERE p.layout_id = l.id ORDER BY p.position) "
							   "AND $7 = ARRAY(SELECT p.aggregation_type FROM %s p "
							   "WHERE p.layout_id = l.id ORDER BY p.position) %s",
							   store_table("batchagg_layouts"),
							   store_table("batchagg_positions"),
							   store_table("batchagg_positions"),
							   lock ? "FOR NO KEY UPDATE OF l" : "");
	Oid			types[] = {INT4OID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[] = {
		Int32GetDatum(layout->definition_id),
		CStringGetTextDatum(layout->source),
		Int32GetDatum(layout->part),
		CStringGetTextDatum(layout->focal_entity),
		CStringGetTextDatum(layout->granularity),
		text_array(layout->metric_names, layout->npositions),
		text_array(layout->aggregate_names, layout->npositions)
	};
	List	   *rows = store_query(true, sql, lengthof(types), types, values);

	return rows == NIL ? 0 : pg_strtoint32(((char **) linitial(rows))[0]);
}

/*
 * Stores a layout in the place of any other of the same definition, source
 * and part, whose rows are deleted with it.  Returns its id.  There can be
 * another still only if it came to be after the snapshot of a repeatable read
 * transaction: then ON CONFLICT makes it a serialization failure.
 */
static int32
layout_create(const StoredLayout *layout)
{
	Oid			types[] = {INT4OID, TEXTOID, INT4OID, TEXTOID, TEXTOID,
	INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[] = {
		Int32GetDatum(layout->definition_id),
		CStringGetTextDatum(layout->source),
		Int32GetDatum(layout->part),
		CStringGetTextDatum(layout->focal_entity),
		CStringGetTextDatum(layout->granularity),
		int_array(layout->metrics, layout->npositions),
		text_array(layout->metric_names, layout->npositions),
		text_array(layout->aggregate_names, layout->npositions),
		text_array(layout->result_names, layout->npositions)
	};
	List	   *rows;

	store_query(true,
				psprintf("DELETE FROM %s WHERE definition_id = $1 AND source = $2 AND part = $3",
						 store_table("batchagg_layouts")),
				3, types, values);
	rows = store_query(true,
					   psprintf("WITH layout AS (INSERT INTO %s "
								"(job_id, definition_id, source, part, focal_entity, granularity) "
								"SELECT d.job_id, $1, $2, $3, $4, $5 FROM %s d WHERE d.id = $1 "
								"ON CONFLICT (definition_id, source, part) DO NOTHING "
								"RETURNING id) "
								"INSERT INTO %s (layout_id, position, metric, metric_name, "
								"aggregation_type, result_name) "
								"SELECT layout.id, n, metric, metric_name, aggregate, result "
								"FROM layout, ROWS FROM (unnest($6), unnest($7), unnest($8), "
								"unnest($9)) WITH ORDINALITY "
								"AS u (metric, metric_name, aggregate, result, n) "
								"RETURNING layout_id",
								store_table("batchagg_layouts"),
								store_table("batchjob_definitions"),
								store_table("batchagg_positions")),
					   lengthof(types), types, values);
	if (rows == NIL)
		elog(ERROR, "definition %d is missing", layout->definition_id);
	return pg_strtoint32(((char **) linitial(rows))[0]);
}

/*
 * Returns the id of the layout that holds these results.  With may_write it is
 * locked to the end of the transaction, and made if it is not there, with any
 * other layout in its place dropped; else 0 is returned where it is not there.
 */
int32
layout_ensure(const StoredLayout *layout, bool may_write)
{
	int32		id = layout_find(layout, may_write);

	if (id == 0 && may_write)
		id = layout_create(layout);
	return id;
}

/*
 * Drops the layouts of these definitions but the listed ones and those of
 * `untouched`, a list of Source: with them goes what is stored of metrics,
 * sources and parts that are no more.
 */
void
layouts_drop_others(const List *definition_ids, const List *layout_ids, const List *untouched)
{
	Oid			types[] = {INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID};
	Datum		values[4];

	values[0] = store_int_array(definition_ids);
	values[1] = store_int_array(layout_ids);
	sources_as_arrays(untouched, &values[2], &values[3]);
	store_query(true,
				psprintf("DELETE FROM %s WHERE definition_id = ANY ($1) AND id <> ALL ($2) "
						 "AND NOT EXISTS (SELECT FROM ROWS FROM (unnest($3), unnest($4)) "
						 "AS k (d, s) WHERE d = definition_id AND s = source)",
						 store_table("batchagg_layouts")),
				lengthof(types), types, values);
}

/*
 * Notes that rows of a layout have changed in this transaction.
 */
void
layout_changed(int32 layout_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(layout_id)};

	store_query(true,
				psprintf("UPDATE %s SET changed_at = now() WHERE id = $1",
						 store_table("batchagg_layouts")),
				lengthof(types), types, values);
}
