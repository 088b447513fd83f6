/*-------------------------------------------------------------------------
 *
 * ahead.h
 *	  Which times from a horizon on there are rows at.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_AHEAD_H
#define BATCHAGG_AHEAD_H

#include "datatype/timestamp.h"

/* As many ranges as are kept apart. */
#define MAX_AHEAD 16

/* A range of instants, both ends included. */
typedef struct AheadRange
{
	TimestampTz low;
	TimestampTz high;
} AheadRange;

/* Ranges that hold the times of all rows ahead, in order, disjoint. */
typedef struct Ahead
{
	int			n;
	AheadRange	ranges[MAX_AHEAD];
} Ahead;

extern void ahead_insert(Ahead *ahead, TimestampTz low, TimestampTz high);
extern void ahead_add_all(Ahead *ahead, const Ahead *others);
extern void ahead_pass(Ahead *ahead, TimestampTz horizon);
extern bool ahead_between(const Ahead *ahead, TimestampTz from, TimestampTz to);
extern bool ahead_same(const Ahead *a, const Ahead *b);
extern char *ahead_text(const Ahead *ahead);
extern void ahead_read(Ahead *ahead, const char *text);

/* Notes that there may be rows at the instants from low to high. */
static inline void
ahead_add(Ahead *ahead, TimestampTz low, TimestampTz high)
{
	const AheadRange *last = &ahead->ranges[ahead->n - 1];

	if (ahead->n == 0 || low < last->low || high > last->high)
		ahead_insert(ahead, low, high);
}

#endif							/* BATCHAGG_AHEAD_H */
