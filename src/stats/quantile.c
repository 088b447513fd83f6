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
 * Values that are too many for the memory are sorted by others, who keep them
 * elsewhere (engine/bulk.c): then the array is empty but for the way to them, a
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
#define PLACED_ALL PG_UINT32_MAX

/* Room of a new array: with its head and this many values it fills 64 bytes. */
#define FIRST_SIZE 5

/*
 * Arrays up to this size double.  Longer ones, which are allocated each by itself,
 * grow by an eighth, so that they take little more memory than they use.
 */
#define DOUBLING_LIMIT 1000

/* The most values that an array can hold. */
#define MAX_VALUES \
	Min(PG_UINT32_MAX - 1, (MaxAllocHugeSize - offsetof(ValueArray, values)) / sizeof(double))

#define ST_SORT sort_anyhow
#define ST_ELEMENT_TYPE double
#define ST_COMPARE(a, b) ((*(a) > *(b)) - (*(a) < *(b)))
#define ST_CHECK_FOR_INTERRUPTS
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

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

/*
 * value_array_grow
 *		Makes room for `needed` values in all, in `context` if `array` is NULL.
 *
 * Returns the array, which may have moved.  ERROR (program_limit_exceeded) if
 * no array can be that long.
 */
ValueArray *
value_array_grow(ValueArray *array, uint64 needed, MemoryContext context)
{
	uint64		size = array ? array->size : 0;
	Size		bytes;

	if (needed > MAX_VALUES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many values in one group"),
				 errdetail("Percentiles and distinct values can be computed from at most "
						   UINT64_FORMAT " values.", (uint64) MAX_VALUES)));

	/* Doubling keeps head and values together at a power of two bytes. */
	size = size <= DOUBLING_LIMIT ? 2 * size + 3 : size + size / 8;
	size = Min(Max(Max(size, FIRST_SIZE), needed), MAX_VALUES);
	bytes = offsetof(ValueArray, values) + size * sizeof(double);

	if (array == NULL)
	{
		array = MemoryContextAllocHuge(context, bytes);
		array->used = 0;
		array->ordered = 0;
		array->placed = 0;
		array->elsewhere = NULL;
	}
	else
		array = repalloc_huge(array, bytes);
	array->size = size;
	return array;
}

/*
 * value_array_append
 *		Adds n values to an array, or to a new one in `context` if `array` is
 *		NULL.
 *
 * Returns the array, which may have moved.  ERROR as of value_array_grow().
 */
