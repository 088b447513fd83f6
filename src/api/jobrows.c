/*-------------------------------------------------------------------------
 *
 * jobrows.c
 *	  Triggers that check the rows of which jobs are made.  create.c makes jobs.
 *
 * A trigger checks a column when a row is inserted, and when an update changes
 * it.  A column that was valid once is not checked again: a job must always be
 * possible to disable, even when something it refers to has gone.
 *
 * What a row refers to may not be there when a dump is restored: events come
 * after jobs, privileges after rows, and a table may have changed since a
 * mapping was made.  A row that is refused would take the whole table with it.
 * While that goes on (ext_is_restoring()), only the row itself is checked.  Each run
 * checks everything anyway.
 *
 * Triggers run as the role that writes the row, which is where its rights to
 * see things end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "api/columns.h"
#include "api/export.h"
#include "model/events.h"
#include "model/ext.h"
#include "model/job.h"
#include "model/names.h"
#include "model/problem.h"
#include "model/suggest.h"
#include "run/run.h"
#include "service/shared.h"
#include "settings.h"
#include "slots/clock.h"
#include "source/filter.h"
#include "source/resolve.h"
#include "source/source.h"
#include "source/sourcecheck.h"
#include "time/zone.h"

PG_FUNCTION_INFO_V1(batchagg_refuse_in_run);
PG_FUNCTION_INFO_V1(batchagg_check_event);
PG_FUNCTION_INFO_V1(batchagg_check_job);
PG_FUNCTION_INFO_V1(batchagg_check_definition);
PG_FUNCTION_INFO_V1(batchagg_check_metric);
PG_FUNCTION_INFO_V1(batchagg_check_mapping);

/* Problems are raised as they come. */
static Problems raise_at_once = {.collect = false};
static const ColumnLimit event_limits[] = {
	{"event_name", EVENT_TEXT_LEN - 1}, {"schedule", EVENT_TEXT_LEN - 1},
	{"timezone", EVENT_TEXT_LEN - 1}, {"description", 10000}, {NULL}
};
static const ColumnLimit job_limits[] = {
	{"job_name", MAX_NAME_BYTES}, {"event_name", EVENT_TEXT_LEN - 1}, {NULL}
};
static const ColumnLimit definition_limits[] = {
	{"focal_entity", MAX_NAME_BYTES}, {"entity", MAX_NAME_BYTES}, {"source_table", MAX_NAME_BYTES},
	{"granularity", 100}, {"resource_filter", 100000}, {"timezone", EVENT_TEXT_LEN - 1},
	{"id_column", NAMEDATALEN - 1}, {"time_column", NAMEDATALEN - 1}, {NULL}
};
static const ColumnLimit metric_limits[] = {
	{"metric_name", MAX_NAME_BYTES}, {"aggregation_types", 10000}, {NULL}
};
static const ColumnLimit mapping_limits[] = {
	{"metricname", MAX_NAME_BYTES}, {"tablename", MAX_NAME_BYTES}, {"id_column", MAX_NAME_BYTES},
	{"time_column", MAX_NAME_BYTES}, {"metric_column", MAX_NAME_BYTES},
	{"name_column", MAX_NAME_BYTES}, {"value_column", MAX_NAME_BYTES}, {NULL}
};

/*
 * Trigger on the tables that say what jobs are, BEFORE any STATEMENT.  ERROR where this
 * session is at a run: code in a source would change, or delete, what is being run.
 */
Datum
batchagg_refuse_in_run(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called as a trigger")));
	if (run_is_under_way())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot change \"%s\" while a job is running in the same session",
						RelationGetRelationName(data->tg_relation)),
				 errdetail("A function that is called to read a source of the job does so.")));
	PG_RETURN_POINTER(NULL);
}

/* The jobs that an event starts, as a list; NULL if there are none. */
static char *
jobs_of_event(const char *event_name)
{
	const Oid	types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(event_name)};
	List	   *rows;

	rows = ext_query(true,
					 psprintf("SELECT string_agg(id::text, ', ' ORDER BY id) FROM %s "
							  "WHERE upper(event_name) = upper($1)",
							  ext_table("batch_jobs")),
					 lengthof(types), types, values);
	return ((char **) linitial(rows))[0];
}

