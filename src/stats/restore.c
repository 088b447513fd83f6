/*-------------------------------------------------------------------------
 *
 * restore.c
 *	  Partial states made of the results that they once came to.
 *
 * Results may outlive both their rows and their partial states.  What coarser
 * buckets need of them can be had from the results, as far as these say it: the
 * count always, sums to the last bit of a double, extremes exactly, variances to
 * the precision of the mean.  First and last values get the instant of the bucket's
 * start, so that they stand in the right order among those of other buckets.
 *
 * A state may have fields that only some of its aggregates need, and of which the
 * results do not tell: the sum, where nothing but a variance is asked for.  Then the
 * nearest that is known stands for it.
 *
 * A pure room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "stats/restore.h"

/* The results of a metric, to be looked up by aggregate. */
typedef struct KnownResults
{
	const Aggregate *aggregates;
	int			n;
	const double *results;
	const bool *undefined;
} KnownResults;

/* Sets *result where an aggregate is known and defined; else returns false. */
static bool
known(const KnownResults *all, AggregateKind kind, double *result)
{
	int			i;

	for (i = 0; i < all->n; i++)
		if (all->aggregates[i].kind == kind && !all->undefined[i])
		{
			*result = all->results[i];
			return true;
		}
	return false;
}

/* Notes which special values were among those that the results came of. */
static void
restore_special(State state, const KnownResults *all)
{
	static const AggregateKind telling[] = {
		AGGREGATE_SUM, AGGREGATE_AVG, AGGREGATE_MIN, AGGREGATE_MAX, AGGREGATE_FIRST, AGGREGATE_LAST
	};
	double		x;
	int			i;

	for (i = 0; i < lengthof(telling); i++)
		if (known(all, telling[i], &x) && !isfinite(x))
			state_mark_special(state, x);
}

/* The mean of the values, or what is nearest to it. */
static double
restore_mean(const KnownResults *all, int64 count)
{
	double		x;
	double		y;

	if (known(all, AGGREGATE_AVG, &x) && isfinite(x))
		return x;
	if (known(all, AGGREGATE_SUM, &x) && isfinite(x))
		return x / count;
	if (known(all, AGGREGATE_MIN, &x) && known(all, AGGREGATE_MAX, &y) && isfinite(x) &&
		isfinite(y))
		return x / 2 + y / 2;
	if (known(all, AGGREGATE_LAST, &x) && isfinite(x))
		return x;
	return 0;
}

/* The sum of squares around the mean. */
static double
restore_squares(const KnownResults *all, int64 count)
{
	double		x;

	if (known(all, AGGREGATE_VAR_POP, &x) && isfinite(x))
		return x * count;
	if (known(all, AGGREGATE_STDDEV_POP, &x) && isfinite(x))
		return x * x * count;
	if (known(all, AGGREGATE_VAR, &x) && isfinite(x))
		return x * (count - 1);
	if (known(all, AGGREGATE_STD, &x) && isfinite(x))
		return x * x * (count - 1);
	return 0;
}

/* Puts the extremes into a state that has none; of a range alone, it is from 0 on. */
static void
restore_extremes(State state, int word, const KnownResults *all)
{
	StateWord  *least = state_at(state, word);
	StateWord  *greatest = state_at(state, word + 1);
	double		range;
	double		x;

	if (known(all, AGGREGATE_MIN, &x) && isfinite(x))
		least->x = x;
	if (known(all, AGGREGATE_MAX, &x) && isfinite(x))
		greatest->x = x;
	if (!known(all, AGGREGATE_RANGE, &range) || !isfinite(range))
		return;
	if (isfinite(least->x))
		greatest->x = least->x + range;
	else if (isfinite(greatest->x))
		least->x = greatest->x - range;
	else
	{
		least->x = 0;
		greatest->x = range;
	}
}

/* Likewise the first and the last value. */
static void
restore_ends(State state, int word, const KnownResults *all, TimestampTz bucket)
{
	double		first = 0;
	double		last = 0;
	double		delta;
	bool		has_first = known(all, AGGREGATE_FIRST, &first);
	bool		has_last = known(all, AGGREGATE_LAST, &last);

	if (known(all, AGGREGATE_DELTA, &delta) && has_first != has_last)
	{
		if (has_first)
			last = first + delta;
		else
			first = last - delta;
	}
	else if (!has_first && known(all, AGGREGATE_DELTA, &delta))
		last = delta;
	else if (!has_first)
		first = last;
	else if (!has_last)
		last = first;
	state_add_end(state, word, first, bucket, true);
	state_add_end(state, word, last, bucket + 1, false);
}

/*
 * Sets a state that has `fields` to one that comes to the results of `n` aggregates,
 * those that are not undefined, over `count` values of a bucket.
 */
void
state_restore(State state, uint32 fields, const Aggregate *aggregates, int n,
			  const double *results, const bool *undefined, int64 count, TimestampTz bucket)
{
	KnownResults all = {aggregates, n, results, undefined};
	double		mean;
	double		x;

	state_init(state, fields);
	if (fields & FIELD_ROWS)
		state_at(state, 1)->n = count > 0 ? count : known(&all, AGGREGATE_COUNT, &x);
	if (count == 0)
		return;
	mean = restore_mean(&all, count);
	if (fields & FIELD_ENDS)
		restore_ends(state, state_word(fields, FIELD_ENDS), &all, bucket);
	state.words->n = count;
	restore_special(state, &all);
	if (fields & FIELD_SUM)
		state_at(state, state_word(fields, FIELD_SUM))->x =
			known(&all, AGGREGATE_SUM, &x) && isfinite(x) ? x : mean * count;
	if (fields & FIELD_SQUARES)
	{
		int			shift = state_word(fields, FIELD_SQUARES);

		state_at(state, shift)->x = mean;
		state_at(state, shift + 1)->x = restore_squares(&all, count);
	}
	if (fields & FIELD_EXTREMES)
		restore_extremes(state, state_word(fields, FIELD_EXTREMES), &all);
}