ValueArray *
value_array_append(ValueArray *array, const double *values, uint32 n, MemoryContext context)
{
	uint64		needed = (array ? array->used : 0) + (uint64) n;

	if (array == NULL || needed > array->size)
		array = value_array_grow(array, needed, context);
	memcpy(array->values + array->used, values, n * sizeof(double));
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

/*
 * Moves NaNs to the end and returns the number of other values.  Forgets
 * what was known of the order if values have been added since.
 */
static uint32
gather_numbers(ValueArray *array)
{
	double	   *values = array->values;
	uint32		numbers = array->used;

	if (array->ordered == array->used)
	{
		while (numbers > 0 && isnan(values[numbers - 1]))
			numbers--;
		return numbers;
	}

	for (uint32 i = 0; i < numbers;)
	{
		CHECK_FOR_INTERRUPTS();
		if (isnan(values[i]))
		{
			double		nan = values[i];

			values[i] = values[--numbers];
			values[numbers] = nan;
		}
		else
			i++;
	}
	array->ordered = array->used;
	array->placed = array->used;
	return numbers;
}

/*
 * Sorts a few values.  Minimum and maximum are written so that compilers make
 * two instructions of them; of 0 and -0 one may become the other, which makes
 * no difference to anyone.
 */
static void
insertion_sort(double *values, uint32 n)
{
	for (uint32 i = 1; i < n; i++)
	{
		double		x = values[i];

		for (uint32 j = 0; j < i; j++)
		{
			double		low = Min(values[j], x);

			x = Max(values[j], x);
			values[j] = low;
		}
		values[i] = x;
	}
}

/*
 * Brings the values in [from, to) that are less than the pivot (or equal to
 * it, with `or_equal`) before the others; returns where the others begin.
 */
static inline uint32
partition(double *values, uint32 from, uint32 to, double pivot, bool or_equal)
{
	uint32		cut = from;

	for (uint32 i = from; i < to; i++)
	{
		double		x = values[i];

		CHECK_FOR_INTERRUPTS();
		values[i] = values[cut];
		values[cut] = x;
		cut += or_equal ? x <= pivot : x < pivot;
	}
	return cut;
}

/*
 * Splits [from, to): all values before *left_end are less than all others,
 * and all from *right_begin on are not less.  What lies between is equal, and
 * there is some when nothing is less, so that either way less is left to do.
 */
static void
split(double *values, uint32 from, uint32 to, uint32 *left_end, uint32 *right_begin)
{
	double		a = values[from];
	double		b = values[from + (to - from) / 2];
	double		c = values[to - 1];
	double		pivot = Max(Min(a, b), Min(Max(a, b), c));

	*left_end = *right_begin = partition(values, from, to, pivot, false);
	if (*left_end == from)
		*right_begin = partition(values, from, to, pivot, true);
}

/* How often a part of n values may be split. */
static int
split_budget(uint32 n)
{
	return n > 0 ? 2 * pg_leftmost_one_pos32(n) : 0;
}

/*
 * Puts the value that sorting would put there at place k of [from, to), none
 * of which is NaN, smaller ones before and greater ones behind it.
 */
static void
select_place(double *values, uint32 from, uint32 to, uint32 k)
{
	int			budget = split_budget(to - from);

	while (to - from > SMALL_PART)
	{
		uint32		left_end,
					right_begin;

		if (budget-- == 0)
		{
			sort_anyhow(values + from, to - from);
			return;
		}
		split(values, from, to, &left_end, &right_begin);
		if (k < left_end)
			to = left_end;
		else if (k >= right_begin)
			from = right_begin;
		else
			return;
	}
	insertion_sort(values + from, to - from);
}

/*
 * Sorts [from, to), none of which is NaN.  Calls itself no deeper than the
 * budget.
 */
static void
sort_part(double *values, uint32 from, uint32 to, int budget)
{
	while (to - from > SMALL_PART)
	{
		uint32		left_end,
					right_begin;

		if (budget-- == 0)
		{
			sort_anyhow(values + from, to - from);
			return;
		}
		split(values, from, to, &left_end, &right_begin);
		sort_part(values, from, left_end, budget);
		from = right_begin;
	}
	insertion_sort(values + from, to - from);
}

/*
 * Puts the value that sorting would put there at place k of an array, and
 * remembers that it did.
 */
static void
place_value(ValueArray *array, uint32 k, uint32 numbers)
{
	uint32		from = 0;
	uint32		to = numbers;

	if (k >= numbers || array->placed == PLACED_ALL || array->placed == k)
		return;
	if (k < array->placed)
		to = Min(array->placed, numbers);
	else
		from = array->placed + 1;

	if (numbers <= SMALL_PART)
	{
		insertion_sort(array->values, numbers);
		array->placed = PLACED_ALL;
		return;
	}

	/* What is known now may not survive an interrupted selection. */
	array->ordered = 0;
	select_place(array->values, from, to, k);
	array->ordered = array->used;
	array->placed = k;
}

/*
 * The value that follows the one at place k, once that is placed, in sorted
 * order.
 */
static double
value_after(const ValueArray *array, uint32 k, uint32 numbers)
{
	double		least = array->values[k + 1];

	if (array->placed == PLACED_ALL)
		return least;
	for (uint32 i = k + 2; i < numbers; i++)
	{
		CHECK_FOR_INTERRUPTS();
		least = Min(least, array->values[i]);
	}
	return least;
}

/*
 * The value that sorting would put at place k of an array, and (with_next) the
 * one that would follow it.
 */
static void
select_values(ValueArray *array, uint64 k, bool with_next, double *value, double *next)
{
	const SortedValues *elsewhere = array->elsewhere;
	uint32		numbers;

	if (elsewhere != NULL)
	{
		*value = elsewhere->at(elsewhere, k);
		*next = with_next ? elsewhere->at(elsewhere, k + 1) : *value;
		return;
	}
	numbers = gather_numbers(array);
	place_value(array, k, numbers);
	*value = array->values[k];
	*next = with_next ? value_after(array, k, numbers) : *value;
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
	uint32		numbers = gather_numbers(array);

	if (array->placed == PLACED_ALL)
		return;
	array->ordered = 0;
	sort_part(array->values, 0, numbers, split_budget(numbers));
	array->ordered = array->used;
	array->placed = PLACED_ALL;
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
	uint32		numbers;
	uint64		distinct;

	if (array->elsewhere != NULL)
		return count_distinct_elsewhere(array->elsewhere);
	value_array_sort(array);
	numbers = gather_numbers(array);
	distinct = numbers < array->used ? 1 : 0;
	for (uint32 i = 0; i < numbers; i++)
		distinct += (i == 0 || array->values[i] != array->values[i - 1]);
	return distinct;
}
