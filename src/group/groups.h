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

#include "group/stream.h"
#include "group/table.h"

extern Groups *groups_create(MemoryContext parent, const GroupLayout *layout,
							 Oid id_type, Oid id_collation, Size budget);

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
