/*-------------------------------------------------------------------------
 *
 * measure.c
 *	  RuleExecutionResults as other systems write to it: triggers of measurements.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "api/columns.h"
#include "api/export.h"
#include "model/ext.h"

PG_FUNCTION_INFO_V1(batchagg_check_measurement);
PG_FUNCTION_INFO_V1(batchagg_insert_measurement);
PG_FUNCTION_INFO_V1(batchagg_refuse_change);

static const ColumnLimit measurement_limits[] = {
	{"entity_id", 2000}, {"metric_name", MAX_NAME_BYTES},
	{"focal_entity", MAX_NAME_BYTES}, {"granularity", MAX_NAME_BYTES},
	{"aggregation_type", MAX_NAME_BYTES}, {"result_name", MAX_NAME_BYTES}, {NULL}
};

/*
 * Trigger on batchagg_measurements, BEFORE INSERT OR UPDATE.  ERROR: an owner
 * that the current user is no member of.
 */
Datum
batchagg_check_measurement(PG_FUNCTION_ARGS)
{
	Row			row = row_of_trigger(fcinfo);

	check_lengths(&row, measurement_limits);
	(void) check_owner(&row);
	PG_RETURN_POINTER(row.now);
}

/* The columns of RuleExecutionResults that a measurement has, in order. */
static const char *const measurement_columns[] = {
	"entity_id", "timestamp", "metric_name", "metric_value", "focal_entity", "granularity",
	"aggregation_type", "sample_count", "result_name", "updated_at"
};

static const Oid measurement_types[] = {
	TEXTOID, TIMESTAMPTZOID, TEXTOID, FLOAT8OID, TEXTOID, TEXTOID, TEXTOID, INT8OID, TEXTOID,
	TIMESTAMPTZOID
};

/* How many of them must not be NULL; then come those that may. */
#define MEASUREMENT_REQUIRED 4

/* The plan that inserts a measurement, kept for the session. */
static struct
{
	SPIPlanPtr	plan;
	Oid			relid;			/* the table it is for */
}			measurement_insert;

/* Prepares the plan, where it is not there for the table of this moment. */
static SPIPlanPtr
measurement_plan(void)
{
	Oid			relid = ext_relid("batchagg_measurements");
	SPIPlanPtr	plan;

	if (measurement_insert.plan && measurement_insert.relid == relid)
		return measurement_insert.plan;

	plan = SPI_prepare(psprintf("INSERT INTO %s (entity_id, \"timestamp\", metric_name, "
								"metric_value, focal_entity, granularity, aggregation_type, "
								"sample_count, result_name, updated_at) "
								"VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, 1), $9, "
								"coalesce($10, now()))",
								ext_table("batchagg_measurements")),
					   lengthof(measurement_types), (Oid *) measurement_types);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare the insertion of measurements");
	if (measurement_insert.plan)
		SPI_freeplan(measurement_insert.plan);
	measurement_insert.plan = plan;
	measurement_insert.relid = relid;
	return plan;
}

/* Refuses results, which are no measurements. */
static void
check_has_no_job(const Row *row)
{
	static const char *const columns[] = {"job_id", "job_name", "definition_id"};

	for (int i = 0; i < lengthof(columns); i++)
	{
		bool		isnull;

		(void) row_value(row, columns[i], &isnull);
		if (!isnull)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("results of a job cannot be inserted"),
					 errdetail("Only runs write them."),
					 errhint("Leave job_id, job_name and definition_id NULL for a measurement of "
							 "another system.")));
	}
}

/*
 * Trigger on RuleExecutionResults, INSTEAD OF INSERT: puts the row into
 * batchagg_measurements, as the current user, whose it becomes.  ERROR: the
 * row names a job, or lacks entity, time, metric or value.
 */
Datum
batchagg_insert_measurement(PG_FUNCTION_ARGS)
{
	Row			row = row_of_trigger(fcinfo);
	Datum		values[lengthof(measurement_columns)];
	char		nulls[lengthof(measurement_columns)];
	ExtScope	scope;

	check_has_no_job(&row);
	for (int i = 0; i < lengthof(measurement_columns); i++)
	{
		bool		isnull;

		values[i] = row_value(&row, measurement_columns[i], &isnull);
		nulls[i] = isnull ? 'n' : ' ';
		if (isnull && i < MEASUREMENT_REQUIRED)
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("%s of a measurement must not be NULL", measurement_columns[i]),
					 errhint("A measurement needs entity_id, timestamp, metric_name and "
							 "metric_value.")));
	}

	ext_enter(&scope, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_plan(measurement_plan(), values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not insert a measurement");
	SPI_finish();
	ext_leave(&scope);
	PG_RETURN_POINTER(row.now);
}

/*
 * Trigger on RuleExecutionResults, UPDATE or DELETE: ERROR, which says how results
 * are changed and removed.
 */
Datum
batchagg_refuse_change(PG_FUNCTION_ARGS)
{
	const TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called as a trigger")));
	if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("results cannot be deleted from RuleExecutionResults"),
				 errdetail("Runs of jobs write them; measurements of other systems are rows of "
						   "batchagg_measurements."),
				 errhint("Delete the job from batch_jobs or the definition from "
						 "batchjob_definitions, or set the definition's results_retention. Delete "
						 "measurements from batchagg_measurements.")));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("results cannot be updated in RuleExecutionResults"),
			 errdetail("Runs of jobs write them; measurements of other systems are rows of "
					   "batchagg_measurements."),
			 errhint("Correct the source and run the job again. Update measurements in "
					 "batchagg_measurements.")));
}
