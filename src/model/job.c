/*-------------------------------------------------------------------------
 *
 * job.c
 *	  A job as its rows describe it.
 *
 * Triggers have checked these rows when they were written (api/jobrows.c), but
 * a job is checked again each time it is loaded: rows may come from a restore
 * with triggers off, and what was valid then (a time zone, say) may have gone.
 *
 * Rows are read as the caller, so RLS decides what there is.  A job that the
 * caller may not see does not exist; that is always an ERROR, never a problem
 * of the list, as there is nothing to collect problems of.  The definitions
 * and metrics of a visible job are visible.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "model/ext.h"
#include "model/job.h"
#include "model/names.h"
#include "model/suggest.h"
#include "time/zone.h"
#include "words/nearest.h"

/* Texts of integers and booleans as ext_query() returns them. */
#define TEXT_INT(text) ((int32) strtol((text), NULL, 10))
#define TEXT_BOOL(text) ((text)[0] == 't')

/*
 * Rows of a SELECT on one of our tables where `column` is the job's id.  `sql`
 * has one %s, for the table.
 */
static List *
select_for_job(const char *sql, const char *table, int32 job_id)
{
	const Oid	types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(job_id)};

	return ext_query(false, psprintf(sql, ext_table(table)), 1, types, values);
}

/* The hint for a name of no job: the job that may be meant, or where they are listed. */
static char *
hint_for_name(const char *name)
{
	List	   *rows = ext_query(false,
								 psprintf("SELECT job_name, id FROM %s ORDER BY id",
										  ext_table("batch_jobs")),
								 0, NULL, NULL);
	const char **names = palloc(sizeof(char *) * Max(list_length(rows), 1));
	int			n = 0;
	const char *nearest;
	ListCell   *lc;

	foreach(lc, rows)
	{
		char	  **row = lfirst(lc);

		if (strcmp(row[1], name) == 0)
			return psprintf("For the job whose id is %s, write the id without quotes.", name);
		if (row[0] != NULL)
			names[n++] = row[0];
	}
	nearest = word_nearest(name, names, n);
	return nearest ? psprintf("Perhaps you meant \"%s\".", nearest) :
		pstrdup("The view batchagg_jobs lists your jobs.");
}

/*
 * The id of the job called `name`: the caller's own, else the only one that the caller
 * sees.  ERROR where there is none, or several.
 */
static int32
job_id_by_name(const char *name)
{
	const Oid	types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	List	   *rows;

	rows = ext_query(false,
					 psprintf("SELECT id, pg_get_userbyid(owner) = current_user FROM %s "
							  "WHERE job_name = $1 ORDER BY 2 DESC, 1",
							  ext_table("batch_jobs")),
					 1, types, values);
	if (list_length(rows) > 1 && !TEXT_BOOL(((char **) linitial(rows))[1]))
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				 errmsg("job \"%s\" is not unique", name),
				 errdetail("Several roles have a job of this name."),
				 errhint("Write the id of the job instead; the view batchagg_jobs has it.")));
	if (rows == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("job \"%s\" does not exist", name),
				 errhint("%s", hint_for_name(name))));
	return TEXT_INT(((char **) linitial(rows))[0]);
}

/*
 * The id of the job that the first argument of an SQL function names.  Such a
 * function is declared twice: its argument is the job's id, or a text, the job's
 * name.  ERROR where it is NULL, or the caller sees no job of this name.
 */
int32
job_argument(FunctionCallInfo fcinfo)
{
	Oid		   *types;
	int			n;
	bool		by_name;

	(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &n);
	by_name = types[0] == TEXTOID;
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", by_name ? "job_name" : "job_id")));
	return by_name ? job_id_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0))) : PG_GETARG_INT32(0);
}

/*
 * Reads a granularity into *result.  Returns false where it is none, which is
 * a problem.
 */
bool
job_read_granularity(const char *text, Granularity *result, int definition_id,
					 Problems *problems)
{
	const char *error = granularity_parse(text, result);
	char		meant[GRANULARITY_TEXT_LEN] = "";
	Granularity granularity;

	if (error == NULL)
		return true;
	if (granularity_suggest(text, &granularity))
		granularity_format(&granularity, meant);
	problem_report(problems, ERRCODE_INVALID_PARAMETER_VALUE, definition_id, false,
				   psprintf("invalid granularity \"%s\"", text), pstrdup(error),
				   meant[0] ? psprintf("Perhaps you meant \"%s\".", meant) : NULL);
	return false;
}

