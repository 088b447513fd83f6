/*-------------------------------------------------------------------------
 *
 * quantile.h
 *	  Arrays of values, and exact selection in them.
 *
 * A pure room.  How selection works stands at the top of quantile.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_QUANTILE_H
#define BATCHAGG_QUANTILE_H

#include <math.h>

/*
 * Values in PostgreSQL's order that are somewhere else than in memory: whoever
 * has them there answers for each place, from 0 on, which value it has.
 */
typedef struct SortedValues SortedValues;

struct SortedValues
{
	uint64		n;
	double		(*at) (const SortedValues *values, uint64 place);
};

/*
 * The values of one metric in one group, in any order.  What selection has
 * found out about their order is kept for the next one; it lapses by itself
 * when a value is added, because `ordered` is not `used` any more.
 */
typedef struct ValueArray
{
	uint32		used;
	uint32		size;			/* room, in values */
	uint32		ordered;		/* `used` when `placed` was found out, or 0 */
	uint32		placed:31;		/* see quantile.c */
	uint32		wide:1;			/* values are double, or else float */
	const SortedValues *elsewhere;	/* all values, and none is here; or NULL */
	double		values[FLEXIBLE_ARRAY_MEMBER];
} ValueArray;

/* Bytes of a value, which is wide or not. */
static inline Size
value_size(bool wide)
{
	return wide ? sizeof(double) : sizeof(float);
}

extern ValueArray *value_array_create(uint64 n, bool wide, MemoryContext context);
extern ValueArray *value_array_grow(ValueArray *array, uint64 needed);
extern ValueArray *value_array_widen(ValueArray *array);
extern ValueArray *value_array_append(ValueArray *array, const void *values, bool wide,
									  uint32 n, MemoryContext context);
extern ValueArray *value_array_elsewhere(const SortedValues *values, MemoryContext context);
extern void value_array_sort(ValueArray *array);
extern double value_array_percentile(ValueArray *array, double fraction);
extern uint64 value_array_distinct(ValueArray *array);

/* A value of an array, by its place. */
static inline double
value_array_at(const ValueArray *array, uint32 place)
{
	return array->wide ? array->values[place] : ((const float *) array->values)[place];
}

/* PostgreSQL's order of float8: NaN equals NaN and is above everything. */
extern int	float8_compare(double a, double b);

/*
 * Adds a value to an array, or to a new one in `context` if `array` is NULL.
 * Returns the array, which may have moved.  ERROR as of value_array_create().
 */
static inline ValueArray *
value_array_add(ValueArray *array, double x, MemoryContext context)
{
	if (array == NULL)
		array = value_array_create(1, false, context);
	else if (array->used == array->size)
		array = value_array_grow(array, (uint64) array->used + 1);
	if (!array->wide)
	{
		float		narrow = (float) x;

		if (narrow == x || isnan(x))
		{
			((float *) array->values)[array->used++] = narrow;
			return array;
		}
		array = value_array_widen(array);
	}
	array->values[array->used++] = x;
	return array;
}

#endif							/* BATCHAGG_QUANTILE_H */
