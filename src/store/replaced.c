/*-------------------------------------------------------------------------
 *
 * replaced.c
 *	  Results of a definition that means something else now.
 *
 * When the definition gets another zone, filter, time or id, or these mean something else
 * though they are called the same (see grouping.c), what is stored are no results of it
 * any more.  What can be made anew is: results go where there are rows of their bucket and
 * entity, by the time that they were computed by, or finer kept groups.  The others stay as
 * they are; if they are of other buckets than the definition has now, they feed the
 * coarser one that holds their start (`mixed`).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "model/layout.h"
#include "model/owner.h"
#include "refresh/grouping.h"
#include "refresh/sourcerows.h"
#include "store/replaced.h"

/* An array of times. */
static Datum
time_array(const TimestampTz *times, int n)
{
	Datum	   *elements = palloc(n * sizeof(Datum));
	int			i;

	for (i = 0; i < n; i++)
		elements[i] = TimestampTzGetDatum(times[i]);
	return PointerGetDatum(construct_array(elements, n, TIMESTAMPTZOID, sizeof(TimestampTz),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* The layouts of a rollup's parts. */
static Datum
layout_array(const Rollup *rollup)
{
	List	   *ids = NIL;
	int			i;

	for (i = 0; i < rollup->nparts; i++)
		ids = lappend_int(ids, rollup->parts[i].layout->id);
	return ext_int_array(ids);
}

/*
 * The buckets that a rollup has results of, and where each ends at the latest: where
 * the next one begins, or it is as long as any.  The zone that they were computed in
 * is not known any more.  Returns how many there are.
 */
static int
stored_buckets(const Rollup *rollup, TimestampTz **starts, TimestampTz **ends)
{
	Oid			types[] = {INT4ARRAYOID};
	Datum		values[] = {layout_array(rollup)};
	int64		length = granularity_length(&rollup->definition->granularity) * USECS_PER_MINUTE;
	List	   *rows = ext_query(true,
								 psprintf("SELECT DISTINCT " EXT_MICROSECONDS("bucket")
										  " FROM %s WHERE layout_id = ANY ($1) ORDER BY 1",
										  ext_table("batchagg_store")),
								 lengthof(types), types, values);
	int			n = list_length(rows);
	int			i;

	*starts = palloc(n * sizeof(TimestampTz));
	*ends = palloc(n * sizeof(TimestampTz));
	for (i = 0; i < n; i++)
		(*starts)[i] = pg_strtoint64(((char **) list_nth(rows, i))[0]);
	for (i = 0; i < n; i++)
		(*ends)[i] = i + 1 < n ? Min((*starts)[i + 1], (*starts)[i] + length) :
			(*starts)[i] + length;
	return n;
}

/*
 * The text by which a source's rows have their entities, as an expression; of all, NULL.
 */
static const char *
entity_text(const Source *source)
{
	const char *id;

	if (source->id_column == InvalidAttrNumber)
		return "NULL::text";
	id = quote_identifier(get_attname(source->relid, source->id_column, false));

	/* Blanks at the end of a char(n) are none of its text. */
	return source_column_type(source, source->id_column) == BPCHAROID ? psprintf("%s::text", id) :
		psprintf("format('%%s', %s)", id);
}

/*
 * The groups of n buckets that the source has rows of, whatever the filter, by a time
 * that is read in a zone, as ids are that have times: texts of bucket and entity.
 * Without by_entity the buckets alone, for all entities (NULL).
 */
static List *
groups_with_rows(const Source *source, const char *time, const char *zone, Datum starts, Datum ends,
				 bool by_entity)
{
	const Definition *definition = source->definition;
	Oid			types[] = {TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID};
	Datum		values[] = {starts, ends};
	const char *entity = by_entity ? entity_text(source) : "NULL::text";
	OwnerScope	scope;
	List	   *rows;

	owner_enter(&scope, definition->job, zone);
	rows = ext_query(false,
					 psprintf("SELECT DISTINCT $1[i], id FROM (SELECT width_bucket(t, $1), t, id "
							  "FROM (SELECT %s, %s FROM %s) AS r (t, id)) AS r (i, t, id) "
							  "WHERE i > 0 AND t < $2[i]",
							  time, entity, source->name),
					 lengthof(types), types, values);
	owner_leave(&scope);
	return rows;
}

/*
 * The time by which a source's rows were in groups before, as an expression; NULL: it was
 * the same as now, in the same zone, or is not there any more.
 */
static const char *
time_before(const Source *source, const Grouping *before, const Grouping *now)
{
	int			column = before->place == now->place ? before->time_column : now->time_column;
	Oid			type = get_atttype(source->relid, column);

	if (column == now->time_column && strcmp(before->zone, now->zone) == 0)
		return NULL;
	/* An update of the rules may have dropped the zone. */
	if (pg_tzset(before->zone) == NULL)
		return NULL;
	type = OidIsValid(type) ? getBaseType(type) : InvalidOid;
	if (type != TIMESTAMPTZOID && (!before->time_is_local || (type != TIMESTAMPOID && type != DATEOID)))
		return NULL;
	if (type == TIMESTAMPTZOID && before->time_is_local)
		return NULL;
	return psprintf("%s::timestamptz", quote_identifier(get_attname(source->relid, column, false)));
}

/* Deletes a rollup's results of these groups. */
static void
forget_groups(const Rollup *rollup, const List *groups)
{
	Oid			types[] = {INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	int			n = list_length(groups);
	Datum	   *buckets = palloc(n * sizeof(Datum));
	Datum	   *entities = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc0(n * sizeof(bool));
	Datum		values[3];
	int			lower = 1;
	ListCell   *lc;

	foreach(lc, groups)
	{
		char	  **row = lfirst(lc);
		int			i = foreach_current_index(lc);

		buckets[i] = CStringGetTextDatum(row[0]);
		nulls[i] = row[1] == NULL;
		entities[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(row[1]);
	}
	values[0] = layout_array(rollup);
	values[1] = PointerGetDatum(construct_array(buckets, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_md_array(entities, nulls, 1, &n, &lower, TEXTOID, -1,
												   false, TYPALIGN_INT));
	ext_query(true,
			  psprintf("DELETE FROM %s s USING unnest($2::timestamptz[], $3) AS g (b, id) "
					   "WHERE s.layout_id = ANY ($1) AND s.bucket = b "
					   "AND coalesce(id, s.entity_id) = s.entity_id",
					   ext_table("batchagg_store")),
			  lengthof(types), types, values);
}

/*
 * Deletes a rollup's results that finer stored groups make anew, of the same entity
 * or of any.
 */
static void
forget_above_finer(const Rollup *rollup, Datum starts, Datum ends, bool by_entity)
{
	Oid			types[] = {INT4ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID,
	BOOLOID};
	Datum		values[] = {
		layout_array(rollup), starts, ends, layout_array(rollup->finer), BoolGetDatum(by_entity)
	};
	char	   *store = ext_table("batchagg_store");

	ext_query(true,
			  psprintf("DELETE FROM %s s USING unnest($2, $3) AS u (b, e) "
					   "WHERE s.layout_id = ANY ($1) AND s.bucket = b AND EXISTS (SELECT FROM %s f "
					   "WHERE f.layout_id = ANY ($4) AND f.bucket >= b AND f.bucket < e "
					   "AND (f.entity_id = s.entity_id OR NOT $5))",
					   store, store),
			  lengthof(types), types, values);
}

/*
 * Deletes the results of a rollup whose definition had the meaning `text`, except
 * those of groups that cannot be made anew.  The finer ones come before.
 */
void
replaced_forget(const Rollup *rollup, const char *text)
{
	const Source *source = rollup->source;
	Grouping	before;
	Grouping	now;
	bool		by_entity;
	const char *time;
	TimestampTz *starts;
	TimestampTz *ends;
	Datum		from;
	Datum		to;
	int			n;

	if (!grouping_read(text, &before))
		return;
	grouping_find(source, &now);
	by_entity = grouping_has_same_entities(source, &before, &now);
	if (by_entity && grouping_is_same(source, &before, &now))
		return;
	n = stored_buckets(rollup, &starts, &ends);
	if (n == 0)
		return;
	from = time_array(starts, n);
	to = time_array(ends, n);
	rollup->refresh->mixed = true;
	if (rollup->finer != NULL && rollup_stores_history(rollup->finer))
		forget_above_finer(rollup, from, to, by_entity);
	time = time_before(source, &before, &now);
	if (time != NULL)
		forget_groups(rollup, groups_with_rows(source, time, before.zone, from, to, by_entity));
	forget_groups(rollup, groups_with_rows(source, source_time(source),
										   rollup->definition->timezone, from, to, by_entity));
}
