/*-------------------------------------------------------------------------
 *
 * source.h
 *	  Resolving what a definition reads: the relation, its layout, and which
 *	  columns are the id, the time and the metrics.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SOURCE_H
#define BATCHAGG_SOURCE_H

#include "access/attnum.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

#include "model/job.h"
#include "model/mapping.h"

typedef enum SourceLayout
{
	LAYOUT_COLUMN,				/* a metric is a column */
	LAYOUT_ROW					/* a metric is a row: name and value columns */
} SourceLayout;

/* One metric of the job, found in a source. */
typedef struct SourceMetric
{
	JobMetric  *metric;
	AttrNumber	column;			/* column layout only */
	const char *row_name;		/* row layout: the name that rows have it by, its own unless
								 * another is chosen (refresh/rownames.c) */
} SourceMetric;

/* What one definition reads from one relation. */
typedef struct Source
{
	Definition *definition;
	Relation	rel;			/* open until sources_close() */
	Oid			relid;
	char	   *name;			/* qualified and quoted */
	SourceLayout layout;
	AttrNumber	id_column;		/* InvalidAttrNumber: focal_entity is '*' */
	AttrNumber	time_column;	/* timestamptz, timestamp or date */
	AttrNumber	name_column;	/* row layout only */
	AttrNumber	value_column;	/* row layout only */
	List	   *metrics;		/* of SourceMetric, in the job's order */
	List	   *passed_over;	/* of SourceMapping: to other relations, of metrics that the
								 * entity has itself */
} Source;

extern void sources_close(List *sources);
extern void source_check_columns(const Source *source);

extern bool source_nests(const Source *fine, const Source *coarse);
extern void sources_as_arrays(const List *sources, Datum *definition_ids, Datum *names);
extern Datum source_id_from_text(const Source *source, const char *text, int length);

#endif							/* BATCHAGG_SOURCE_H */
