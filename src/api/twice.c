/*-------------------------------------------------------------------------
 *
 * twice.c
 *	  The triggers that look for results which are computed twice.
 *
 * Two definitions of a job that are equal would store everything twice, and who reads
 * the results would count it twice: they are refused.  Two jobs of one owner that
 * compute the same results may be meant, as their schedules differ; a NOTICE says so.
 * What is the same is told by the source as it was resolved when it was written, and by
 * all that decides which rows come into a group; it has an index, so that thousands of
 * definitions are not compared with each other.  The tables are read with the rights of
 * their owner, as row-level security would keep the index from being used; who sees a job
 * sees all jobs of its owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "api/export.h"
#include "api/transition.h"
#include "model/ext.h"
#include "model/names.h"
#include "model/problem.h"

PG_FUNCTION_INFO_V1(batchagg_definitions_changed);
PG_FUNCTION_INFO_V1(batchagg_metrics_changed);

/* What tells series of a definition from those of others, as the index has it. */
#define SERIES(d) \
	d ".focal_entity || E'\\n' || coalesce(" d ".source_table, " d ".entity) || E'\\n' || " \
	d ".granularity || E'\\n' || " d ".timezone || E'\\n' || coalesce(" d ".id_column, '') || E'\\n' || " \
	"coalesce(" d ".time_column, '') || E'\\n' || coalesce(" d ".resource_filter, '')"
#define SERIES_HASH(d) "hashtextextended(" SERIES(d) ", 0)"

/* What tells it from others of its job that may be equal, likewise. */
#define EQUAL_HASH(d) \
	"hashtextextended(" SERIES(d) " || E'\\n' || " d ".job_id::text || E'\\n' || " d ".job_delay::text, 0)"

/* At most so many pairs of jobs are named, of so many that are looked at. */
#define MAX_NOTICES "5"
#define MAX_SERIES "1000"
#define MAX_OTHERS "20"

/*
 * Equal definitions of one job: %1$s is batchjob_definitions.  All columns count, but the
 * id; what the entity is called does not, where it is known which relation it is.
 * Candidates are looked up in a query of their own, or else the planner, which has no
 * statistics of a table that has just been filled, might compare all definitions of a job
 * with each other; here and below.
 */
static const char equal_sql[] =
"SELECT least(n.id, o.id), greatest(n.id, o.id), n.job_id, n.granularity, n.focal_entity, n.entity "
"FROM %1$s n JOIN LATERAL (SELECT * FROM %1$s d WHERE " EQUAL_HASH("d") " = " EQUAL_HASH("n") " "
"OFFSET 0) o ON o.id <> n.id AND o.job_id = n.job_id AND o.lookback IS NOT DISTINCT FROM n.lookback "
"AND o.results_retention IS NOT DISTINCT FROM n.results_retention "
"AND to_jsonb(o) - '{id,entity}'::text[] = to_jsonb(n) - '{id,entity}'::text[] "
"WHERE n.id = ANY ($1) ORDER BY 1, 2 LIMIT 1";

/*
 * Pairs of jobs that compute the same: %1$s to %3$s are batchjob_definitions, batch_jobs
 * and batchjob_metrics; %4$s is a condition on d, the definition that is looked at, and
 * %5$s one on mn, its job's metric.  Where thousands of jobs compute the same, not each
 * is compared with each other.  Names of metrics that differ by case or dots are the same
 * where they are those of a column; in row layout they may stand for different rows.
 */
static const char same_sql[] =
"WITH n AS (SELECT d.job_id, j.owner::oid AS owner, " SERIES("d") " AS series, " SERIES_HASH("d") " AS hash, "
"min(d.granularity) AS granularity, min(d.focal_entity) AS focal_entity, "
"min(coalesce(d.source_table, d.entity)) AS source, min(d.source_table) AS relation FROM %1$s d JOIN %2$s j ON j.id = d.job_id "
"WHERE %4$s GROUP BY 1, 2, 3, 4 ORDER BY 1 LIMIT " MAX_SERIES ") "
"SELECT n.job_id, o.job_id, min(n.granularity), min(mn.metric_name), min(n.focal_entity), "
"min(n.source) FROM n JOIN LATERAL (SELECT DISTINCT c.job_id FROM (SELECT d.job_id FROM %1$s d "
"JOIN %2$s j ON j.id = d.job_id AND j.owner::oid = n.owner WHERE " SERIES_HASH("d") " = n.hash "
"AND " SERIES("d") " = n.series AND d.job_id <> n.job_id LIMIT " MAX_OTHERS ") c) o ON true "
"JOIN %3$s mn ON mn.job_id = n.job_id JOIN %3$s mo ON mo.job_id = o.job_id "
"AND " NAME_FOLDED_SQL("mo.metric_name") " = " NAME_FOLDED_SQL("mn.metric_name") " AND string_to_array(mo.aggregation_types, ',') && "
"string_to_array(mn.aggregation_types, ',') AND (mo.metric_name = mn.metric_name OR EXISTS "
"(SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(n.relation) AND a.attnum > 0 "
"AND " NAME_FOLDED_SQL("a.attname::text") " = " NAME_FOLDED_SQL("mn.metric_name") ")) "
"WHERE %5$s GROUP BY n.job_id, o.job_id ORDER BY 1, 2 LIMIT " MAX_NOTICES;

