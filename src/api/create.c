/*-------------------------------------------------------------------------
 *
 * create.c
 *	  The SQL function that makes a job.
 *
 * A job is a few rows in several tables, whose triggers check each row by itself and
 * raise the first error.  Here the job is put together in memory first and checked as
 * a whole, as batchagg_validate_job() would check it: so that one error tells all
 * that is wrong, and a job that is made can run.  Only then are rows inserted.
 *
 * Mappings are shared by the jobs of their owner.  Those that the job needs are
 * inserted where there are none; one that says otherwise is an error, for the new job
 * would not read what was asked for.  Where the new mappings make other jobs read
 * something else, their trigger tells of it (mapped.c).  The columns of the id and the
 * time are the definitions' own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "api/export.h"
#include "model/ext.h"
#include "model/job.h"
#include "model/mapping.h"
#include "model/names.h"
#include "source/validate.h"

PG_FUNCTION_INFO_V1(batchagg_create_job);

/* Arguments of batchagg_create_job(), in order. */
enum
{
	ARG_EVENT_NAME,
	ARG_FOCAL_ENTITY,
	ARG_ENTITY,
	ARG_GRANULARITIES,
	ARG_METRICS,
	ARG_TABLENAME,
	ARG_RESOURCE_FILTER,
	ARG_JOB_DELAY,
	ARG_TIMEZONE,
	ARG_JOB_NAME,
	ARG_ENABLE_FLAG,
	ARG_ID_COLUMN,
	ARG_TIME_COLUMN,
	ARG_NAME_COLUMN,
	ARG_VALUE_COLUMN,
	ARG_VALIDATE
};

/*
 * A job that is being made.  Its definitions differ by their granularity alone, so
 * that one, without any, stands for all when sources are looked at.  Nor do these
 * depend on the aggregates: metrics whose aggregates are wrong are part of the job
 * nevertheless.
 */
typedef struct NewJob
{
	Job			job;			/* its only definition is the one below */
	Problems	problems;
	List	   *granularities;	/* canonical texts */
	List	   *metric_names;
	List	   *folded_names;	/* of each: what tells it from others */
	List	   *aggregates;		/* of each: a list, as text */
	Definition	definition;
	SourceMapping mapping;		/* what mappings have in common; no table_name: none is asked for */
} NewJob;

#define METRICS_HINT \
	"Pass an object with the aggregates of each metric, such as {\"page_views\": \"sum,avg\"}."

static void
report(NewJob *new, int sqlerrcode, char *message, char *detail, char *hint)
{
	problem_report(&new->problems, sqlerrcode, 0, false, message, detail, hint);
}

/*----------
 * Arguments
 *----------
 */

/* An argument that may be NULL; one that is empty is a problem, and NULL from then on. */
static char *
optional_text(NewJob *new, FunctionCallInfo fcinfo, int arg, const char *name)
{
	char	   *value = PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));

	if (value == NULL || value[0] != '\0')
		return value;
	report(new, ERRCODE_INVALID_PARAMETER_VALUE, psprintf("%s must not be empty", name), NULL, NULL);
	return NULL;
}

/* An argument that must be there. */
static char *
required_text(NewJob *new, FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		report(new, ERRCODE_NULL_VALUE_NOT_ALLOWED, psprintf("%s must not be null", name), NULL,
			   NULL);
	return optional_text(new, fcinfo, arg, name);
}

static void
read_name(NewJob *new, FunctionCallInfo fcinfo)
{
	const Oid	types[] = {TEXTOID};
	Datum		values[1];
	List	   *rows;

	new->job.name = optional_text(new, fcinfo, ARG_JOB_NAME, "job_name");
	if (new->job.name == NULL)
		return;
	values[0] = CStringGetTextDatum(new->job.name);
	rows = ext_query(false,
					 psprintf("SELECT id FROM %s WHERE job_name = $1 "
							  "AND pg_get_userbyid(owner) = current_user",
							  ext_table("batch_jobs")),
					 lengthof(types), types, values);
	if (rows != NIL)
		report(new, ERRCODE_UNIQUE_VIOLATION,
			   psprintf("job \"%s\" already exists", new->job.name),
			   psprintf("Its id is %s.", ((char **) linitial(rows))[0]),
			   "Choose another job_name, or delete that job from batch_jobs first.");
}

/* A relation to look up where errors are caught. */
typedef struct Lookup
{
	const char *written;
	char	   *qualified;
} Lookup;

