/*-------------------------------------------------------------------------
 *
 * quantile.c
 *	  Arrays of values, and exact selection in them.
 *
 * Percentiles are exact, so a group keeps all its values; what can be saved
 * is the sorting.  A percentile needs one value of the sorted order and
 * perhaps the next, and Hoare's quickselect ("Algorithm 65: Find", 1961)
 * finds it in linear time on average: partition around a pivot, go on in the
 * part that holds the wanted place.  The pivot is the median of three.  A
 * budget of rounds, twice what halving would take, bounds the worst case:
 * when it is used up the part that is left goes to the server's own sort,
 * which chooses pivots otherwise (after Musser's introselect, 1997).
 *
 * Most groups are small, and what they cost is mispredicted branches, so the
 * inner loops have none that depend on the data: partitioning swaps always
 * and moves the border by a comparison's result, and parts of SMALL_PART
 * values or fewer are sorted by insertion with minimum and maximum.
 *
 * Selection works in place and leaves the array more ordered than before:
 * all values before the selected place are at most the value there, all
 * behind it at least.  `placed` remembers that place, and the next selection
 * looks on its own side of it only.  Percentiles asked in rising order, p50,
 * p95, p99, so cost little more than the first.  `placed` is PLACED_ALL once
 * everything is sorted, and `used` when nothing is known yet.  Either way
 * NaNs, which PostgreSQL's order puts above everything, have been moved to
 * the end, so that the loops compare plain numbers.
 *
 * Counting distinct values sorts, by the same splitting: that needs no memory
 * beside the array, and makes every percentile that follows a look-up.
 *
 * An array is narrow, four bytes a value, as long as all its values are the same
 * as float4: those of a column of that type, small integers, halves and quarters.
 * The first that is not makes it wide, and so does being long.  Selection is
 * compiled for both (select.h).
 *
 * Values that are too many for the memory are sorted by others, who keep them
 * elsewhere (group/bulk.c): then the array is empty but for the way to them, a
 * percentile asks for one place or two, and distinct values are counted from
 * the first place to the last.
 *
 * A pure room.  It can be interrupted everywhere: an array is a permutation
 * of its values at each CHECK_FOR_INTERRUPTS().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "stats/quantile.h"

/* Parts no longer than this are sorted by insertion. */
#define SMALL_PART 16

/* ValueArray.placed when all values are in their sorted places. */
#define PLACED_ALL (PG_UINT32_MAX >> 1)

/* Bytes of a new array, with its head. */
#define FIRST_BYTES 64

/*
 * Arrays of less double.  Longer ones, which are allocated each by itself, grow by
 * an eighth, so that they take little more memory than they use.
 */
#define DOUBLING_LIMIT 8192

/*
 * Longer arrays are wide in any case, so that a single value cannot double what a
 * large one takes.
 */
#define NARROW_LIMIT 65536

#define HEAD_BYTES offsetof(ValueArray, values)

/* The most values that an array can hold. */
#define MAX_VALUES \
	Min(PLACED_ALL - 1, (MaxAllocHugeSize - HEAD_BYTES) / sizeof(double))

/*
 * float8_compare
 *		Negative, zero or positive as a is before, equal to or after b in
 *		PostgreSQL's order of float8.
 */
int
float8_compare(double a, double b)
{
	if (isnan(a) || isnan(b))
		return (isnan(a) ? 1 : 0) - (isnan(b) ? 1 : 0);
	return (a > b) - (a < b);
}

static void
check_length(uint64 needed)
{
	if (needed > MAX_VALUES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many values in one group"),
				 errdetail("Percentiles and distinct values can be computed from at most "
						   UINT64_FORMAT " values.", (uint64) MAX_VALUES)));
}

/*
 * value_array_create
 *		Makes an empty array in `context` that has room for `n` values, or a few
 *		more.  ERROR (program_limit_exceeded) if no array can be that long.
 */
ValueArray *
value_array_create(uint64 n, bool wide, MemoryContext context)
{
	Size		unit = value_size(wide);
	ValueArray *array;
	Size		bytes;

	check_length(n);
	bytes = Max(FIRST_BYTES, HEAD_BYTES + n * unit);
	array = MemoryContextAllocHuge(context, bytes);
	array->used = 0;
	array->size = (bytes - HEAD_BYTES) / unit;
	array->ordered = 0;
	array->placed = 0;
	array->elsewhere = NULL;
	array->wide = wide;
	return array;
}

/*
 * value_array_grow
 *		Makes room for `needed` values in all.
 *
 * Returns the array, which may have moved.  ERROR as of value_array_create().
 */
ValueArray *
value_array_grow(ValueArray *array, uint64 needed)
{
	Size		unit;
	Size		bytes;

	check_length(needed);
	if (!array->wide && needed > NARROW_LIMIT)
		array = value_array_widen(array);
	unit = value_size(array->wide);
	bytes = HEAD_BYTES + array->size * unit;
	bytes += bytes < DOUBLING_LIMIT ? bytes : bytes / 8;
	bytes = Max(bytes, HEAD_BYTES + needed * unit);
	array = repalloc_huge(array, bytes);
	array->size = Min((bytes - HEAD_BYTES) / unit, MAX_VALUES);
	return array;
}

