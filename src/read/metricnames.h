/*-------------------------------------------------------------------------
 *
 * metricnames.h
 *	  The names in rows of a source in row layout: which metrics they stand for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_METRICNAMES_H
#define BATCHAGG_METRICNAMES_H

#include "group/entity.h"
#include "plan/rollup.h"

/* The names met so far, asked for or not. */
typedef struct MetricNames
{
	const SourceScan *scan;
	Entities   *names;
	int		   *metrics;		/* of each name, by its number; -1: not asked for */
	uint32		n;
	uint32		size;			/* room in metrics */
} MetricNames;

extern MetricNames *metric_names_create(const SourceScan *scan);
extern int	metric_of_new_name(MetricNames *names, uint32 number, Datum name);

/*
 * The number of the metric that a name stands for, which is not NULL; -1: none that
 * was asked for.
 */
static inline int
metric_of_name(MetricNames *names, Datum name)
{
	uint32		number = entities_intern(names->names, name);

	return likely(number < names->n) ? names->metrics[number] :
		metric_of_new_name(names, number, name);
}

#endif							/* BATCHAGG_METRICNAMES_H */