static void
lookup(void *arg)
{
	Lookup	   *it = arg;

	(void) name_lookup(it->written, &it->qualified);
}

/* The qualified name of a relation; NULL where there is none. */
static char *
qualified_name(NewJob *new, const char *written)
{
	Lookup		it = {.written = written};

	if (written != NULL)
		(void) problem_catch(&new->problems, 0, lookup, &it);
	return it.qualified;
}

static void
read_definition(NewJob *new, FunctionCallInfo fcinfo)
{
	Definition *definition = &new->definition;

	new->job.definitions = list_make1(definition);
	definition->job = &new->job;
	definition->focal_entity = required_text(new, fcinfo, ARG_FOCAL_ENTITY, "focal_entity");
	definition->entity = required_text(new, fcinfo, ARG_ENTITY, "entity");
	definition->source_table = qualified_name(new, definition->entity);
	definition->entity_is_table = definition->source_table != NULL;
	definition->job_delay = PG_ARGISNULL(ARG_JOB_DELAY) ? 0 : PG_GETARG_INT32(ARG_JOB_DELAY);
	if (definition->job_delay < 0)
		report(new, ERRCODE_INVALID_PARAMETER_VALUE, "job_delay must not be negative", NULL, NULL);
	if (definition->job_delay > MAX_JOB_DELAY)
		report(new, ERRCODE_INVALID_PARAMETER_VALUE, "job_delay must not be longer than a thousand years",
			   NULL, "It is in hours: a day is 24.");
	if (!PG_ARGISNULL(ARG_RESOURCE_FILTER))
		definition->filter = text_to_cstring(PG_GETARG_TEXT_PP(ARG_RESOURCE_FILTER));
	definition->timezone = PG_ARGISNULL(ARG_TIMEZONE) ? "UTC" :
		text_to_cstring(PG_GETARG_TEXT_PP(ARG_TIMEZONE));

	/* A filter can still be checked in another zone. */
	if (!job_read_timezone(definition->timezone, &definition->tz, 0, &new->problems))
		definition->timezone = "UTC";
	definition->id_column = optional_text(new, fcinfo, ARG_ID_COLUMN, "id_column");
	definition->time_column = optional_text(new, fcinfo, ARG_TIME_COLUMN, "time_column");
}

/* Adds a granularity, in canonical form; once, as its results would be there twice. */
static void
add_granularity(NewJob *new, const char *written)
{
	Granularity granularity;
	char	   *canonical = palloc(GRANULARITY_TEXT_LEN);

	CHECK_FOR_INTERRUPTS();
	if (!job_read_granularity(written, &granularity, 0, &new->problems))
		return;
	granularity_format(&granularity, canonical);
	if (name_among(canonical, new->granularities))
		report(new, ERRCODE_INVALID_PARAMETER_VALUE,
			   psprintf("granularity \"%s\" occurs more than once", canonical), NULL, NULL);
	else
		new->granularities = lappend(new->granularities, canonical);
}

static void
read_granularities(NewJob *new, FunctionCallInfo fcinfo)
{
	Datum	   *elements = NULL;
	bool	   *nulls = NULL;
	int			n = 0;

	if (!PG_ARGISNULL(ARG_GRANULARITIES))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(ARG_GRANULARITIES), TEXTOID, -1, false,
						  TYPALIGN_INT, &elements, &nulls, &n);
	if (n == 0)
		report(new, ERRCODE_INVALID_PARAMETER_VALUE, "a job needs at least one granularity", NULL,
			   "Pass an array such as '{1-hour,1-day}'.");
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			report(new, ERRCODE_NULL_VALUE_NOT_ALLOWED, "a granularity must not be null", NULL,
				   "Pass an array such as '{1-hour,1-day}'.");
		else
			add_granularity(new, TextDatumGetCString(elements[i]));
	}
}

/* Joins an array of strings by commas; NULL where it has other elements. */
static char *
join_strings(JsonbContainer *array)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;
	StringInfoData list;

	initStringInfo(&list);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (value.type != jbvString)
			return NULL;
		appendStringInfo(&list, "%s%.*s", list.len > 0 ? "," : "", value.val.string.len,
						 value.val.string.val);
	}
	return list.data;
}