/*
 * value_array_widen
 *		Makes an array wide.  Returns it, as it may have moved.
 */
ValueArray *
value_array_widen(ValueArray *array)
{
	const float *narrow;
	Size		bytes = HEAD_BYTES + array->size * sizeof(float);

	/* Doubling keeps head and values together at a power of two bytes. */
	if (HEAD_BYTES + ((Size) array->used + 1) * sizeof(double) > bytes)
	{
		bytes = Max(2 * bytes, HEAD_BYTES + array->size * sizeof(double));
		array = repalloc_huge(array, bytes);
	}
	array->size = (bytes - HEAD_BYTES) / sizeof(double);
	narrow = (const float *) array->values;
	for (uint32 i = array->used; i-- > 0;)
		array->values[i] = narrow[i];
	array->wide = true;
	return array;
}

/*
 * value_array_append
 *		Adds n values, which are wide or not, to an array, or to a new one in
 *		`context` if `array` is NULL.
 *
 * Returns the array, which may have moved.  ERROR as of value_array_create().
 */
ValueArray *
value_array_append(ValueArray *array, const void *values, bool wide, uint32 n,
				   MemoryContext context)
{
	uint64		needed = (array ? array->used : 0) + (uint64) n;

	if (array == NULL)
		array = value_array_create(needed, wide, context);
	if (wide && !array->wide)
		array = value_array_widen(array);
	if (needed > array->size)
		array = value_array_grow(array, needed);
	if (wide == array->wide)
		memcpy((char *) array->values + array->used * value_size(array->wide), values,
			   n * value_size(array->wide));
	else
		for (uint32 i = 0; i < n; i++)
			array->values[array->used + i] = ((const float *) values)[i];
	array->used = needed;
	return array;
}

/*
 * value_array_elsewhere
 *		Makes an array in `context` of values that are elsewhere, from which
 *		percentiles and distinct values are computed as from any other.
 *
 * Nothing can be added to it.
 */
ValueArray *
value_array_elsewhere(const SortedValues *values, MemoryContext context)
{
	ValueArray *array = MemoryContextAllocZero(context, offsetof(ValueArray, values));

	array->elsewhere = values;
	return array;
}

/* How often a part of n values may be split. */
static int
split_budget(uint32 n)
{
	return n > 0 ? 2 * pg_leftmost_one_pos32(n) : 0;
}

#define VALUE double
#define SELECT_NAME(name) name##_wide
#include "stats/select.h"

#define VALUE float
#define SELECT_NAME(name) name##_narrow
#include "stats/select.h"

/*
 * The value that sorting would put at place k of an array, and (with_next) the
 * one that would follow it.
 */
static void
select_values(ValueArray *array, uint64 k, bool with_next, double *value, double *next)
{
	const SortedValues *elsewhere = array->elsewhere;

	if (elsewhere != NULL)
	{
		*value = elsewhere->at(elsewhere, k);
		*next = with_next ? elsewhere->at(elsewhere, k + 1) : *value;
	}
	else if (array->wide)
		select_values_wide(array, k, with_next, value, next);
	else
		select_values_narrow(array, k, with_next, value, next);
}

/*
 * value_array_percentile
 *		The value below which `fraction` (0 to 1) of the values lie, between
 *		two neighbours by linear interpolation: what PostgreSQL's
 *		percentile_cont() gives, by the same formula, so that infinities and
 *		NaN come out alike.
 *
 * Where the difference of two finite neighbours is out of range, which makes
 * that formula answer infinity, each is weighted by itself.  The array must
 * not be empty; its values are left in another order.
 */
double
value_array_percentile(ValueArray *array, double fraction)
{
	uint64		n = array->elsewhere != NULL ? array->elsewhere->n : array->used;
	double		place = fraction * (double) (n - 1);
	uint64		k = (uint64) floor(place);
	double		share = place - k;
	double		low,
				high;

	select_values(array, k, share != 0, &low, &high);
	if (share == 0)
		return low;
	if (isinf(high - low) && isfinite(low) && isfinite(high))
		return low * (1 - share) + high * share;
	return low + share * (high - low);
}

/*
 * value_array_sort
 *		Sorts an array whose values are not elsewhere, in PostgreSQL's order.
 */
void
value_array_sort(ValueArray *array)
{
	if (array->wide)
		sort_wide(array);
	else
		sort_narrow(array);
}

static uint64
count_distinct_elsewhere(const SortedValues *values)
{
	uint64		distinct = 0;
	double		last = 0;

	for (uint64 i = 0; i < values->n; i++)
	{
		double		x = values->at(values, i);

		CHECK_FOR_INTERRUPTS();
		distinct += (i == 0 || float8_compare(x, last) != 0);
		last = x;
	}
	return distinct;
}

/*
 * value_array_distinct
 *		The number of distinct values; NaN is one, and so are -0 and 0.
 *
 * The values are left sorted.
 */
uint64
value_array_distinct(ValueArray *array)
{
	if (array->elsewhere != NULL)
		return count_distinct_elsewhere(array->elsewhere);
	value_array_sort(array);
	return array->wide ? count_distinct_wide(array) : count_distinct_narrow(array);
}
