/*-------------------------------------------------------------------------
 *
 * select.h
 *	  Selection and sorting in arrays of values of one width: what quantile.c has
 *	  twice.
 *
 * Included with VALUE, the type of the values, and SELECT_NAME(), which makes
 * names of functions.  The essay stands at the top of quantile.c.
 *
 *-------------------------------------------------------------------------
 */

#define VALUES(array) ((VALUE *) (array)->values)

#define ST_SORT SELECT_NAME(sort_anyhow)
#define ST_ELEMENT_TYPE VALUE
#define ST_COMPARE(a, b) ((*(a) > *(b)) - (*(a) < *(b)))
#define ST_CHECK_FOR_INTERRUPTS
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * Moves NaNs to the end and returns the number of other values.  Forgets
 * what was known of the order if values have been added since.
 */
static uint32
SELECT_NAME(gather_numbers) (ValueArray *array)
{
	VALUE	   *values = VALUES(array);
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
			VALUE		nan = values[i];

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
SELECT_NAME(insertion_sort) (VALUE * values, uint32 n)
{
	for (uint32 i = 1; i < n; i++)
	{
		VALUE		x = values[i];

		for (uint32 j = 0; j < i; j++)
		{
			VALUE		low = Min(values[j], x);

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
SELECT_NAME(partition) (VALUE * values, uint32 from, uint32 to, VALUE pivot, bool or_equal)
{
	uint32		cut = from;

	for (uint32 i = from; i < to; i++)
	{
		VALUE		x = values[i];

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
SELECT_NAME(split) (VALUE * values, uint32 from, uint32 to, uint32 *left_end, uint32 *right_begin)
{
	VALUE		a = values[from];
	VALUE		b = values[from + (to - from) / 2];
	VALUE		c = values[to - 1];
	VALUE		pivot = Max(Min(a, b), Min(Max(a, b), c));

	*left_end = *right_begin = SELECT_NAME(partition) (values, from, to, pivot, false);
	if (*left_end == from)
		*right_begin = SELECT_NAME(partition) (values, from, to, pivot, true);
}

/*
 * Puts the value that sorting would put there at place k of [from, to), none
 * of which is NaN, smaller ones before and greater ones behind it.
 */
static void
SELECT_NAME(select_place) (VALUE * values, uint32 from, uint32 to, uint32 k)
{
	int			budget = split_budget(to - from);

	while (to - from > SMALL_PART)
	{
		uint32		left_end,
					right_begin;

		if (budget-- == 0)
		{
			SELECT_NAME(sort_anyhow) (values + from, to - from);
			return;
		}
		SELECT_NAME(split) (values, from, to, &left_end, &right_begin);
		if (k < left_end)
			to = left_end;
		else if (k >= right_begin)
			from = right_begin;
		else
			return;
	}
	SELECT_NAME(insertion_sort) (values + from, to - from);
}

/*
 * Sorts [from, to), none of which is NaN.  Calls itself no deeper than the
 * budget.
 */
static void
SELECT_NAME(sort_part) (VALUE * values, uint32 from, uint32 to, int budget)
{
	while (to - from > SMALL_PART)
	{
		uint32		left_end,
					right_begin;

		if (budget-- == 0)
		{
			SELECT_NAME(sort_anyhow) (values + from, to - from);
			return;
		}
		SELECT_NAME(split) (values, from, to, &left_end, &right_begin);
		SELECT_NAME(sort_part) (values, from, left_end, budget);
		from = right_begin;
	}
	SELECT_NAME(insertion_sort) (values + from, to - from);
}

/*
 * Puts the value that sorting would put there at place k of an array, and
 * remembers that it did.
 */
static void
SELECT_NAME(place_value) (ValueArray *array, uint32 k, uint32 numbers)
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
		SELECT_NAME(insertion_sort) (VALUES(array), numbers);
		array->placed = PLACED_ALL;
		return;
	}

	/* What is known now may not survive an interrupted selection. */
	array->ordered = 0;
	SELECT_NAME(select_place) (VALUES(array), from, to, k);
	array->ordered = array->used;
	array->placed = k;
}

/*
 * The value that follows the one at place k, once that is placed, in sorted
 * order.
 */
static VALUE
SELECT_NAME(value_after) (const ValueArray *array, uint32 k, uint32 numbers)
{
	VALUE		least = VALUES(array)[k + 1];

	if (array->placed == PLACED_ALL)
		return least;
	for (uint32 i = k + 2; i < numbers; i++)
	{
		CHECK_FOR_INTERRUPTS();
		least = Min(least, VALUES(array)[i]);
	}
	return least;
}

/*
 * The value that sorting would put at place k of an array, and (with_next) the
 * one that would follow it.
 */
static void
SELECT_NAME(select_values) (ValueArray *array, uint32 k, bool with_next,
							double *value, double *next)
{
	uint32		numbers = SELECT_NAME(gather_numbers) (array);

	SELECT_NAME(place_value) (array, k, numbers);
	*value = VALUES(array)[k];
	*next = with_next ? SELECT_NAME(value_after) (array, k, numbers) : *value;
}

/* Sorts an array, NaNs to the end. */
static void
SELECT_NAME(sort) (ValueArray *array)
{
	uint32		numbers = SELECT_NAME(gather_numbers) (array);

	if (array->placed == PLACED_ALL)
		return;
	array->ordered = 0;
	SELECT_NAME(sort_part) (VALUES(array), 0, numbers, split_budget(numbers));
	array->ordered = array->used;
	array->placed = PLACED_ALL;
}

/* How many distinct values a sorted array has. */
static uint64
SELECT_NAME(count_distinct) (ValueArray *array)
{
	const		VALUE *values = VALUES(array);
	uint32		numbers = SELECT_NAME(gather_numbers) (array);
	uint64		distinct = numbers < array->used ? 1 : 0;

	for (uint32 i = 0; i < numbers; i++)
		distinct += (i == 0 || values[i] != values[i - 1]);
	return distinct;
}

#undef VALUE
#undef VALUES
#undef SELECT_NAME
