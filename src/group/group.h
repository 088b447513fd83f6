/*-------------------------------------------------------------------------
 *
 * group.h
 *	  A group: the partial states of all metrics of a bucket and an entity.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_GROUP_H
#define BATCHAGG_GROUP_H

#include "datatype/timestamp.h"

#include "stats/span.h"

/*
 * How the states of a group's metrics lie: span by span.  Metrics that come in rows of
 * their own lie apart, each in a span of its own, so that adding a row touches little
 * memory.
 */
typedef struct GroupLayout
{
	int			nmetrics;
	int		   *numbers;		/* of each metric among the scan's, ascending */
	uint32	   *fields;			/* of each metric */
	int		   *span_of;		/* the span that each metric is in, by its index */
	int		   *places;			/* and its number in that */
	int			words;			/* of all states */
	StateWord  *empty;			/* states of a group without values */
	int			nkept;			/* metrics whose values are kept */
	int		   *kept;			/* and which */
	int			nspans;
	MetricSpan *spans;
} GroupLayout;

/* A group's state of a metric, by the metric's number in the layout. */
static inline State
group_state(const GroupLayout *layout, StateWord *states, int metric)
{
	return span_state(&layout->spans[layout->span_of[metric]], states, layout->places[metric]);
}

/* The word of a group's state of a metric that leads to its values. */
static inline StateWord *
group_values_word(const GroupLayout *layout, StateWord *states, int metric)
{
	return state_at(group_state(layout, states, metric),
					state_word(layout->fields[metric], FIELD_VALUES));
}

extern void group_layout_init(GroupLayout *layout, int nmetrics, const int *numbers,
							  const uint32 *fields, bool apart);
extern void group_states_init(const GroupLayout *layout, StateWord *states);
extern void group_states_merge(const GroupLayout *layout, StateWord *into,
							   StateWord *from, MemoryContext values_context);
extern Size group_values_bytes(const GroupLayout *layout, StateWord *states);
extern bool group_is_elsewhere(const GroupLayout *layout, StateWord *states);

/* A finished group, on its way out: valid during the call of the sink only. */
typedef struct GroupOut
{
	TimestampTz bucket;
	const char *entity;			/* its text, not terminated */
	int			entity_length;
	StateWord  *states;
} GroupOut;

/* Who takes groups, one after the other. */
typedef void (*GroupSink) (void *arg, const GroupOut *group);

#endif							/* BATCHAGG_GROUP_H */