/* Refuses to take away an event (or its name) that is built in, or in use. */
static void
check_event_stays(const Row *row)
{
	char	   *name = row_text_before(row, "event_name");
	char	   *built_in = row_text_before(row, "built_in");
	char	   *jobs;

	if (built_in && built_in[0] == 't')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event \"%s\" is built in and cannot be changed", name),
				 errhint("Insert an event of another name.")));
	if (row->now && !row_changed(row, "event_name"))
		return;
	jobs = jobs_of_event(name);
	if (jobs)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("event \"%s\" is in use", name),
				 errdetail("It starts jobs %s.", jobs),
				 errhint("Give these jobs another event, or delete them, first.")));
}

/*
 * Reads a time zone.  ERROR where it is none; a WARNING in a restore: the machine that
 * the dump is of may have had it.
 */
static void
check_timezone(const char *name, pg_tz **tz)
{
	Problems	found = {.collect = true};

	if (!ext_is_restoring())
		(void) job_read_timezone(name, tz, 0, &raise_at_once);
	else if (!job_read_timezone(name, tz, 0, &found))
	{
		((Problem *) linitial(found.list))->is_warning = true;
		problems_raise(&found);
	}
}

/* The past slots of an event's new schedule are not expected of its jobs. */
static void
restart_schedules(const char *event_name)
{
	const Oid	types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum		values[] = {CStringGetTextDatum(event_name), TimestampTzGetDatum(clock_now())};

	ext_query(true,
			  psprintf("UPDATE %s SET scheduled_from = $2 WHERE upper(event_name) = upper($1)",
					   ext_table("batch_jobs")),
			  lengthof(types), types, values);
}

/*
 * Trigger on batchagg_events, BEFORE INSERT OR UPDATE OR DELETE.  ERROR: a
 * schedule that is no cron expression; an unknown time zone; a change of an
 * event that is built in; an event that is in use and would go.
 */
Datum
batchagg_check_event(PG_FUNCTION_ARGS)
{
	Row			row = row_of_trigger(fcinfo);
	CronSchedule schedule;
	const char *error;
	char	   *text;
	pg_tz	   *tz;

	if (creating_extension)
		PG_RETURN_POINTER(row.now ? row.now : row.before);

	if (row.before)
		check_event_stays(&row);
	if (row.now == NULL)
		PG_RETURN_POINTER(row.before);

	check_lengths(&row, event_limits);

	/* A NULL is refused by the column itself. */
	text = row_text(&row, "built_in");
	if (text && text[0] == 't')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("only the extension itself has events that are built in"),
				 errhint("Leave built_in false.")));

	text = row_text(&row, "schedule");
	if (text)
	{
		error = cron_parse(text, &schedule);
		if (error)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid cron expression \"%s\"", text),
					 errdetail_internal("%s", error),
					 errhint("The fields are minute, hour, day of the month, month and day of the "
							 "week: 0 8 * * 1 is every Monday at 8 in the morning.")));
	}
	text = row_text(&row, "timezone");
	if (text)
		check_timezone(text, &tz);
	text = row_text(&row, "event_name");
	if (text && !ext_is_restoring() &&
		(row_changed(&row, "schedule") || row_changed(&row, "timezone")))
		restart_schedules(text);

	PG_RETURN_POINTER(row.now);
}

/* What these columns may be; the end of the list is NULL. */
static const char *const missed_runs[] = {"coalesce", "each", "skip", NULL};

static const char *const layouts[] = {"column", "row", NULL};

/* Refuses a delay that leads nowhere. */
static void
check_delay_bound(const Row *row)
{
	bool		isnull;
	int32		delay = DatumGetInt32(row_value(row, "job_delay", &isnull));

	if (!isnull && delay > MAX_JOB_DELAY)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("job_delay must be at most %d, not %d", MAX_JOB_DELAY, delay),
				 errdetail("It is in hours, and that is a thousand years."),
				 errhint("A day is 24.")));
}

