/*-------------------------------------------------------------------------
 *
 * extent.c
 *	  Extents: which part of a rollup's results a run brings up to date.
 *
 * A run that knows what has changed recomputes the buckets that changed, or
 * single groups where it is known whose rows they were.  Both are extents: a
 * range of buckets, of all entities or of one.
 *
 * Sets of them are collected in any order, with overlaps, and then finished:
 * ranges of all entities are merged where they overlap or touch, and an extent
 * of one entity is dropped where such a range has its bucket.  Those of one
 * entity are one bucket each, so that what is left is disjoint and can be
 * walked along with the groups and the stored rows, which have the same order:
 * bucket, then entity.
 *
 * What is read for a rollup, of rows or of stored groups, is made of extents, too:
 * see plan.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "group/entity.h"
#include "refresh/extent.h"

/*
 * An empty set, in the current memory context.
 */
Extents *
extents_create(void)
{
	Extents    *extents = palloc0(sizeof(Extents));

	extents->size = 8;
	extents->items = palloc(extents->size * sizeof(Extent));
	return extents;
}

/*
 * The set of all that there is.
 */
Extents *
extents_everything(void)
{
	Extents    *extents = extents_create();

	extents_add(extents, DT_NOBEGIN, DT_NOEND, NULL, 0);
	return extents;
}

/*
 * Adds the buckets that begin in [from, to) to a set, of one entity (then it
 * is one bucket) or of all (NULL).  The entity's text is not copied.
 */
void
extents_add(Extents *extents, TimestampTz from, TimestampTz to,
			const char *entity, int entity_length)
{
	Extent	   *extent;

	Assert(entity == NULL || entity_length >= 0);
	if (from >= to)
		return;
	if (extents->n == extents->size)
	{
		extents->size *= 2;
		extents->items = repalloc_huge(extents->items, extents->size * sizeof(Extent));
	}
	extent = &extents->items[extents->n++];
	extent->from = from;
	extent->to = to;
	extent->entity = entity;
	extent->entity_length = entity_length;
	extents->nentities += entity != NULL;
}

void
extents_add_all(Extents *extents, const Extents *others)
{
	int			i;

	for (i = 0; i < others->n; i++)
	{
		const Extent *extent = &others->items[i];

		extents_add(extents, extent->from, extent->to, extent->entity, extent->entity_length);
	}
}

/* Order of two extents; of equal beginnings, those of all entities first. */
static inline int
extent_order(const Extent *a, const Extent *b)
{
	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	if (a->entity == NULL || b->entity == NULL)
		return (a->entity != NULL) - (b->entity != NULL);
	return entity_text_compare(a->entity, a->entity_length, b->entity, b->entity_length);
}

#define ST_SORT sort_extents
#define ST_ELEMENT_TYPE Extent
#define ST_COMPARE(a, b) extent_order(a, b)
#define ST_CHECK_FOR_INTERRUPTS
#define ST_SCOPE static
#define ST_DEFINE
#include "miscadmin.h"
#include "lib/sort_template.h"

/*
 * Makes a set disjoint and puts it in order.  It can be added to afterwards,
 * and finished again.
 */
void
extents_finish(Extents *extents)
{
	Extent	   *range = NULL;	/* the last one of all entities that is kept */
	const Extent *last = NULL;	/* the last one that is kept */
	int			n = 0;
	int			i;

	sort_extents(extents->items, extents->n);
	extents->nentities = 0;
	for (i = 0; i < extents->n; i++)
	{
		Extent	   *extent = &extents->items[i];

		if (extent->entity != NULL)
		{
			if ((range != NULL && extent->from < range->to) ||
				(last != NULL && extent_order(last, extent) == 0))
				continue;
			extents->nentities++;
		}
		else if (range != NULL && extent->from <= range->to)
		{
			range->to = Max(range->to, extent->to);
			continue;
		}
		extents->items[n] = *extent;
		last = &extents->items[n++];
		if (last->entity == NULL)
			range = unconstify(Extent *, last);
	}
	extents->n = n;
}

