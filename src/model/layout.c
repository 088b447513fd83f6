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
 * entity have changed, it is set aside and a new one made; what was set aside is
 * dropped with all its rows when the run has stored its results.  Results that
 * are to outlive their rows are brought over before, as far as the new layout
 * has a place for them, and then compared with what the run computes as ever.
 * Layouts in use are locked to the end of the transaction: dropping the
 * definition waits for the run, and a run in a repeatable read transaction
 * fails where another one has changed the results since its snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "model/layout.h"

static Datum
text_array(const char *const *texts, int n)
{
	Datum	   *elements = palloc(n * sizeof(Datum));
	int			i;

	for (i = 0; i < n; i++)
		elements[i] = CStringGetTextDatum(texts[i]);
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Sets the id of the stored layout equal to this one, locked, or 0 where there is
 * none; and the meaning that its results had, if it is another.
 */
static void
layout_find(StoredLayout *layout, bool lock)
{
	char	   *sql = psprintf("SELECT l.id, l.meaning FROM %s l "
							   "WHERE l.definition_id = $1 AND l.source = $2 AND l.part = $3 "
							   "AND l.focal_entity = $4 AND l.granularity = $5 "
							   "AND $6 = ARRAY(SELECT p.metric_name FROM %s p "
							   "WHERE p.layout_id = l.id ORDER BY p.position) "
							   "AND $7 = ARRAY(SELECT p.aggregation_type FROM %s p "
							   "WHERE p.layout_id = l.id ORDER BY p.position) %s",
							   ext_table("batchagg_layouts"),
							   ext_table("batchagg_positions"),
							   ext_table("batchagg_positions"),
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
	List	   *rows = ext_query(true, sql, lengthof(types), types, values);
	char	  **row;

	layout->id = 0;
	if (rows == NIL)
		return;
	row = linitial(rows);
	layout->id = pg_strtoint32(row[0]);
	if (strcmp(row[1], layout->meaning) != 0)
		layout->before = row[1];
}

/* Notes what the results of a layout mean from now on. */
static void
layout_set_meaning(const StoredLayout *layout)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(layout->id), CStringGetTextDatum(layout->meaning)};

	ext_query(true, psprintf("UPDATE %s SET meaning = $2 WHERE id = $1",
							 ext_table("batchagg_layouts")), lengthof(types), types, values);
}

/*
 * Sets aside the layout that is in this one's place, if there is one.  Sets the
 * meaning that its results had, if it is another.
 */
static void
layout_set_aside(StoredLayout *layout)
{
	Oid			types[] = {INT4OID, TEXTOID, INT4OID, TEXTOID};
	Datum		values[] = {
		Int32GetDatum(layout->definition_id),
		CStringGetTextDatum(layout->source),
		Int32GetDatum(layout->part),
		CStringGetTextDatum(layout->meaning)
	};
	List	   *rows;

	rows = ext_query(true,
					 psprintf("UPDATE %s SET part = -part WHERE definition_id = $1 "
							  "AND source = $2 AND part = $3 RETURNING nullif(meaning, $4)",
							  ext_table("batchagg_layouts")),
					 lengthof(types), types, values);
	if (rows != NIL)
		layout->before = ((char **) linitial(rows))[0];
}

/*
 * Stores a layout in the place of any other of the same definition, source and
 * part, which is set aside.  Returns its id.  There can be another still only if
 * it came to be after the snapshot of a repeatable read transaction: then ON
 * CONFLICT makes it a serialization failure.
 */
static int32
layout_insert(const StoredLayout *layout)
{
	Oid			types[] = {INT4OID, TEXTOID, INT4OID, TEXTOID, TEXTOID,
	INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID};
	Datum		values[] = {
		Int32GetDatum(layout->definition_id),
		CStringGetTextDatum(layout->source),
		Int32GetDatum(layout->part),
		CStringGetTextDatum(layout->focal_entity),
		CStringGetTextDatum(layout->granularity),
		ext_id_array(layout->metrics, layout->npositions),
		text_array(layout->metric_names, layout->npositions),
		text_array(layout->aggregate_names, layout->npositions),
		text_array(layout->result_names, layout->npositions),
		CStringGetTextDatum(layout->meaning)
	};
	List	   *rows;

	rows = ext_query(true,
					 psprintf("WITH layout AS (INSERT INTO %s "
							  "(job_id, definition_id, source, part, focal_entity, granularity, "
							  "meaning) "
							  "SELECT d.job_id, $1, $2, $3, $4, $5, $10 FROM %s d WHERE d.id = $1 "
							  "ON CONFLICT (definition_id, source, part) DO NOTHING "
							  "RETURNING id) "
							  "INSERT INTO %s (layout_id, position, metric, metric_name, "
							  "aggregation_type, result_name) "
							  "SELECT layout.id, n, metric, metric_name, aggregate, result "
							  "FROM layout, ROWS FROM (unnest($6), unnest($7), unnest($8), "
							  "unnest($9)) WITH ORDINALITY "
							  "AS u (metric, metric_name, aggregate, result, n) "
							  "RETURNING layout_id",
							  ext_table("batchagg_layouts"),
							  ext_table("batchjob_definitions"),
							  ext_table("batchagg_positions")),
					 lengthof(types), types, values);
	if (rows == NIL)
		elog(ERROR, "definition %d is missing", layout->definition_id);
	return pg_strtoint32(((char **) linitial(rows))[0]);
}

