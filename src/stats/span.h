/*-------------------------------------------------------------------------
 *
 * span.h
 *	  Spans: the partial states of neighbouring metrics, side by side.
 *
 * A pure room.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SPAN_H
#define BATCHAGG_SPAN_H

#include "stats/state.h"

typedef struct MetricSpan MetricSpan;

/* As few metrics as span_finish() takes. */
#define SPAN_FINISH_LEAST 4

/*
 * Adds one row's values, seen at instant t, to the states of a span.  `values`
 * and `nulls` are those of the span's metrics; nulls is NULL where none is, and
 * where one is, its value is any number.
 */
typedef void (*AddRow) (const MetricSpan *span, StateWord *states, const double *values,
						const bool *nulls, TimestampTz t, MemoryContext values_context);

/* A run of neighbouring metrics whose states have the same fields. */
struct MetricSpan
{
	int			first;			/* its first metric's number among a row's values */
	int			n;				/* metrics */
	uint32		fields;
	int			words;			/* of one state */
	int			offset;			/* of its first state, in words from the group's first */
	int			stride;			/* from each word of a state to the next */
	AddRow		add_row;
};

/* The state of a span's metric, by its number in the span. */
static inline State
span_state(const MetricSpan *span, StateWord *states, int metric)
{
	State		state = {states + span->offset + metric, span->stride};

	return state;
}

extern void span_init(MetricSpan *span, int first, int n, uint32 fields, int offset);
extern void span_merge(const MetricSpan *span, StateWord *into, StateWord *from,
					   MemoryContext values_context);
extern bool span_can_finish(const Aggregate *aggregates, int naggregates);
extern bool span_finish(const MetricSpan *span, StateWord *states, int metric, int n,
						const Aggregate *aggregates, int naggregates, double *results);

#endif							/* BATCHAGG_SPAN_H */