/* Adds a metric with what stands for its aggregates: a string, or an array of them. */
static void
add_metric(NewJob *new, char *name, JsonbValue *value)
{
	JobMetric  *metric = palloc(sizeof(JobMetric));
	char	   *list = NULL;

	if (value->type == jbvString)
		list = pnstrdup(value->val.string.val, value->val.string.len);
	else if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
		list = join_strings(value->val.binary.data);
	if (name[0] == '\0')
	{
		report(new, ERRCODE_INVALID_PARAMETER_VALUE, "the name of a metric must not be empty",
			   NULL, METRICS_HINT);
		return;
	}
	if (list == NULL)
	{
		report(new, ERRCODE_INVALID_PARAMETER_VALUE,
			   psprintf("invalid aggregates of metric \"%s\"", name),
			   psprintf("They must be a string or an array of strings, not %s.",
						value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) ?
						"an array with other elements" :
						psprintf("of JSON type %s", JsonbTypeName(value))),
			   METRICS_HINT);
		return;
	}

	if (name_among(name_fold(name), new->folded_names))
		report(new, ERRCODE_INVALID_PARAMETER_VALUE,
			   psprintf("metric \"%s\" occurs more than once", name),
			   "Names that differ only by case, or by \".\" and \"_\", are the same.", NULL);
	new->folded_names = lappend(new->folded_names, name_fold(name));

	metric->name = name;
	new->metric_names = lappend(new->metric_names, name);
	new->aggregates = lappend(new->aggregates, list);
	(void) job_read_aggregates(name, list, &metric->aggregates, &metric->naggregates,
							   &new->problems);
	new->job.metrics = lappend(new->job.metrics, metric);
}

static void
read_metrics(NewJob *new, FunctionCallInfo fcinfo)
{
	Jsonb	   *json;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value = {.type = jbvBinary};

	if (PG_ARGISNULL(ARG_METRICS))
	{
		report(new, ERRCODE_NULL_VALUE_NOT_ALLOWED, "metrics must not be null", NULL, METRICS_HINT);
		return;
	}
	json = PG_GETARG_JSONB_P(ARG_METRICS);
	value.val.binary.data = &json->root;
	if (!JB_ROOT_IS_OBJECT(json))
	{
		report(new, ERRCODE_INVALID_PARAMETER_VALUE, "metrics must be a JSON object",
			   psprintf("This is of JSON type %s.", JsonbTypeName(&value)), METRICS_HINT);
		return;
	}
	if (JB_ROOT_COUNT(json) == 0)
		report(new, ERRCODE_INVALID_PARAMETER_VALUE, "a job needs at least one metric", NULL,
			   METRICS_HINT);

	iterator = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&iterator, &value, true);
		add_metric(new, name, &value);
	}
}

/*----------
 * Mappings
 *----------
 */

/* Reads what the job's mappings have in common; see NewJob. */
static void
read_mapping(NewJob *new, FunctionCallInfo fcinfo)
{
	SourceMapping *mapping = &new->mapping;
	char	   *written = optional_text(new, fcinfo, ARG_TABLENAME, "tablename");

	mapping->name_column = optional_text(new, fcinfo, ARG_NAME_COLUMN, "name_column");
	mapping->value_column = optional_text(new, fcinfo, ARG_VALUE_COLUMN, "value_column");
	mapping->owner = new->job.owner;
	if (written == NULL && (mapping->name_column || mapping->value_column))
		written = new->definition.entity;
	mapping->table_name = qualified_name(new, written);
	if (mapping->table_name == NULL)
		mapping->table_name = written;
	new->job.asked_table = mapping->table_name;
}

/*
 * Reports a column that was asked for, and of which an existing mapping of the metric
 * says otherwise.  `jobs` is the list of those that have the metric, or NULL.
 */
static void
check_existing(NewJob *new, const char *metric_name, const char *jobs, const char *field,
			   const char *asked, const char *existing)
{
	if (asked == NULL || (existing != NULL && strcmp(asked, existing) == 0))
		return;
	report(new, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
		   psprintf("metric \"%s\" is already mapped to table \"%s\" with another %s", metric_name,
					new->mapping.table_name, field),
		   psprintf("In metricsandtables it is %s. Jobs with this metric: %s.",
					existing ? psprintf("\"%s\"", existing) : "NULL", jobs ? jobs : "none"),
		   psprintf("All jobs of its owner follow that mapping. Leave out %s, change the mapping, or "
					"map the metric to a view of the table.", field));
}

