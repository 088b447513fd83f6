/*-------------------------------------------------------------------------
 *
 * mapped.c
 *	  The trigger that tells who changes mappings what other jobs make of it.
 *
 * A mapping is for all jobs of its owner, and a superuser's for all jobs.  Where a
 * change of mappings has jobs read other tables or columns, or find none any more,
 * whoever makes it is warned, and told which.  What they read is found out twice: with
 * the mappings as they are now, and as they were before the statement.
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
#include "utils/rel.h"

#include "api/export.h"
#include "api/transition.h"
#include "model/ext.h"
#include "model/job.h"
#include "model/mapping.h"
#include "model/names.h"
#include "source/validate.h"

PG_FUNCTION_INFO_V1(batchagg_mappings_changed);

/* Jobs that are looked at for one statement, at most. */
#define MAX_JOBS 100
#define MAX_JOBS_TEXT "100"

/* The rows that a statement has changed, as they are or (old) were: a list of SourceMapping. */
static List *
read_mappings(const TriggerData *data, bool old)
{
	List	   *mappings = NIL;
	ListCell   *lc;

	foreach(lc, transition_rows(data, old))
	{
		HeapTuple	row = lfirst(lc);
		SourceMapping *mapping = palloc(sizeof(SourceMapping));
		bool		isnull;

		mapping->metric_name = transition_text(data, row, "metricname");
		mapping->table_name = transition_text(data, row, "tablename");
		mapping->layout = transition_text(data, row, "layout");
		mapping->id_column = transition_text(data, row, "id_column");
		mapping->time_column = transition_text(data, row, "time_column");
		mapping->metric_column = transition_text(data, row, "metric_column");
		mapping->name_column = transition_text(data, row, "name_column");
		mapping->value_column = transition_text(data, row, "value_column");
		mapping->owner =
			DatumGetObjectId(SPI_getbinval(row, RelationGetDescr(data->tg_relation),
										   SPI_fnumber(RelationGetDescr(data->tg_relation), "owner"),
										   &isnull));
		mappings = lappend(mappings, mapping);
	}
	return mappings;
}

/* Texts and numbers of mappings as arrays for a statement's arguments. */
static void
arrays_of(const List *mappings, Datum *folded, Datum *tables, Datum *owners)
{
	int			n = list_length(mappings);
	Datum	   *elements[3];
	ListCell   *lc;

	for (int i = 0; i < 3; i++)
		elements[i] = palloc(n * sizeof(Datum));
	foreach(lc, mappings)
	{
		const SourceMapping *mapping = lfirst(lc);
		int			i = foreach_current_index(lc);

		elements[0][i] = CStringGetTextDatum(name_fold(mapping->metric_name));
		elements[1][i] = CStringGetTextDatum(mapping->table_name);
		elements[2][i] = ObjectIdGetDatum(mapping->owner);
	}
	*folded = PointerGetDatum(construct_array(elements[0], n, TEXTOID, -1, false, TYPALIGN_INT));
	*tables = PointerGetDatum(construct_array(elements[1], n, TEXTOID, -1, false, TYPALIGN_INT));
	*owners = PointerGetDatum(construct_array(elements[2], n, OIDOID, sizeof(Oid), true,
											  TYPALIGN_INT));
}

/*
 * The ids of the jobs, as far as the caller sees them, that may follow these mappings:
 * of their owners, or any if one is a superuser's, with such a metric, of which the owner
 * has no other mapping to the definition's own table.
 */
static List *
jobs_concerned(const List *mappings)
{
	Oid			types[] = {TEXTARRAYOID, TEXTARRAYOID, OIDARRAYOID};
	Datum		values[3];
	List	   *ids = NIL;
	ListCell   *lc;

	arrays_of(mappings, &values[0], &values[1], &values[2]);
	foreach(lc, ext_query(false,
						  psprintf("SELECT DISTINCT j.id FROM %s j JOIN %s d ON d.job_id = j.id "
								   "JOIN %s m ON m.job_id = j.id "
								   "WHERE " NAME_FOLDED_SQL("m.metric_name") " IN "
								   "(SELECT unnest($1)) AND EXISTS (SELECT FROM unnest($3) o "
								   "WHERE o = j.owner OR o IN (SELECT oid FROM pg_roles "
								   "WHERE rolsuper)) AND NOT EXISTS (SELECT FROM %s t "
								   "WHERE t.owner = j.owner AND t.tablename = d.source_table "
								   "AND t.tablename NOT IN (SELECT unnest($2)) "
								   "AND " NAME_FOLDED_SQL("t.metricname") " = "
								   NAME_FOLDED_SQL("m.metric_name") ") "
								   "ORDER BY j.id LIMIT " MAX_JOBS_TEXT " + 1",
								   ext_table("batch_jobs"),
								   ext_table("batchjob_definitions"),
								   ext_table("batchjob_metrics"),
								   ext_table("metricsandtables")),
						  lengthof(types), types, values))
		ids = lappend_int(ids, pg_strtoint32(((char **) lfirst(lc))[0]));
	return ids;
}