/*
 * Reads the name of a time zone into *result.  Returns false where it is none,
 * which is a problem.
 */
bool
job_read_timezone(const char *name, pg_tz **result, int definition_id, Problems *problems)
{
	const char *error = zone_parse(name, result);
	char	   *meant;

	if (error == NULL)
		return true;
	meant = suggest_timezone(name);
	problem_report(problems, ERRCODE_INVALID_PARAMETER_VALUE, definition_id, false,
				   psprintf("invalid time zone \"%s\"", name), pstrdup(error),
				   meant ? psprintf("Perhaps you meant \"%s\".", meant) : NULL);
	return false;
}

/* What was probably meant by a word that is no aggregate, as a hint; or NULL. */
static char *
aggregate_hint(const char *word)
{
	Aggregate	aggregate;

	if (aggregate_suggest(word, &aggregate))
		return psprintf("Perhaps you meant \"%s\".", aggregate.name);
	return aggregates_lack_commas(word) ?
		"Separate the names of aggregates by commas, such as sum,avg." : NULL;
}

/*
 * Reads a list of aggregates into *result, palloc'd, and their number into *n.
 * Returns false where it is none, which is a problem.
 */
bool
job_read_aggregates(const char *metric_name, const char *list, Aggregate **result, int *n,
					Problems *problems)
{
	char		offender[NAMEDATALEN];
	const char *error;

	*result = palloc(sizeof(Aggregate) * MAX_AGGREGATES);
	error = aggregate_list_parse(list, *result, n, offender, sizeof(offender));
	if (error)
		problem_report(problems, ERRCODE_INVALID_PARAMETER_VALUE, 0, false,
					   offender[0] ?
					   psprintf("unknown aggregate \"%s\" for metric \"%s\"", offender,
								metric_name) :
					   psprintf("invalid list of aggregates for metric \"%s\": \"%s\"", metric_name,
								list),
					   pstrdup(error), offender[0] ? aggregate_hint(offender) : NULL);
	return error == NULL;
}

/* One row of batchjob_definitions; NULL where a problem was reported. */
static Definition *
make_definition(char **row, Problems *problems)
{
	Definition *definition = palloc0(sizeof(Definition));
	bool		ok;

	definition->id = TEXT_INT(row[0]);
	definition->focal_entity = row[1];
	definition->entity = row[2];
	definition->source_table = row[3];
	definition->job_delay = TEXT_INT(row[5]);
	definition->filter = row[6];
	definition->timezone = row[7];
	definition->complete_only = TEXT_BOOL(row[8]);
	definition->lookback = row[9];
	definition->keep_history = TEXT_BOOL(row[10]);
	definition->retention = row[11];
	definition->source_retention = row[12];
	definition->id_column = row[13];
	definition->time_column = row[14];
	definition->entity_is_table = TEXT_BOOL(row[15]);

	ok = job_read_granularity(row[4], &definition->granularity, definition->id, problems);
	if (ok)
		granularity_format(&definition->granularity, definition->granularity_text);
	if (!job_read_timezone(definition->timezone, &definition->tz, definition->id, problems))
		ok = false;
	return ok ? definition : NULL;
}

static void
load_definitions(Job *job, Problems *problems)
{
	List	   *rows;
	ListCell   *lc;

	rows = select_for_job("SELECT id, focal_entity, entity, source_table, granularity, "
						  "job_delay, resource_filter, timezone, complete_only, lookback, "
						  "keep_history, results_retention, source_retention, id_column, time_column, "
						  "entity_is_table "
						  "FROM %s WHERE job_id = $1 ORDER BY id",
						  "batchjob_definitions", job->id);
	if (rows == NIL)
		problem_report(problems, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, 0, false,
					   psprintf("job %d has no definitions", job->id), NULL,
					   "Insert what it computes into batchjob_definitions.");

	foreach(lc, rows)
	{
		Definition *definition = make_definition(lfirst(lc), problems);

		if (definition == NULL)
			continue;
		definition->job = job;
		job->definitions = lappend(job->definitions, definition);
	}
}