/*
 * Leaves of a finished set what begins in [from, to).
 */
void
extents_clip(Extents *extents, TimestampTz from, TimestampTz to)
{
	int			n = 0;
	int			i;

	extents->nentities = 0;
	for (i = 0; i < extents->n; i++)
	{
		Extent		extent = extents->items[i];

		extent.from = Max(extent.from, from);
		extent.to = Min(extent.to, to);
		if (extent.from >= extent.to)
			continue;
		extents->items[n++] = extent;
		extents->nentities += extent.entity != NULL;
	}
	extents->n = n;
}

/*
 * Extends what is of one entity to all.
 */
void
extents_forget_entities(Extents *extents)
{
	int			i;

	if (extents->nentities == 0)
		return;
	for (i = 0; i < extents->n; i++)
		extents->items[i].entity = NULL;
	extents_finish(extents);
}

#define ST_SORT sort_gaps
#define ST_ELEMENT_TYPE int64
#define ST_COMPARE(a, b) (*(a) > *(b) ? -1 : (*(a) < *(b) ? 1 : 0))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * Leaves at most `max` ranges of a finished set without entities: the smallest
 * gaps between its ranges are filled.
 */
void
extents_bridge(Extents *extents, int max)
{
	int			ngaps = extents->n - 1;
	int64	   *gaps;
	int64		least;			/* that is kept */
	int			kept = 0;
	int			n = 1;
	int			i;

	if (extents->n <= max)
		return;
	gaps = palloc(ngaps * sizeof(int64));
	for (i = 0; i < ngaps; i++)
		gaps[i] = extents->items[i + 1].from - extents->items[i].to;
	sort_gaps(gaps, ngaps);
	least = max > 1 ? gaps[max - 2] : PG_INT64_MAX;
	pfree(gaps);

	for (i = 1; i < extents->n; i++)
	{
		Extent	   *last = &extents->items[n - 1];
		const Extent *extent = &extents->items[i];

		if (extent->from - last->to >= least && kept < max - 1)
		{
			kept++;
			extents->items[n++] = *extent;
		}
		else
			last->to = extent->to;
	}
	extents->n = n;
}

/*
 * Is this all that there is?
 */
bool
extents_are_everything(const Extents *extents)
{
	return extents->n == 1 && extents->items[0].entity == NULL &&
		extents->items[0].from == DT_NOBEGIN && extents->items[0].to == DT_NOEND;
}

/*
 * An extent of a finished set that has this bucket, of all entities or of any;
 * NULL: there is none.
 */
const Extent *
extents_find(const Extents *extents, TimestampTz bucket)
{
	int			low = 0;
	int			high = extents->n;

	/* The last one that begins no later than the bucket. */
	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (extents->items[middle].from <= bucket)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && bucket < extents->items[low - 1].to ? &extents->items[low - 1] : NULL;
}

/*
 * See the header.
 */
int
extent_compare(const Extent *extent, TimestampTz bucket, const char *entity, int entity_length)
{
	if (bucket < extent->from)
		return -1;
	if (bucket >= extent->to)
		return 1;
	return extent->entity == NULL ? 0 :
		entity_text_compare(entity, entity_length, extent->entity, extent->entity_length);
}

/*
 * Moves on from extent *at of a finished set to the one that holds a group.  Returns
 * false where none does: then *at is the first one behind it.
 */
bool
extents_reach(const Extents *extents, int *at, TimestampTz bucket,
			  const char *entity, int entity_length)
{
	int			place = -1;

	Assert(*at >= 0 && *at <= extents->n);
	while (*at < extents->n &&
		   (place = extent_compare(&extents->items[*at], bucket, entity, entity_length)) > 0)
		(*at)++;
	return *at < extents->n && place == 0;
}
