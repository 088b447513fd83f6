/*-------------------------------------------------------------------------
 *
 * together.c
 *	  Which jobs are run together.
 *
 * Jobs that run together share the scans of their sources (plan/plan.c).
 * That pays where they read the same, and needs one owner.  Both are in a
 * job's source key, a text: its owner, and the relations that its metrics lead
 * to: mapped tables, and entities that are relations, as these come before mappings
 * where they have the metric.  Where a metric is mapped to the entity of each
 * definition, its mappings to other tables do not matter.  They are taken from the
 * rows of jobs and mappings as they stand, without a look at the relations: a key that
 * is too coarse or too fine costs time, and changes no result.
 *
 * Jobs that run together also do not see each other's results.  So a job that
 * reads results, in RuleExecutionResults, any view over what runs write, or a table
 * whose policies read that, has no key and runs alone; and so does one whose sources are not known by their
 * qualified name, for they might be such views.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

#include "model/ext.h"
#include "model/names.h"
#include "model/together.h"

/* The tables that runs write. */
static const char *const written_tables[] = {
	"batchagg_store", "batchagg_layouts", "batchagg_positions", "batchagg_runs",
	"batchagg_counters"
};

/*
 * The query for keys: $1 are jobs, $2 the written tables; %1$s to %4$s are
 * batch_jobs, batchjob_definitions, batchjob_metrics and metricsandtables.  As
 * in mapping.c, mappings count that are the owner's or a superuser's.
 */
static const char keys_sql[] =
"WITH RECURSIVE written (relid) AS (SELECT unnest($2) UNION "
"SELECT coalesce(r.ev_class, p.polrelid) FROM written "
"JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = relid "
"AND d.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass) "
"LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid "
"LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid), "
"names AS (SELECT lower(format('%%I.%%I', n.nspname, c.relname)) AS name "
"FROM written JOIN pg_class c ON c.oid = relid JOIN pg_namespace n ON n.oid = c.relnamespace), "
"mapped AS (SELECT j.id, b.metric_name, m.tablename FROM %1$s j "
"JOIN %3$s b ON b.job_id = j.id LEFT JOIN %4$s m "
"ON " NAME_FOLDED_SQL("m.metricname") " = " NAME_FOLDED_SQL("b.metric_name") " "
"AND (m.owner = j.owner OR m.owner::oid IN (SELECT oid FROM pg_roles WHERE rolsuper)) "
"WHERE j.id = ANY ($1)), "
"entities AS (SELECT job_id, source_table, count(*) OVER (PARTITION BY job_id) AS n "
"FROM (SELECT DISTINCT job_id, source_table FROM %2$s WHERE job_id = ANY ($1)) d), "
"settled AS (SELECT m.id, m.metric_name FROM mapped m "
"JOIN entities e ON e.job_id = m.id AND e.source_table = m.tablename "
"GROUP BY 1, 2 HAVING count(DISTINCT m.tablename) = max(e.n)), "
"sources AS (SELECT id, tablename AS name FROM mapped m WHERE tablename IS NOT NULL "
"AND NOT EXISTS (SELECT FROM settled s WHERE s.id = m.id AND s.metric_name = m.metric_name) UNION "
"SELECT d.job_id, d.source_table FROM %2$s d "
"WHERE d.job_id IN (SELECT id FROM mapped) AND d.source_table IS NOT NULL UNION "
"SELECT d.job_id, d.entity FROM %2$s d "
"WHERE d.job_id IN (SELECT id FROM mapped WHERE tablename IS NULL) AND d.source_table IS NULL) "
"SELECT CASE WHEN bool_and(strpos(s.name, '.') > 0 AND lower(s.name) NOT IN (TABLE names)) "
"THEN j.owner::oid || ' ' || string_agg(s.name, ',' ORDER BY s.name) END "
"FROM unnest($1) WITH ORDINALITY i (id, n) LEFT JOIN %1$s j ON j.id = i.id "
"LEFT JOIN sources s ON s.id = i.id GROUP BY i.n, j.owner ORDER BY i.n";

/*
 * The tables that runs write, as an array of oids.
 */
Datum
written_relations(void)
{
	Datum		written[lengthof(written_tables)];

	for (int i = 0; i < lengthof(written_tables); i++)
		written[i] = ObjectIdGetDatum(ext_relid(written_tables[i]));
	return PointerGetDatum(construct_array(written, lengthof(written), OIDOID, sizeof(Oid),
										   true, TYPALIGN_INT));
}

/*
 * The source keys of jobs, in the order of job_ids; NULL for a job that is to
 * run alone.  The caller's right to see the jobs is not looked at.
 */
char	  **
job_source_keys(const int32 *job_ids, int n)
{
	Oid			types[] = {INT4ARRAYOID, OIDARRAYOID};
	char	  **keys = palloc(Max(n, 1) * sizeof(char *));
	Datum		values[2];
	ListCell   *lc;

	values[0] = ext_id_array(job_ids, n);
	values[1] = written_relations();

	foreach(lc, ext_query(true,
						  psprintf(keys_sql, ext_table("batch_jobs"),
								   ext_table("batchjob_definitions"),
								   ext_table("batchjob_metrics"),
								   ext_table("metricsandtables")),
						  lengthof(types), types, values))
		keys[foreach_current_index(lc)] = ((char **) lfirst(lc))[0];
	return keys;
}

/*
 * How many of the `n` jobs with these keys, from the first on, are run
 * together.
 */
int
job_group_length(char *const *keys, int n)
{
	int			length = 1;

	while (length < Min(n, MAX_GROUP_JOBS) && keys[0] != NULL && keys[length] != NULL &&
		   strcmp(keys[0], keys[length]) == 0)
		length++;
	return length;
}
