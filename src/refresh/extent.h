/*-------------------------------------------------------------------------
 *
 * extent.h
 *	  Extents: which part of a rollup's results a run brings up to date.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_EXTENT_H
#define BATCHAGG_EXTENT_H

#include "datatype/timestamp.h"

/*
 * The buckets that begin in [from, to), of all entities or of one.  Ends are
 * bounds of buckets, or infinite.
 */
typedef struct Extent
{
	TimestampTz from;
	TimestampTz to;
	const char *entity;			/* its text; NULL: all entities */
	int			entity_length;
} Extent;

/*
 * A set of extents.  After extents_finish() they are disjoint and in the order
 * of the store's key.
 */
typedef struct Extents
{
	int			n;
	int			size;			/* room in items */
	Extent	   *items;
	int			nentities;		/* of them, those of one entity */
} Extents;

extern Extents *extents_create(void);
extern Extents *extents_everything(void);
extern void extents_add(Extents *extents, TimestampTz from, TimestampTz to,
						const char *entity, int entity_length);
extern void extents_add_all(Extents *extents, const Extents *others);
extern void extents_finish(Extents *extents);
extern void extents_clip(Extents *extents, TimestampTz from, TimestampTz to);
extern void extents_forget_entities(Extents *extents);
extern void extents_bridge(Extents *extents, int max);
extern bool extents_are_everything(const Extents *extents);
extern const Extent *extents_find(const Extents *extents, TimestampTz bucket);

/*
 * Where a group is, compared with an extent: 0 in it, less before it, more
 * behind it.
 */
extern int	extent_compare(const Extent *extent, TimestampTz bucket,
						   const char *entity, int entity_length);
extern bool extents_reach(const Extents *extents, int *at, TimestampTz bucket,
						  const char *entity, int entity_length);

#endif							/* BATCHAGG_EXTENT_H */