/* The texts of a column of changed rows as an array. */
static Datum
column_array(const TriggerData *data, const List *rows, const char *column)
{
	List	   *texts = NIL;
	ListCell   *lc;

	foreach(lc, rows)
		texts = lappend(texts, transition_text(data, lfirst(lc), column));
	return ext_text_array(texts);
}

/* The ids of a column of changed rows as a list. */
static List *
column_ids(const TriggerData *data, const List *rows, const char *column)
{
	List	   *ids = NIL;
	ListCell   *lc;

	foreach(lc, rows)
		ids = lappend_int(ids, pg_strtoint32(transition_text(data, lfirst(lc), column)));
	return ids;
}

/*
 * Raises an error where two definitions of a job are equal.  Who writes definitions of the
 * same job at the same time waits, and looks at what the other has committed then.
 */
static void
refuse_equal(Datum ids)
{
	const Oid	types[] = {INT4ARRAYOID};
	List	   *rows;
	char	  **row;

	ext_query(true, psprintf("SELECT FROM %s WHERE id IN (SELECT job_id FROM %s WHERE id = ANY ($1)) "
							 "ORDER BY id FOR NO KEY UPDATE", ext_table("batch_jobs"),
							 ext_table("batchjob_definitions")),
			  lengthof(types), types, &ids);
	rows = ext_query_latest(true, psprintf(equal_sql, ext_table("batchjob_definitions")),
							lengthof(types), types, &ids);
	if (rows == NIL)
		return;
	row = linitial(rows);
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("definitions %s and %s of job %s are equal", row[0], row[1], row[2]),
			 errdetail("Both compute %s results per \"%s\" from \"%s\".", row[3], row[4], row[5]),
			 errhint("Leave out one of them.")));
}

/*
 * Tells of other jobs that compute the same as these definitions do of these metrics,
 * which are conditions with arguments.
 */
static void
notice_same(const char *definitions, const char *metrics, int nargs, const Oid *types,
			const Datum *values)
{
	ListCell   *lc;

	foreach(lc, ext_query(true,
						  psprintf(same_sql, ext_table("batchjob_definitions"),
								   ext_table("batch_jobs"), ext_table("batchjob_metrics"),
								   definitions, metrics),
						  nargs, types, values))
	{
		char	  **row = lfirst(lc);

		ereport(NOTICE,
				(errmsg("job %s computes results that job %s computes too", row[0], row[1]),
				 errdetail("Among them are %s results of metric \"%s\" per \"%s\" from \"%s\".",
						   row[2], text_for_client(row[3]), text_for_client(row[4]),
						   text_for_client(row[5]))));
	}
}

/*
 * Trigger on batchjob_definitions, AFTER INSERT or UPDATE, for each statement, with the
 * transition table of the rows as they are now.  ERROR: two definitions of a job are
 * equal.  NOTICE: another job of the owner computes the same.
 */
Datum
batchagg_definitions_changed(PG_FUNCTION_ARGS)
{
	const TriggerData *data = statement_trigger(fcinfo);
	List	   *rows = transition_rows(data, false);
	const Oid	types[] = {INT4ARRAYOID};
	Datum		ids;

	if (rows == NIL || ext_is_restoring())
		PG_RETURN_POINTER(NULL);
	ids = ext_int_array(column_ids(data, rows, "id"));
	refuse_equal(ids);
	notice_same("d.id = ANY ($1)", "true", lengthof(types), types, &ids);
	PG_RETURN_POINTER(NULL);
}

/*
 * Trigger on batchjob_metrics: likewise.  NOTICE: another job of the owner computes the
 * same of these metrics.
 */
Datum
batchagg_metrics_changed(PG_FUNCTION_ARGS)
{
	const TriggerData *data = statement_trigger(fcinfo);
	List	   *rows = transition_rows(data, false);
	const Oid	types[] = {INT4ARRAYOID, TEXTARRAYOID};
	Datum		values[2];

	if (rows == NIL || ext_is_restoring())
		PG_RETURN_POINTER(NULL);
	values[0] = ext_int_array(column_ids(data, rows, "job_id"));
	values[1] = column_array(data, rows, "metric_name");
	notice_same("d.job_id = ANY ($1)",
				"(mn.job_id, mn.metric_name) IN (SELECT * FROM ROWS FROM (unnest($1), unnest($2)) "
				"AS c (job_id, metric_name))", lengthof(types), types, values);
	PG_RETURN_POINTER(NULL);
}