/*
 * Decides which metrics get a mapping: those that have none to this table yet.  One
 * that says otherwise is a problem.
 */
static void
choose_mappings(NewJob *new)
{
	const SourceMapping *asked = &new->mapping;
	Oid			types[] = {TEXTOID, OIDOID, TEXTOID};
	ListCell   *lc;

	if (asked->table_name == NULL)
		return;
	foreach(lc, new->metric_names)
	{
		char	   *name = lfirst(lc);
		Datum		values[] = {
			CStringGetTextDatum(asked->table_name),
			ObjectIdGetDatum(new->job.owner),
			CStringGetTextDatum(name_fold(name))
		};
		List	   *rows = ext_query(false,
									 psprintf("SELECT name_column, value_column, (SELECT string_agg(job_id::text, "
											  "', ' ORDER BY job_id) FROM %s WHERE "
											  NAME_FOLDED_SQL("metric_name") " = $3) "
											  "FROM %s WHERE tablename = $1 AND owner = $2 AND "
											  NAME_FOLDED_SQL("metricname") " = $3",
											  ext_table("batchjob_metrics"),
											  ext_table("metricsandtables")),
									 lengthof(types), types, values);

		if (rows == NIL)
		{
			SourceMapping *mapping = palloc(sizeof(SourceMapping));

			*mapping = *asked;
			mapping->metric_name = name;
			new->job.new_mappings = lappend(new->job.new_mappings, mapping);
		}
		else
		{
			char	  **row = linitial(rows);

			check_existing(new, name, row[2], "name_column", asked->name_column, row[0]);
			check_existing(new, name, row[2], "value_column", asked->value_column, row[1]);
		}
	}
}

/*----------
 * Rows
 *----------
 */

/* Parameters of the statements that insert rows, in order. */
enum
{
	PARAM_JOB_ID,
	PARAM_EVENT_NAME,
	PARAM_JOB_NAME,
	PARAM_ENABLE_FLAG,
	PARAM_METRIC_NAMES,
	PARAM_AGGREGATES,
	PARAM_MAPPED_NAMES,
	PARAM_TABLENAME,
	PARAM_NAME_COLUMN,
	PARAM_VALUE_COLUMN,
	PARAM_ID_COLUMN,
	PARAM_TIME_COLUMN,
	PARAM_FOCAL_ENTITY,
	PARAM_ENTITY,
	PARAM_GRANULARITIES,
	PARAM_RESOURCE_FILTER,
	PARAM_JOB_DELAY,
	PARAM_TIMEZONE,
	NPARAMS
};

static const Oid param_types[NPARAMS] = {
	INT4OID, TEXTOID, TEXTOID, BOOLOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, INT4OID, TEXTOID
};

typedef struct Params
{
	Datum		values[NPARAMS];
	char		nulls[NPARAMS];
} Params;