/*
 * The statement that brings kept results over to layout $1: %1$s to %3$s are
 * batchagg_layouts, batchagg_positions and batchagg_store.  A group is brought
 * over if any of its results has a place in the new layout.
 */
static const char keep_sql[] =
"WITH wanted AS (SELECT position, metric, metric_name, aggregation_type, "
"row_number() OVER (PARTITION BY metric ORDER BY position) = 1 AS first "
"FROM %2$s WHERE layout_id = $1), "
"kept AS (SELECT s.bucket, s.entity_id, p.metric_name, p.aggregation_type, "
"s.results[p.position] AS result, coalesce(s.metric_counts[p.metric], s.sample_count) AS n, "
"s.updated_at FROM %1$s old JOIN %1$s new ON new.id = $1 AND old.id <> new.id "
"AND old.definition_id = new.definition_id AND old.source = new.source "
"AND old.focal_entity = new.focal_entity AND old.granularity = new.granularity "
"JOIN %2$s p ON p.layout_id = old.id "
"JOIN %3$s s ON s.layout_id = old.id), "
"groups AS (SELECT bucket, entity_id, max(updated_at) AS updated_at FROM kept "
"JOIN wanted USING (metric_name, aggregation_type) WHERE result IS NOT NULL GROUP BY 1, 2), "
"rows AS (SELECT bucket, entity_id, g.updated_at, array_agg(result ORDER BY position) AS results, "
"array_agg(coalesce(n, 0) ORDER BY position) FILTER (WHERE first) AS counts "
"FROM groups g CROSS JOIN wanted "
"LEFT JOIN kept USING (bucket, entity_id, metric_name, aggregation_type) "
"GROUP BY bucket, entity_id, g.updated_at) "
"INSERT INTO %3$s (layout_id, bucket, entity_id, sample_count, metric_counts, results, updated_at) "
"SELECT $1, bucket, entity_id, counts[1], counts, results, updated_at FROM rows";

/* Brings the results over from the other layouts of a definition and source. */
static void
layout_keep_history(int32 id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(id)};

	ext_query(true,
			  psprintf(keep_sql, ext_table("batchagg_layouts"),
					   ext_table("batchagg_positions"), ext_table("batchagg_store")),
			  lengthof(types), types, values);
}

static void
layout_create(StoredLayout *layout)
{
	layout_set_aside(layout);
	layout->id = layout_insert(layout);
	if (layout->keeps)
		layout_keep_history(layout->id);
}

/*
 * Sets the id of the layout that holds these results, and the meaning of what there
 * is of them, if it is another.  With may_write it is locked to the end of the
 * transaction, and made if it is not there, with any other layout in its place set
 * aside; else the id is 0 where it is not there.  Returns whether it was made.
 */
bool
layout_ensure(StoredLayout *layout, bool may_write)
{
	layout_find(layout, may_write);
	if (layout->id == 0 && may_write)
	{
		layout_create(layout);
		return true;
	}
	if (may_write && layout->before != NULL)
		layout_set_meaning(layout);
	return false;
}

/*
 * The stored layouts of these definitions but the listed ones, a list of
 * StoredLayout without names of results.
 */
List *
layouts_others(const List *definition_ids, const List *layout_ids)
{
	Oid			types[] = {INT4ARRAYOID, INT4ARRAYOID};
	Datum		values[] = {ext_int_array(definition_ids), ext_int_array(layout_ids)};
	List	   *result = NIL;
	StoredLayout *layout = NULL;
	int		   *metrics;
	const char **metric_names;
	const char **aggregate_names;
	ListCell   *lc;
	List	   *rows = ext_query(true,
								 psprintf("SELECT l.id, l.definition_id, l.source, p.metric, "
										  "p.metric_name, p.aggregation_type FROM %s l "
										  "JOIN %s p ON p.layout_id = l.id "
										  "WHERE l.definition_id = ANY ($1) AND l.id <> ALL ($2) "
										  "ORDER BY l.id, p.position",
										  ext_table("batchagg_layouts"),
										  ext_table("batchagg_positions")),
								 lengthof(types), types, values);

	/* Of all layouts: each has its part of the arrays. */
	metrics = palloc(list_length(rows) * sizeof(int));
	metric_names = palloc(list_length(rows) * sizeof(char *));
	aggregate_names = palloc(list_length(rows) * sizeof(char *));
	foreach(lc, rows)
	{
		char	  **row = lfirst(lc);
		int			i = foreach_current_index(lc);
		int32		id = pg_strtoint32(row[0]);

		if (layout == NULL || layout->id != id)
		{
			layout = palloc0(sizeof(StoredLayout));
			layout->id = id;
			layout->definition_id = pg_strtoint32(row[1]);
			layout->source = row[2];
			layout->metrics = metrics + i;
			layout->metric_names = metric_names + i;
			layout->aggregate_names = aggregate_names + i;
			result = lappend(result, layout);
		}
		layout->metrics[layout->npositions] = pg_strtoint32(row[3]);
		layout->metric_names[layout->npositions] = row[4];
		layout->aggregate_names[layout->npositions++] = row[5];
	}
	return result;
}