/* Says that a job's limit of time, if it is new, is more than it may have. */
static void
warn_of_timeout(const Row *row)
{
	int32		seconds = row_int(row, "job_timeout");

	if (batchagg_job_timeout > 0 && seconds > batchagg_job_timeout &&
		row_changed(row, "job_timeout") && !ext_is_restoring())
		ereport(WARNING,
				(errmsg("job_timeout of %d seconds is more than a run may take", seconds),
				 errdetail("The setting batchagg.job_timeout allows %d seconds.",
						   batchagg_job_timeout),
				 errhint("An administrator can raise the setting, also for one role: ALTER ROLE ... SET batchagg.job_timeout.")));
}

/* The times of a job's row. */
static const char *const job_times[] = {"created_at", "updated_at", "scheduled_from"};

/*
 * Trigger on batch_jobs, BEFORE INSERT OR UPDATE.  ERROR: an unknown event; a policy
 * for missed runs that is none; a number, a time or a text out of range; an owner that the current user
 * is no member of.  On UPDATE, sets updated_at, and
 * with another event scheduled_from, unless that is set too: its slots of the
 * past are not expected.
 */
Datum
batchagg_check_job(PG_FUNCTION_ARGS)
{
	Row			row = row_of_trigger(fcinfo);
	char	   *event_name;
	EventMeaning meaning;

	check_lengths(&row, job_limits);
	event_name = row_text(&row, "event_name");
	(void) check_owner(&row);
	check_id_is_drawn(&row, "batch_jobs_id_seq");
	check_not_empty(&row, "job_name");
	check_choice(&row, "missed_runs", missed_runs, "Specify coalesce, each or skip.");
	check_number(&row, "job_timeout", 1, PG_INT32_MAX,
				 "It is in seconds; NULL means the setting batchagg.job_timeout.");
	check_number(&row, "max_retries", 0, 1000, "NULL means the setting batchagg.max_retries.");
	check_number(&row, "retry_delay", 0, SECS_PER_DAY,
				 "It is in seconds; NULL means the setting batchagg.retry_delay.");
	warn_of_timeout(&row);
	for (int i = 0; i < lengthof(job_times); i++)
		check_time(&row, job_times[i]);
	if (event_name && row_changed(&row, "event_name") && !ext_is_restoring())
	{
		event_require(event_name, &meaning);
		notice_fixed_zone(meaning.timezone);
	}
	if (row.before)
	{
		row_set(&row, "updated_at", TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()),
				false);
		if (row_changed(&row, "event_name") && !row_changed(&row, "scheduled_from"))
			row_set(&row, "scheduled_from", TimestampTzGetDatum(clock_now()), false);
	}
	PG_RETURN_POINTER(row.now);
}

/*
 * Sets source_table to what the entity means in the search_path of who writes
 * it, also where there is no such table yet, and entity_is_table to whether there is
 * one.  Values that are inserted along are kept where a dump brings them.
 */
static void
resolve_entity(Row *row)
{
	char	   *entity = row_text(row, "entity");
	char	   *qualified = NULL;
	Oid			relid;

	if (entity == NULL || !(row_changed(row, "entity") || row_changed(row, "source_table")))
		return;
	relid = name_lookup(entity, &qualified);
	if (!ext_is_restoring())
	{
		row_set(row, "entity_is_table", BoolGetDatum(OidIsValid(relid)), false);
		if (!OidIsValid(relid))
			qualified = name_to_be(entity);
	}
	if (qualified != NULL || row->before)
		row_set_text(row, "source_table", qualified);
}

/* Has the job metrics, as far as the current user sees? */
static bool
has_metrics(int32 job_id)
{
	const Oid	types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(job_id)};

	return ext_query(false,
					 psprintf("SELECT 1 FROM %s WHERE job_id = $1 LIMIT 1",
							  ext_table("batchjob_metrics")),
					 lengthof(types), types, values) != NIL;
}

