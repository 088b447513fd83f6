/*-------------------------------------------------------------------------
 *
 * mapping.h
 *	  Mappings (metricsandtables): to which relation a metric leads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_MAPPING_H
#define BATCHAGG_MAPPING_H

#include "nodes/pg_list.h"

#include "model/job.h"

/* A row of metricsandtables.  Columns are NULL where they are to be found. */
typedef struct SourceMapping
{
	char	   *metric_name;
	char	   *table_name;		/* qualified and quoted, if it was there then */
	char	   *layout;			/* "column", "row" or NULL */
	char	   *id_column;
	char	   *time_column;
	char	   *metric_column;
	char	   *name_column;
	char	   *value_column;
	Oid			owner;
} SourceMapping;

/* The mappings that may lead a job, and those of one metric. */
typedef struct Mappings Mappings;
typedef struct MetricMappings MetricMappings;

/* A change of the table, which may be undone to see what has come of it. */
typedef struct MappingChange
{
	List	   *made;			/* of SourceMapping: rows that there are now, */
	List	   *gone;			/* and that there were before */
} MappingChange;

extern Mappings *mappings_load(Job *job);
extern MetricMappings *mappings_of_metric(const Mappings *mappings, const JobMetric *metric);
extern SourceMapping *mapping_to_table(MetricMappings *mappings, const char *table, bool own);
extern SourceMapping *mapping_first(const MetricMappings *mappings);
extern SourceMapping *mapping_choose(MetricMappings *mappings, const JobMetric *metric,
									 const Definition *definition, Problems *problems);

#endif							/* BATCHAGG_MAPPING_H */