/*
 * Drops the layouts of these definitions but the listed ones and those of the sources
 * that are untouched (sources_as_arrays()): with them goes what is stored of metrics,
 * sources and parts that are no more.  Returns whether there were any.
 */
bool
layouts_drop_others(const List *definition_ids, const List *layout_ids,
					Datum untouched_definitions, Datum untouched_sources)
{
	Oid			types[] = {INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID};
	Datum		values[] = {
		ext_int_array(definition_ids), ext_int_array(layout_ids),
		untouched_definitions, untouched_sources
	};

	return ext_query(true,
					 psprintf("DELETE FROM %s WHERE definition_id = ANY ($1) AND id <> ALL ($2) "
							  "AND NOT EXISTS (SELECT FROM ROWS FROM (unnest($3), unnest($4)) "
							  "AS k (d, s) WHERE d = definition_id AND s = source) RETURNING 1",
							  ext_table("batchagg_layouts")),
					 lengthof(types), types, values) != NIL;
}

/*
 * Has PostgreSQL count what the small tables hold that the view
 * RuleExecutionResults joins to the store, after layouts were made or dropped in
 * this transaction.  Without statistics of these it plans queries on the view badly.
 *
 * ANALYZE keeps its lock to the end of the transaction.  Nobody waits for it here:
 * a table that another run is analyzing, or that is being vacuumed, is left to
 * autovacuum (10-tables.sql says how it comes to small tables).
 */
void
layouts_analyze(void)
{
	static const char *const tables[] = {"batch_jobs", "batchagg_layouts", "batchagg_positions"};

	for (int i = 0; i < lengthof(tables); i++)
		if (ConditionalLockRelationOid(ext_relid(tables[i]), ShareUpdateExclusiveLock))
			ext_query(true, psprintf("ANALYZE %s", ext_table(tables[i])), 0, NULL, NULL);
}

/*
 * Notes that rows of a layout have changed in this transaction.
 */
void
layout_changed(int32 layout_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(layout_id)};

	ext_query(true,
			  psprintf("UPDATE %s SET changed_at = now() WHERE id = $1",
					   ext_table("batchagg_layouts")),
			  lengthof(types), types, values);
}

/*
 * The time of the oldest row that runs of a definition have met in a source;
 * DT_NOEND: none has.  Sets *mixed where results are left of an earlier meaning.
 */
TimestampTz
layouts_history(int32 definition_id, const char *source, bool *mixed)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(definition_id), CStringGetTextDatum(source)};
	List	   *rows = ext_query(true,
								 psprintf("SELECT " EXT_MICROSECONDS("min(rows_from)")
										  ", coalesce(bool_or(mixed), false) FROM %s "
										  "WHERE definition_id = $1 AND source = $2",
										  ext_table("batchagg_layouts")),
								 lengthof(types), types, values);
	char	  **row = linitial(rows);

	*mixed = row[1][0] == 't';
	return row[0] ? pg_strtoint64(row[0]) : DT_NOEND;
}

/*
 * Notes both for the next runs.
 */
void
layouts_set_history(int32 definition_id, const char *source, TimestampTz rows_from, bool mixed)
{
	Oid			types[] = {INT4OID, TEXTOID, TIMESTAMPTZOID, BOOLOID};
	Datum		values[] = {
		Int32GetDatum(definition_id),
		CStringGetTextDatum(source),
		TimestampTzGetDatum(rows_from),
		BoolGetDatum(mixed)
	};

	ext_query(true,
			  psprintf("UPDATE %s SET rows_from = nullif($3, 'infinity'), mixed = $4 "
					   "WHERE definition_id = $1 AND source = $2 AND (mixed <> $4 "
					   "OR rows_from IS DISTINCT FROM nullif($3, 'infinity'))",
					   ext_table("batchagg_layouts")),
			  lengthof(types), types, values);
}

/*
 * Deletes the results of a definition from a source of buckets before t.
 * Returns how many rows of the store there were.
 */
int64
layouts_delete_before(int32 definition_id, const char *source, TimestampTz t)
{
	Oid			types[] = {INT4OID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[] = {
		Int32GetDatum(definition_id),
		CStringGetTextDatum(source),
		TimestampTzGetDatum(t)
	};
	List	   *rows = ext_query(true,
								 psprintf("WITH deleted AS (DELETE FROM %s s USING %s l "
										  "WHERE l.definition_id = $1 AND l.source = $2 "
										  "AND s.layout_id = l.id AND s.bucket < $3 RETURNING 1) "
										  "SELECT count(*) FROM deleted",
										  ext_table("batchagg_store"),
										  ext_table("batchagg_layouts")),
								 lengthof(types), types, values);

	return pg_strtoint64(((char **) linitial(rows))[0]);
}
