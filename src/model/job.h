/*-------------------------------------------------------------------------
 *
 * job.h
 *	  A job as its rows describe it, loaded and checked as far as that is
 *	  possible without looking at its sources (source.h does that).
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_JOB_H
#define BATCHAGG_JOB_H

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "pgtime.h"

#include "model/problem.h"
#include "stats/aggregate.h"
#include "time/bucket.h"

struct Job;

/* The longest job_delay, in hours: a thousand years. */
#define MAX_JOB_DELAY 8766000

typedef struct Definition
{
	int32		id;
	struct Job *job;			/* that it is of */
	char	   *focal_entity;	/* what results are per; "*": one group over all */
	char	   *entity;			/* the source's name, as written */
	char	   *source_table;	/* entity, qualified when inserted; or NULL */
	bool		entity_is_table;	/* then, else it is a label where mappings lead */
	Granularity granularity;
	char		granularity_text[GRANULARITY_TEXT_LEN]; /* canonical */
	int32		job_delay;		/* hours */
	char	   *filter;			/* resource_filter, or NULL */
	char	   *timezone;
	pg_tz	   *tz;
	char	   *id_column;		/* of the source, or NULL: as mappings say */
	char	   *time_column;	/* likewise */
	bool		complete_only;
	char	   *lookback;		/* an interval, or NULL */
	bool		keep_history;
	char	   *source_retention;	/* of the source's rows: an interval, or NULL */
	char	   *retention;		/* of results: an interval, or NULL */
} Definition;

typedef struct JobMetric
{
	char	   *name;			/* as written in batchjob_metrics */
	int			naggregates;
	Aggregate  *aggregates;		/* in the order written, no duplicates */
} JobMetric;

typedef struct Job
{
	int32		id;
	char	   *name;			/* job_name, or NULL */
	char	   *event_name;
	bool		enabled;
	Oid			owner;
	char	   *owner_name;
	int			timeout;		/* job_timeout in seconds, -1: the setting's */
	TimestampTz last_slot;		/* the latest of runs that succeeded; DT_NOBEGIN: none */
	List	   *definitions;	/* of Definition, by id */
	List	   *metrics;		/* of JobMetric, by name (C collation) */
	List	   *new_mappings;	/* of SourceMapping: those to be stored with the job that is being
								 * made, and not in the table yet */
	char	   *asked_table;	/* that the job which is being made is to read; or NULL */
	struct Mappings *mappings;	/* that may lead it; NULL: not loaded yet */
	const struct MappingChange *undone; /* mappings are as they were before this; or NULL */
} Job;

extern int32 job_argument(FunctionCallInfo fcinfo);
extern void job_require(int32 job_id);
extern Job *job_load(int32 job_id, Problems *problems);
extern Job *job_load_metrics(int32 job_id, Problems *problems);

/*
 * The time from which a run's horizons are counted back: its slot, or that of a run that
 * was there before.  A slot that is run late takes nothing away.
 */
static inline TimestampTz
job_run_time(const Job *job, TimestampTz slot)
{
	return Max(slot, job->last_slot);
}

extern bool job_read_granularity(const char *text, Granularity *result, int definition_id,
								 Problems *problems);
extern bool job_read_timezone(const char *name, pg_tz **result, int definition_id,
							  Problems *problems);
extern bool job_read_aggregates(const char *metric_name, const char *list, Aggregate **result,
								int *n, Problems *problems);

#endif							/* BATCHAGG_JOB_H */