/* Checks a filter against the sources of the metrics that the job has. */
static void
check_filter_of_metrics(int32 job_id, Definition *definition)
{
	Problems	ignored = {.collect = true};
	Problems	raise = {.collect = false};
	FilterWarnings warnings = {.problems = &raise};
	Job		   *job = job_load_metrics(job_id, &ignored);
	List	   *sources = source_resolve(job, definition, &ignored);
	ListCell   *lc;

	foreach(lc, sources)
	{
		Source	   *source = lfirst(lc);

		source_check_filter(source->relid, definition->filter, definition->timezone, GetUserId(),
							&warnings);
	}
	sources_close(sources);
}

/*
 * Checks a filter against the table that is called like the entity.  It may be
 * the wrong one, which errors point out in their hint.
 */
static void
check_filter_of_entity(const Definition *definition)
{
	MemoryContext context = CurrentMemoryContext;
	Problems	raise = {.collect = false};
	FilterWarnings warnings = {.problems = &raise};
	char	   *qualified;
	Oid			relid;

	if (definition->source_table == NULL)
		return;
	relid = name_lookup(definition->source_table, &qualified);
	if (!OidIsValid(relid))
		return;

	PG_TRY();
	{
		source_check_filter(relid, definition->filter, definition->timezone, GetUserId(),
							&warnings);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		error->hint = psprintf("%s%sThe filter was checked against %s, the entity's table. If the "
							   "metrics come from another one, insert them into batchjob_metrics "
							   "and metricsandtables first.",
							   error->hint ? error->hint : "", error->hint ? " " : "", qualified);
		ReThrowError(error);
	}
	PG_END_TRY();
}

/* Checks resource_filter: its syntax, and against the source where it is known. */
static void
check_filter(const Row *row, Definition *definition)
{
	definition->filter = row_text(row, "resource_filter");
	if (definition->filter == NULL ||
		!(row_changed(row, "resource_filter") || row_changed(row, "entity") ||
		  row_changed(row, "job_id") || row_changed(row, "timezone")))
		return;

	if (ext_is_restoring())
		return;
	(void) filter_parse(definition->filter);
	definition->entity = row_text(row, "entity");
	definition->focal_entity = row_text(row, "focal_entity");
	definition->id_column = row_text(row, "id_column");
	definition->time_column = row_text(row, "time_column");
	if (definition->entity == NULL || definition->focal_entity == NULL)
		return;

	definition->source_table = row_text(row, "source_table");
	if (has_metrics(row_int(row, "job_id")))
		check_filter_of_metrics(row_int(row, "job_id"), definition);
	else
		check_filter_of_entity(definition);
}

/*
 * Trigger on batchjob_definitions, BEFORE INSERT OR UPDATE.  Puts granularity and
 * time zone in canonical form and sets source_table.  ERROR: a granularity or time zone
 * that is none; an empty name; a number or interval out of range; a filter that is
 * not allowed, or does not fit its source.
 */
Datum
batchagg_check_definition(PG_FUNCTION_ARGS)
{
	Row			row = row_of_trigger(fcinfo);
	Definition	definition = {.id = row_int(&row, "id")};
	char	   *granularity;

	check_lengths(&row, definition_limits);
	granularity = row_text(&row, "granularity");
	check_id_is_drawn(&row, "batchjob_definitions_id_seq");
	check_not_empty(&row, "focal_entity");
	check_not_empty(&row, "entity");
	check_not_empty(&row, "id_column");
	check_not_empty(&row, "time_column");
	check_interval(&row, "lookback");
	check_interval(&row, "results_retention");
	check_interval(&row, "source_retention");
	check_number(&row, "job_delay", 0, PG_INT32_MAX,
				 "It is in hours: a run reads the rows up to so many hours before its time.");
	check_delay_bound(&row);
	definition.timezone = row_text(&row, "timezone");
	if (granularity && row_changed(&row, "granularity"))
	{
		(void) job_read_granularity(granularity, &definition.granularity, 0, &raise_at_once);
		granularity_format(&definition.granularity, definition.granularity_text);
		row_set_text(&row, "granularity", definition.granularity_text);
	}
	if (definition.timezone)
	{
		if (row_changed(&row, "timezone"))
		{
			check_timezone(definition.timezone, &definition.tz);
			notice_fixed_zone(definition.timezone);
			if (definition.tz)
				row_set_text(&row, "timezone", pg_get_timezone_name(definition.tz));
		}
		resolve_entity(&row);
		check_filter(&row, &definition);
	}
	PG_RETURN_POINTER(row.now);
}