/* One row of batchjob_metrics; NULL where a problem was reported. */
static JobMetric *
make_metric(char **row, Problems *problems)
{
	JobMetric  *metric = palloc(sizeof(JobMetric));

	metric->name = row[0];
	if (!job_read_aggregates(metric->name, row[1], &metric->aggregates, &metric->naggregates,
							 problems))
		return NULL;
	return metric;
}

static void
load_metrics(Job *job, Problems *problems)
{
	List	   *rows;
	ListCell   *lc;

	rows = select_for_job("SELECT metric_name, aggregation_types FROM %s WHERE job_id = $1 "
						  "ORDER BY metric_name COLLATE \"C\"",
						  "batchjob_metrics", job->id);
	if (rows == NIL)
		problem_report(problems, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, 0, false,
					   psprintf("job %d has no metrics", job->id), NULL,
					   "Insert what it aggregates into batchjob_metrics.");

	foreach(lc, rows)
	{
		JobMetric  *metric = make_metric(lfirst(lc), problems);

		if (metric)
			job->metrics = lappend(job->metrics, metric);
	}
}

/* The latest slot of a job's runs that succeeded. */
static TimestampTz
load_last_slot(int32 job_id)
{
	const Oid	types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(job_id)};
	List	   *rows = ext_query(true,
								 psprintf("SELECT " EXT_MICROSECONDS("last_slot") " FROM %s "
										  "WHERE job_id = $1 AND last_slot IS NOT NULL",
										  ext_table("batchagg_counters")),
								 lengthof(types), types, values);

	return rows == NIL ? DT_NOBEGIN : pg_strtoint64(((char **) linitial(rows))[0]);
}

static void
report_no_job(int32 job_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("job %d does not exist", job_id),
			 errhint("The view batchagg_jobs lists your jobs.")));
}

/*
 * ERROR where the caller does not see a job.  To be called before anything of the job
 * is locked.
 */
void
job_require(int32 job_id)
{
	if (select_for_job("SELECT FROM %s WHERE id = $1", "batch_jobs", job_id) == NIL)
		report_no_job(job_id);
}

/* A job with neither definitions nor metrics, see job_load(). */
static Job *
load_row(int32 job_id, Problems *problems)
{
	List	   *rows;
	char	  **row;
	Job		   *job;

	rows = select_for_job("SELECT job_name, event_name, enable_flag, owner::oid, "
						  "coalesce(job_timeout, -1) FROM %s WHERE id = $1",
						  "batch_jobs", job_id);
	if (rows == NIL)
		report_no_job(job_id);
	row = linitial(rows);

	job = palloc0(sizeof(Job));
	job->id = job_id;
	job->name = row[0];
	job->event_name = row[1];
	job->enabled = TEXT_BOOL(row[2]);
	job->owner = atooid(row[3]);
	job->owner_name = GetUserNameFromId(job->owner, true);
	job->timeout = TEXT_INT(row[4]);

	if (job->owner_name == NULL)
		problem_report(problems, ERRCODE_UNDEFINED_OBJECT, 0, false,
					   psprintf("owner of job %d does not exist", job_id),
					   psprintf("The role with OID %u was dropped.", job->owner),
					   "Set the job's owner to another role.");
	job->last_slot = load_last_slot(job_id);
	return job;
}

/*
 * Loads job `job_id` with its definitions and metrics, in the current memory
 * context.  ERROR where the caller sees no such job.  What is wrong with it
 * goes to `problems`; definitions and metrics that cannot be used are then
 * left out.  owner_name is NULL where the owner was dropped, which is one of
 * the problems.
 */
Job *
job_load(int32 job_id, Problems *problems)
{
	Job		   *job = load_row(job_id, problems);

	load_definitions(job, problems);
	load_metrics(job, problems);
	return job;
}

/*
 * Likewise without its definitions, of which there may be thousands: for a look at one
 * that the caller has.
 */
Job *
job_load_metrics(int32 job_id, Problems *problems)
{
	Job		   *job = load_row(job_id, problems);

	load_metrics(job, problems);
	return job;
}