/* Where a job finds these metrics, with the mappings as they are or were; see job_reads(). */
static textmap_hash *
reads_of(int32 job_id, textmap_hash *metrics, const MappingChange *undone)
{
	Problems	ignored = {.collect = true};
	Job		   *job = job_load(job_id, &ignored);
	List	   *concerned = NIL;
	ListCell   *lc;

	foreach(lc, job->metrics)
		if (textmap_get(metrics, name_fold(((JobMetric *) lfirst(lc))->name)))
			concerned = lappend(concerned, lfirst(lc));
	job->metrics = concerned;
	job->undone = undone;
	return job_reads(job);
}

/* The jobs that a change makes read something else, and that it leaves without a source. */
typedef struct Effects
{
	StringInfoData moved;
	StringInfoData lost;
} Effects;

static void
append_job(StringInfo list, int32 job_id)
{
	appendStringInfo(list, "%s%d", list->len > 0 ? ", " : "", job_id);
}

/* Finds out what a change has come to for a job. */
static void
compare_job(Effects *effects, int32 job_id, textmap_hash *metrics, const MappingChange *change)
{
	textmap_hash *before = reads_of(job_id, metrics, change);
	textmap_hash *now = reads_of(job_id, metrics, NULL);
	textmap_iterator iterator;
	TextMapEntry *entry;
	bool		moved = false;
	bool		lost = false;

	textmap_start_iterate(before, &iterator);
	while ((entry = textmap_iterate(before, &iterator)) != NULL)
	{
		const char *where = textmap_get(now, entry->text);

		lost |= where == NULL;
		moved |= where != NULL && strcmp(where, entry->value) != 0;
	}
	if (lost)
		append_job(&effects->lost, job_id);
	else if (moved)
		append_job(&effects->moved, job_id);
}

/* Tells what came of a change. */
static void
report_effects(const Effects *effects, bool more)
{
	StringInfoData detail;

	if (effects->moved.len == 0 && effects->lost.len == 0)
		return;
	initStringInfo(&detail);
	if (effects->moved.len > 0)
		appendStringInfo(&detail, "From their next run on, these jobs read other tables or columns: %s.",
						 effects->moved.data);
	if (effects->lost.len > 0)
		appendStringInfo(&detail, "%sThese jobs cannot run any more: %s.",
						 detail.len > 0 ? " " : "", effects->lost.data);
	if (more)
		appendStringInfoString(&detail, " Only the first " MAX_JOBS_TEXT " jobs were looked at.");
	ereport(WARNING,
			(errmsg("the change of mappings concerns other jobs"),
			 errdetail_internal("%s", detail.data),
			 errhint("Mappings are for all jobs of their owner. To read one table in one job, "
					 "name it as the definition's entity.")));
}

/*
 * Trigger on metricsandtables, AFTER INSERT, UPDATE or DELETE, for each statement, with
 * the transition tables: a WARNING that lists the jobs which read something else from
 * now on, or cannot run any more.  Nothing is looked at while a dump is restored.
 */
Datum
batchagg_mappings_changed(PG_FUNCTION_ARGS)
{
	const TriggerData *data = statement_trigger(fcinfo);
	MappingChange change;
	Effects		effects;
	List	   *mappings;
	List	   *jobs;
	textmap_hash *metrics;
	ListCell   *lc;

	if (ext_is_restoring())
		PG_RETURN_POINTER(NULL);
	change.made = read_mappings(data, false);
	change.gone = read_mappings(data, true);
	mappings = list_concat_copy(change.made, change.gone);
	if (mappings == NIL)
		PG_RETURN_POINTER(NULL);

	metrics = textmap_create(CurrentMemoryContext, list_length(mappings), NULL);
	foreach(lc, mappings)
		textmap_put(metrics, name_fold(((SourceMapping *) lfirst(lc))->metric_name), lfirst(lc));
	initStringInfo(&effects.moved);
	initStringInfo(&effects.lost);
	jobs = jobs_concerned(mappings);
	foreach(lc, jobs)
	{
		CHECK_FOR_INTERRUPTS();
		if (foreach_current_index(lc) < MAX_JOBS)
			compare_job(&effects, lfirst_int(lc), metrics, &change);
	}
	report_effects(&effects, list_length(jobs) > MAX_JOBS);
	PG_RETURN_POINTER(NULL);
}
