/*-------------------------------------------------------------------------
 *
 * table.h
 *	  The hash table of groups, for the files that it is made of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_TABLE_H
#define BATCHAGG_TABLE_H

#include "group/entity.h"
#include "group/group.h"
#include "group/sorted.h"

/* What is asked for of a group's states before they are added to, at most. */
#define MAX_PREFETCH 1024
#define CACHE_LINE 64

/* A slot of the hash table. */
typedef struct GroupSlot
{
	TimestampTz bucket;
	uint32		entity;
	uint32		group;			/* number + 1; 0: the slot is free */
} GroupSlot;

typedef struct Groups
{
	const GroupLayout *layout;
	Size		budget;			/* bytes */
	Size		peak;			/* most bytes so far */

	MemoryContext context;		/* of this struct and all below */
	MemoryContext table;		/* hash table and states; emptied with each run */
	MemoryContext values;		/* value arrays; likewise */

	Entities   *entities;

	GroupSlot  *slots;
	uint32		slot_mask;
	uint32		ngroups;
	uint32		fed;			/* groups of another table */
	uint64		rows;			/* rows, or groups of another table, since it was empty */
	uint64		added;			/* groups so far, also those that have left */
	TimestampTz newest;			/* latest bucket of these */

	uint32		nplaces;		/* for the states of a group, in the chunks */
	uint32		free_place;		/* number + 1 of one whose group has left, and which leads to the
								 * next; 0: none */
	char	  **chunks;
	int			nchunks;
	int			chunk_shift;	/* log2 of the groups in a chunk */

	Sorted	   *sorted;			/* written by us, or sent by other processes */
} Groups;

static inline StateWord *
group_states(const Groups *groups, uint32 group)
{
	char	   *chunk = groups->chunks[group >> groups->chunk_shift];
	Size		at = group & (((uint32) 1 << groups->chunk_shift) - 1);

	return (StateWord *) (chunk + at * groups->layout->words * sizeof(StateWord));
}

/* Asks for the memory of a group's states, or of a span of them. */
static inline void
prefetch_states(const Groups *groups, const StateWord *states, const MetricSpan *span)
{
	int			words = span != NULL ? span->n * span->words : groups->layout->words;
	const char *start = (const char *) (span != NULL ? states + span->offset : states);
	const char *end = start + Min(words * sizeof(StateWord), MAX_PREFETCH);

	for (start = (const char *) TYPEALIGN_DOWN(CACHE_LINE, start); start < end; start += CACHE_LINE)
		__builtin_prefetch(start, 1);
}

/* groups.c */
extern void table_rehash(Groups *groups, uint32 mask, TimestampTz from);
extern void table_free_place(Groups *groups, uint32 place);
extern void table_reset(Groups *groups);

/* emit.c */
extern void table_write(Groups *groups);

#endif							/* BATCHAGG_TABLE_H */