static void
set_text(Params *params, int param, const char *text)
{
	params->nulls[param] = text ? ' ' : 'n';
	params->values[param] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* The parameters, but for the job's id. */
static void
set_params(Params *params, const NewJob *new)
{
	const Definition *definition = &new->definition;
	List	   *mapped = NIL;
	ListCell   *lc;

	foreach(lc, new->job.new_mappings)
		mapped = lappend(mapped, ((SourceMapping *) lfirst(lc))->metric_name);

	memset(params->nulls, ' ', NPARAMS);
	params->values[PARAM_JOB_ID] = Int32GetDatum(0);
	params->values[PARAM_ENABLE_FLAG] = BoolGetDatum(new->job.enabled);
	params->values[PARAM_METRIC_NAMES] = ext_text_array(new->metric_names);
	params->values[PARAM_AGGREGATES] = ext_text_array(new->aggregates);
	params->values[PARAM_MAPPED_NAMES] = ext_text_array(mapped);
	params->values[PARAM_GRANULARITIES] = ext_text_array(new->granularities);
	params->values[PARAM_JOB_DELAY] = Int32GetDatum(definition->job_delay);
	set_text(params, PARAM_EVENT_NAME, new->job.event_name);
	set_text(params, PARAM_JOB_NAME, new->job.name);
	set_text(params, PARAM_TABLENAME, new->mapping.table_name);
	set_text(params, PARAM_NAME_COLUMN, new->mapping.name_column);
	set_text(params, PARAM_VALUE_COLUMN, new->mapping.value_column);
	set_text(params, PARAM_ID_COLUMN, definition->id_column);
	set_text(params, PARAM_TIME_COLUMN, definition->time_column);
	set_text(params, PARAM_FOCAL_ENTITY, definition->focal_entity);
	set_text(params, PARAM_ENTITY, definition->entity);
	set_text(params, PARAM_RESOURCE_FILTER, definition->filter);
	set_text(params, PARAM_TIMEZONE, definition->timezone);
}

/*
 * Runs one INSERT.  It runs in the search path of the caller, in which the triggers
 * resolve names of tables; so all that `sql` names is qualified, and it has no
 * operators.
 */
static void
insert(const char *sql, Params *params)
{
	int			result = SPI_execute_with_args(sql, NPARAMS, (Oid *) param_types, params->values,
											   params->nulls, false, 0);

	if (result != SPI_OK_INSERT && result != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "SPI_execute_with_args failed: %s", sql);
}

/*
 * Inserts the rows of a job.  Metrics and mappings come first, so that filters are
 * checked against their tables.  Returns the job's id.
 */
static int32
insert_job(const NewJob *new)
{
	Params		params;
	bool		isnull;

	set_params(&params, new);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	insert(psprintf("INSERT INTO %s (event_name, job_name, enable_flag) VALUES ($2, $3, $4) "
					"RETURNING id", ext_table("batch_jobs")), &params);
	params.values[PARAM_JOB_ID] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
												&isnull);
	insert(psprintf("INSERT INTO %s (job_id, metric_name, aggregation_types) SELECT $1, m.n, m.a "
					"FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6)) m (n, a)",
					ext_table("batchjob_metrics")), &params);
	insert(psprintf("INSERT INTO %s (metricname, tablename, name_column, value_column) "
					"SELECT n, $8, $9, $10 FROM pg_catalog.unnest($7) n",
					ext_table("metricsandtables")), &params);
	insert(psprintf("INSERT INTO %s (job_id, focal_entity, entity, granularity, resource_filter, "
					"job_delay, timezone, id_column, time_column) "
					"SELECT $1, $13, $14, g, $16, $17, $18, $11, $12 "
					"FROM pg_catalog.unnest($15) g",
					ext_table("batchjob_definitions")), &params);
	SPI_finish();
	return DatumGetInt32(params.values[PARAM_JOB_ID]);
}

/*----------
 * Making a job
 *----------
 */

/* Reads the arguments, and reports what is wrong with them by themselves. */
static void
read_arguments(NewJob *new, FunctionCallInfo fcinfo)
{
	new->problems.collect = true;
	new->problems.if_missing = " If it is to be made later, pass validate => false.";
	new->job.owner = GetUserId();
	new->job.owner_name = GetUserNameFromId(new->job.owner, false);
	new->job.enabled = PG_ARGISNULL(ARG_ENABLE_FLAG) || PG_GETARG_BOOL(ARG_ENABLE_FLAG);
	new->job.event_name = required_text(new, fcinfo, ARG_EVENT_NAME, "event_name");
	if (new->job.event_name)
		job_validate_event(&new->job, &new->problems);
	read_name(new, fcinfo);
	read_definition(new, fcinfo);
	read_granularities(new, fcinfo);
	read_metrics(new, fcinfo);
	read_mapping(new, fcinfo);
	choose_mappings(new);
}

/*
 * batchagg_create_job(event_name, focal_entity, entity, granularities text[],
 * metrics jsonb, tablename, resource_filter, job_delay, timezone, job_name,
 * enable_flag, id_column, time_column, name_column, value_column, validate) returns
 * integer: a job with a definition for each granularity, its metrics and, where
 * tablename, name_column or value_column is given, their mappings to that table (or to
 * the entity's).
 * NULL is the default of what has one.  Returns the job's id.  ERROR with all that is
 * wrong; without validate, sources are looked at only as the tables' triggers do.
 */
Datum
batchagg_create_job(PG_FUNCTION_ARGS)
{
	NewJob		new = {0};

	read_arguments(&new, fcinfo);
	if ((PG_ARGISNULL(ARG_VALIDATE) || PG_GETARG_BOOL(ARG_VALIDATE)) &&
		new.definition.focal_entity && new.definition.entity)
		job_validate_sources(&new.job, &new.problems);
	problems_raise(&new.problems);

	PG_RETURN_INT32(insert_job(&new));
}
