/*-------------------------------------------------------------------------
 *
 * groups.h
 *	  The groups of one rollup: a hash table of partial states within a memory
 *	  budget, which leaves in the order of the store's key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_GROUPS_H
#define BATCHAGG_GROUPS_H

#include "engine/stream.h"
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

typedef struct Groups Groups;

extern Groups *groups_create(MemoryContext parent, const GroupLayout *layout,
							 Oid id_type, Oid id_collation, Size budget);

/* A finished group, on its way out: valid during the call of the sink only. */
typedef struct GroupOut
{
	TimestampTz bucket;
	const char *entity;			/* its text, not terminated */
	int			entity_length;
	StateWord  *states;
} GroupOut;

/* A group as it is looked for, and where its states are. */
typedef struct GroupKey
{
	TimestampTz bucket;
	uint32		entity;			/* by groups_entity() */
	const MetricSpan *span;		/* the only states of interest; NULL: all */
	StateWord  *states;
} GroupKey;

/* At most so many groups are looked for at once. */
#define MAX_GROUP_KEYS 64

extern uint32 groups_entity(Groups *groups, Datum id);
extern char *groups_id_text(const Groups *groups, Datum id, int *length);
extern uint32 groups_id_hash(const Groups *groups, Datum id);
extern void groups_find(Groups *groups, GroupKey *keys, int n);
extern void groups_feed(Groups *groups, TimestampTz bucket, const GroupOut *group);
extern MemoryContext groups_values_context(Groups *groups);
extern bool groups_are_full(Groups *groups);
extern void groups_spill(Groups *groups);
extern uint64 groups_rows(const Groups *groups);
extern Size groups_memory(const Groups *groups);
extern Size groups_budget(const Groups *groups);
extern uint64 groups_added(const Groups *groups, TimestampTz *newest);
extern bool groups_spilled(const Groups *groups);

typedef void (*GroupSink) (void *arg, const GroupOut *group);

extern void groups_emit(Groups *groups, GroupSink sink, void *arg);
extern void groups_emit_before(Groups *groups, TimestampTz to, GroupSink sink, void *arg);
extern void groups_free(Groups *groups);

/* What a table did, for the log and for tests. */
typedef struct GroupsUsage
{
	int			runs;			/* sorted runs written to temporary files */
	Size		peak;			/* bytes of memory */
} GroupsUsage;

extern GroupsUsage groups_usage(const Groups *groups);

/* From one process to another. */
extern Size groups_bytes(const Groups *groups, TimestampTz to);
extern void groups_send(Groups *groups, TimestampTz to, StreamWriter *stream);
extern void groups_add_stream(Groups *groups, StreamReader *stream);

#endif							/* BATCHAGG_GROUPS_H */
