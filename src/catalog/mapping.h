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

#include "catalog/job.h"

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
} SourceMapping;

extern List *mappings_load(const Job *job);
extern bool mapping_choose(List *loaded, const JobMetric *metric, const Definition *definition,
						   Problems *problems, SourceMapping **chosen);

#endif							/* BATCHAGG_MAPPING_H */
