/*-------------------------------------------------------------------------
 *
 * baddata.c
 *	  Errors about the data of a source.
 *
 * One bad value fails a run, and it has to be found among millions of rows: so
 * these errors name the metric, the entity and the bucket.  The message names no
 * more of the data than the metric, as it is sent to all who listen for runs; the
 * detail goes to those only who may see the job.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "group/baddata.h"
#include "group/entity.h"
#include "model/problem.h"

/* So much of an id is shown at most. */
#define MAX_ID_SHOWN 100

static const char what_to_do[] =
"Exclude the values by the definition's resource_filter, or correct them in the source.";

/* The beginning of an id, as much as is shown. */
static char *
id_shown(const char *entity, int length)
{
	return pnstrdup(entity, text_clip(entity, length, MAX_ID_SHOWN));
}

/* A group, for people: user "u1" in the 1-hour bucket of 2024-10-07 00:00:00+00. */
static char *
group_name(const Definition *definition, const char *entity, int length, TimestampTz bucket)
{
	char	   *in_bucket = psprintf("the %s bucket of %s", definition->granularity_text,
									 timestamptz_to_str(bucket));

	if (strcmp(definition->focal_entity, "*") == 0)
		return in_bucket;
	return psprintf("%s \"%s\" in %s", definition->focal_entity, id_shown(entity, length),
					in_bucket);
}

/*
 * Reports that a result is out of range.
 */
void
report_bad_result(const Definition *definition, const char *metric, const char *aggregate,
				  const char *entity, int length, TimestampTz bucket)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("result \"%s\" of metric \"%s\" is out of range of double precision",
					aggregate, metric),
			 errdetail("It is that of %s.", group_name(definition, entity, length, bucket)),
			 errhint("%s", what_to_do)));
}

/*
 * Reports that a value of a metric is out of range.
 */
void
report_bad_value(const Definition *definition, const char *metric, const char *entity, int length,
				 TimestampTz bucket)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("value of metric \"%s\" is out of range of double precision", metric),
			 errdetail("It is one of %s.", group_name(definition, entity, length, bucket)),
			 errhint("%s", what_to_do)));
}

/*
 * Reports that an id is too long.
 */
void
report_long_id(const Definition *definition, const char *entity, int length, TimestampTz bucket)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("entity id is too long"),
			 errdetail("An id in the %s bucket of %s has %d bytes as text; at most %d are allowed. "
					   "It begins with \"%s\".", definition->granularity_text,
					   timestamptz_to_str(bucket), length, MAX_ENTITY_TEXT,
					   id_shown(entity, length)),
			 errhint("Exclude it by the definition's resource_filter, or shorten it in a view.")));
}