/*
 * Trigger on batchjob_metrics, BEFORE INSERT OR UPDATE.  Puts the aggregates in
 * canonical form.  ERROR: an unknown aggregate, an empty list.
 */
Datum
batchagg_check_metric(PG_FUNCTION_ARGS)
{
	Row			row = row_of_trigger(fcinfo);
	char	   *name;
	char	   *list;
	Aggregate  *aggregates;
	int			n;
	StringInfoData canonical;

	check_lengths(&row, metric_limits);
	name = row_text(&row, "metric_name");
	list = row_text(&row, "aggregation_types");
	check_not_empty(&row, "metric_name");
	if (name == NULL || list == NULL || !row_changed(&row, "aggregation_types"))
		PG_RETURN_POINTER(row.now);

	(void) job_read_aggregates(name, list, &aggregates, &n, &raise_at_once);
	initStringInfo(&canonical);
	for (int i = 0; i < n; i++)
		appendStringInfo(&canonical, "%s%s", i > 0 ? "," : "", aggregates[i].name);
	row_set_text(&row, "aggregation_types", canonical.data);
	PG_RETURN_POINTER(row.now);
}

static SourceMapping
mapping_of_row(const Row *row)
{
	SourceMapping mapping;

	mapping.metric_name = row_text(row, "metricname");
	mapping.table_name = row_text(row, "tablename");
	mapping.layout = row_text(row, "layout");
	mapping.id_column = row_text(row, "id_column");
	mapping.time_column = row_text(row, "time_column");
	mapping.metric_column = row_text(row, "metric_column");
	mapping.name_column = row_text(row, "name_column");
	mapping.value_column = row_text(row, "value_column");
	return mapping;
}

static void
warn_of_missing_table(const SourceMapping *mapping)
{
	char	   *meant = ext_is_restoring() ? NULL : suggest_relation(mapping->table_name);

	ereport(WARNING,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("table \"%s\" does not exist yet", text_for_client(mapping->table_name)),
			 errdetail("Metric \"%s\" is mapped to it.", text_for_client(mapping->metric_name)),
			 meant ? errhint("Perhaps you meant %s.", text_for_client(meant)) : 0));
}

/*
 * Trigger on metricsandtables, BEFORE INSERT OR UPDATE.  Stores the table's
 * name qualified; a WARNING where there is no such table.  ERROR: an owner that
 * the current user is no member of; a column that the table lacks or whose type
 * does not fit; a column that the owner may not read.
 */
Datum
batchagg_check_mapping(PG_FUNCTION_ARGS)
{
	Row			row = row_of_trigger(fcinfo);
	Oid			owner = check_owner(&row);
	SourceMapping mapping;

	check_lengths(&row, mapping_limits);
	mapping = mapping_of_row(&row);
	check_not_empty(&row, "metricname");
	check_not_empty(&row, "tablename");
	check_choice(&row, "layout", layouts, "Specify column, row, or NULL to have it found out.");
	if (mapping.metric_name == NULL || mapping.table_name == NULL)
		PG_RETURN_POINTER(row.now);

	if (!OidIsValid(name_lookup(mapping.table_name, &mapping.table_name)))
	{
		warn_of_missing_table(&mapping);
		if (!ext_is_restoring())
			row_set_text(&row, "tablename", name_to_be(mapping.table_name));
	}
	else
	{
		row_set_text(&row, "tablename", mapping.table_name);
		if (!ext_is_restoring())
			source_check_mapping(&mapping, owner);
	}
	PG_RETURN_POINTER(row.now);
}
