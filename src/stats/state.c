/*-------------------------------------------------------------------------
 *
 * state.c
 *	  Partial states: starting, merging and finishing them.
 *
 * A state is filled value by value by state_add() in state.h, merged with
 * others of the same metric and the same fields, and finished once for each
 * aggregate.  Its words hold all of it but the values kept for percentiles,
 * which are one array: whoever writes a state out writes both.
 *
 * Sums.  Adding a value to a double loses what does not fit; TwoSum (Knuth,
 * TAOCP 2, 4.2.2) yields exactly what was lost, and a second word adds that
 * up, as Neumaier (1974) does.  The two together are the sum to twice the
 * precision of a double; the one rounding at the end leaves it within 1 ulp
 * unless nearly everything cancels.
 *
 * Squares.  The usual running variance divides once a value.  Instead squares
 * are taken around a shift (Chan, Golub, LeVeque, "Algorithms for computing
 * the sample variance", 1983), which is the group's first value: for n values
 * with sum S, shift s and Q = sum of (x - s)^2, the squared deviations from
 * the mean sum up to
 *		M = Q - T^2 / n,	T = S - n s.
 * Cancellation is what hurts here, and Q / M measures it.  It is
 * 1 + n (s - mean)^2 / M; the shift being one of the values, M is at least
 * (s - mean)^2, so Q / M is at most 1 + n however far all values are from
 * zero, and a small number unless the first value is an outlier.  Q is kept
 * to twice the precision of a double, as sums are: the rounding errors of
 * x - s, of its square and of adding that go into a word of their own.  T and
 * M are computed to that precision too.  So M is right to the last bit but for
 * rare ties, whatever the order of the values and the way they were merged,
 * and any two plans that read the same rows store the same bits.  What
 * rounding may leave below zero is zero.
 *
 * Special values.  NaN and infinities are counted, but kept out of sums,
 * squares and extremes, whose finite part stays meaningful; the count's top
 * bits say which have been seen, and finishing composes what PostgreSQL
 * answers for such input.  Values kept for percentiles, and ends, include
 * them.
 *
 * A result that leaves the range of double though all values were finite is
 * an overflow, where PostgreSQL raises an error; an average or a deviation
 * whose sum overflows is one too.
 *
 * All of this relies on IEEE arithmetic as written, so never on -ffast-math.
 * Multiplications fused with additions do no harm, but results are the same
 * bits on every machine only without them (-ffp-contract=off).
 *
 * A pure room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/float.h"

#include "stats/state.h"

/* A number as the unevaluated sum of two doubles, the second being small. */
typedef struct DoubleDouble
{
	double		high;
	double		low;
} DoubleDouble;

/* a + b exactly, unless out of range. */
static inline DoubleDouble
exact_sum(double a, double b)
{
	DoubleDouble r;

	r.high = a + b;
	r.low = two_sum_error(a, b, r.high);
	return r;
}

/* a * b exactly, unless out of range. */
static inline DoubleDouble
exact_product(double a, double b)
{
	DoubleDouble r;

	r.high = a * b;
	r.low = product_error(a, b, r.high);
	return r;
}

/*
 * Sum and product in double-double (Dekker, "A floating-point technique for
 * extending the available precision", 1971).
 */
static inline DoubleDouble
dd_sum(DoubleDouble a, DoubleDouble b)
{
	DoubleDouble r = exact_sum(a.high, b.high);

	return exact_sum(r.high, r.low + (a.low + b.low));
}

static inline DoubleDouble
dd_product(DoubleDouble a, DoubleDouble b)
{
	DoubleDouble r = exact_product(a.high, b.high);

	return exact_sum(r.high, r.low + (a.high * b.low + a.low * b.high));
}

/* The number that a word and the next one hold. */
static inline DoubleDouble
dd_load(State state, int word)
{
	DoubleDouble r;

	r.high = state_at(state, word)->x;
	r.low = state_at(state, word + 1)->x;
	return r;
}

static inline void
dd_store(State state, int word, DoubleDouble a)
{
	state_at(state, word)->x = a.high;
	state_at(state, word + 1)->x = a.low;
}

/* Sum of a state's finite values around its shift. */
static DoubleDouble
sum_around_shift(State state, uint32 fields)
{
	double		shift = state_at(state, state_word(fields, FIELD_SQUARES))->x;

	return dd_sum(dd_load(state, state_word(fields, FIELD_SUM)),
				  exact_product(-shift, (double) state_count(state)));
}

/*
 * A state's squares, taken around its shift plus `d` instead: with T as
 * above, Q - d (2 T - n d).
 */
static DoubleDouble
squares_around(State state, uint32 fields, DoubleDouble d)
{
	DoubleDouble t = sum_around_shift(state, fields);
	DoubleDouble squares = dd_load(state, state_word(fields, FIELD_SQUARES) + 1);
	DoubleDouble minus_n = {-(double) state_count(state), 0};
	DoubleDouble minus_d = {-d.high, -d.low};

	return dd_sum(squares, dd_product(minus_d, dd_sum(dd_sum(t, t), dd_product(minus_n, d))));
}

/*
 * state_init
 *		Makes a state of no values.
 */
void
state_init(State state, uint32 fields)
{
	int			i;

	for (i = 0; i < state_words(fields); i++)
		state_at(state, i)->n = 0;
	if (fields & FIELD_EXTREMES)
	{
		int			extremes = state_word(fields, FIELD_EXTREMES);

		state_at(state, extremes)->x = get_float8_infinity();
		state_at(state, extremes + 1)->x = -get_float8_infinity();
	}
}

/*
 * state_mark_special
 *		Notes that x, which is NaN or infinite, was among the values.
 */
void
state_mark_special(State state, double x)
{
	if (isnan(x))
		state.words->n |= STATE_SAW_NAN;
	else
		state.words->n |= x > 0 ? STATE_SAW_PLUS_INF : STATE_SAW_MINUS_INF;
}

/*
 * state_add_end
 *		Lets the value x, seen at instant t, become the first or the last.
 *
 * `word` is the first of FIELD_ENDS: the first value and its instant, the last
 * and its instant.  First is the smallest of the earliest, last the greatest of
 * the latest, whatever the order in which they are added.
 */
void
state_add_end(State state, int word, double x, TimestampTz t, bool none_before)
{
	StateWord  *first = state_at(state, word);
	StateWord  *first_time = state_at(state, word + 1);
	StateWord  *last = state_at(state, word + 2);
	StateWord  *last_time = state_at(state, word + 3);

	if (none_before || t < first_time->t ||
		(t == first_time->t && float8_compare(x, first->x) < 0))
	{
		first->x = x;
		first_time->t = t;
	}
	if (none_before || t > last_time->t ||
		(t == last_time->t && float8_compare(x, last->x) > 0))
	{
		last->x = x;
		last_time->t = t;
	}
}

/*
 * state_merge_rest
 *		Adds what `from` has of ends and values to `into`; to be called before
 *		the counts are added up.  ERROR as of value_array_create().
 *
 * Where values have been taken out of `from` (its array is NULL), others merge
 * them.
 */
void
state_merge_rest(State into, State from, uint32 fields, MemoryContext values_context)
{
	if (from.words->n == 0)
		return;
	if (fields & FIELD_ENDS)
	{
		int			ends = state_word(fields, FIELD_ENDS);

		state_add_end(into, ends, state_at(from, ends)->x, state_at(from, ends + 1)->t,
					  into.words->n == 0);
		state_add_end(into, ends, state_at(from, ends + 2)->x, state_at(from, ends + 3)->t,
					  false);
	}
	if (fields & FIELD_VALUES)
	{
		StateWord  *word = state_at(into, state_word(fields, FIELD_VALUES));
		const ValueArray *others = state_at(from, state_word(fields, FIELD_VALUES))->values;

		if (others != NULL)
			word->values = value_array_append(word->values, others->values, others->wide,
											  others->used, values_context);
	}
}

/*
 * state_merge
 *		Adds all that `from` has seen to `into`; both have the same fields.
 *
 * Equals adding the values themselves: sums and squares differ far below the
 * last bit of a result.  `from` stays as it is and shares nothing with `into`
 * afterwards.  ERROR as of value_array_create().
 */
void
state_merge(State into, State from, uint32 fields, MemoryContext values_context)
{
	int			sum = state_word(fields, FIELD_SUM);
	int			shift = state_word(fields, FIELD_SQUARES);
	int			extremes = state_word(fields, FIELD_EXTREMES);

	if (fields & FIELD_ROWS)
		state_at(into, 1)->n += state_at(from, 1)->n;
	if (from.words->n == 0)
		return;

	state_merge_rest(into, from, fields, values_context);
	if (fields & FIELD_SQUARES)
	{
		double		around = state_at(from, shift)->x;
		DoubleDouble d;

		if (into.words->n == 0)
			state_at(into, shift)->x = around;
		d = exact_sum(state_at(into, shift)->x, -around);
		dd_store(into, shift + 1,
				 dd_sum(dd_load(into, shift + 1), squares_around(from, fields, d)));
	}
	if (fields & FIELD_SUM)
		dd_store(into, sum, dd_sum(dd_load(into, sum), dd_load(from, sum)));
	if (fields & FIELD_EXTREMES)
	{
		StateWord  *least = state_at(into, extremes);
		StateWord  *greatest = state_at(into, extremes + 1);

		least->x = Min(state_at(from, extremes)->x, least->x);
		greatest->x = Max(state_at(from, extremes + 1)->x, greatest->x);
	}
	into.words->n = (state_count(into) + state_count(from)) |
		((into.words->n | from.words->n) & STATE_SAW_SPECIAL);
}

/* What special values make of a sum or an average. */
static double
special_sum(State state)
{
	uint64		saw = state.words->n & STATE_SAW_SPECIAL;

	if (saw == STATE_SAW_PLUS_INF)
		return get_float8_infinity();
	if (saw == STATE_SAW_MINUS_INF)
		return -get_float8_infinity();
	return get_float8_nan();
}

static double
least_value(State state, uint32 fields)
{
	double		least = state_at(state, state_word(fields, FIELD_EXTREMES))->x;

	if (state.words->n & STATE_SAW_MINUS_INF)
		return -get_float8_infinity();
	if (isfinite(least) || (state.words->n & STATE_SAW_PLUS_INF))
		return least;			/* infinity as initialised, if none is finite */
	return get_float8_nan();
}

static double
greatest_value(State state, uint32 fields)
{
	if (state.words->n & STATE_SAW_NAN)
		return get_float8_nan();
	if (state.words->n & STATE_SAW_PLUS_INF)
		return get_float8_infinity();
	return state_at(state, state_word(fields, FIELD_EXTREMES) + 1)->x;
}

/* The sum of all values by `divisor`. */
static inline FinishResult
finish_sum(State state, uint32 fields, double divisor, double *result)
{
	DoubleDouble sum = dd_load(state, state_word(fields, FIELD_SUM));
	double		total = sum.high + sum.low;

	if (state.words->n & STATE_SAW_SPECIAL)
		*result = special_sum(state);
	else if (!isfinite(total))
		return FINISH_OVERFLOW;
	else
		*result = total / divisor;
	return FINISH_VALUE;
}

/*
 * The squared deviations from the mean, summed up: M = Q - T^2 / n.
 *
 * With q, the double nearest to T / n, and r = T - n q, what division left
 * over, T^2 / n is q (T + r) but for r^2 / n, which is far below the last bit.
 */
static double
sum_deviations(State state, uint32 fields)
{
	double		n = (double) state_count(state);
	DoubleDouble squares = dd_load(state, state_word(fields, FIELD_SQUARES) + 1);
	DoubleDouble t = sum_around_shift(state, fields);
	double		q = t.high / n;
	DoubleDouble back = exact_product(q, n);
	double		r = ((t.high - back.high) - back.low) + t.low;
	DoubleDouble by_mean = exact_product(q, t.high);
	DoubleDouble m = exact_sum(squares.high, -by_mean.high);

	by_mean.low += q * (t.low + r);
	return m.high + (m.low + (squares.low - by_mean.low));
}

/*
 * aggregate_fields
 *		The FIELD_* bits a state must have to be finished for an aggregate.
 *
 * FIELD_ROWS is never among them: who keeps states knows whether a group can
 * hold rows that are none of this metric's, and adds it then.
 */
uint32
aggregate_fields(const Aggregate *aggregate)
{
	switch (aggregate->kind)
	{
		case AGGREGATE_COUNT:
			return 0;
		case AGGREGATE_SUM:
		case AGGREGATE_AVG:
			return FIELD_SUM;
		case AGGREGATE_STD:
		case AGGREGATE_VAR:
		case AGGREGATE_STDDEV_POP:
		case AGGREGATE_VAR_POP:
			return FIELD_SUM | FIELD_SQUARES;
		case AGGREGATE_MIN:
		case AGGREGATE_MAX:
		case AGGREGATE_RANGE:
			return FIELD_EXTREMES;
		case AGGREGATE_FIRST:
		case AGGREGATE_LAST:
		case AGGREGATE_DELTA:
			return FIELD_ENDS;
		case AGGREGATE_DISTINCT:
		case AGGREGATE_PERCENTILE:
			return FIELD_VALUES;
	}
	return 0;					/* keep the compiler quiet */
}

/* What several aggregates of one state have in common, computed once. */
typedef struct Shared
{
	bool		known;
	double		deviations;
} Shared;

/*
 * Variance, the summed squared deviations by `divisor`, or its square root.
 */
static inline FinishResult
finish_variance(State state, uint32 fields, double divisor, bool root,
				Shared *shared, double *result)
{
	if (state.words->n & STATE_SAW_SPECIAL)
	{
		*result = get_float8_nan();
		return FINISH_VALUE;
	}
	if (!shared->known)
		shared->deviations = sum_deviations(state, fields);
	shared->known = true;
	if (!isfinite(shared->deviations))
		return FINISH_OVERFLOW;
	*result = Max(shared->deviations, 0) / divisor;
	if (root)
		*result = sqrt(*result);
	return FINISH_VALUE;
}

static FinishResult
finish_difference(double a, double b, double *result)
{
	*result = a - b;
	return isinf(*result) && isfinite(a) && isfinite(b) ? FINISH_OVERFLOW : FINISH_VALUE;
}

/* One aggregate of a state that has values enough. */
static inline FinishResult
finish_values(State state, uint32 fields, const Aggregate *aggregate, Shared *shared,
			  double *result)
{
	double		n = (double) state_count(state);
	int			ends = state_word(fields, FIELD_ENDS);
	ValueArray *values = NULL;

	if (fields & FIELD_VALUES)
		values = state_at(state, state_word(fields, FIELD_VALUES))->values;

	switch (aggregate->kind)
	{
		case AGGREGATE_SUM:
			return finish_sum(state, fields, 1, result);
		case AGGREGATE_AVG:
			return finish_sum(state, fields, n, result);
		case AGGREGATE_COUNT:
			*result = n;
			return FINISH_VALUE;
		case AGGREGATE_MIN:
			*result = least_value(state, fields);
			return FINISH_VALUE;
		case AGGREGATE_MAX:
			*result = greatest_value(state, fields);
			return FINISH_VALUE;
		case AGGREGATE_STD:
			return finish_variance(state, fields, n - 1, true, shared, result);
		case AGGREGATE_VAR:
			return finish_variance(state, fields, n - 1, false, shared, result);
		case AGGREGATE_STDDEV_POP:
			return finish_variance(state, fields, n, true, shared, result);
		case AGGREGATE_VAR_POP:
			return finish_variance(state, fields, n, false, shared, result);
		case AGGREGATE_RANGE:
			return finish_difference(greatest_value(state, fields),
									 least_value(state, fields), result);
		case AGGREGATE_FIRST:
			*result = state_at(state, ends)->x;
			return FINISH_VALUE;
		case AGGREGATE_LAST:
			*result = state_at(state, ends + 2)->x;
			return FINISH_VALUE;
		case AGGREGATE_DELTA:
			return finish_difference(state_at(state, ends + 2)->x, state_at(state, ends)->x,
									 result);
		case AGGREGATE_DISTINCT:
			*result = (double) value_array_distinct(values);
			return FINISH_VALUE;
		case AGGREGATE_PERCENTILE:
			*result = value_array_percentile(values, aggregate->fraction);
			return FINISH_VALUE;
	}
	return FINISH_UNDEFINED;	/* keep the compiler quiet */
}

/* One aggregate of a state. */
static inline FinishResult
finish_one(State state, uint32 fields, const Aggregate *aggregate, Shared *shared,
		   double *result)
{
	uint64		n = state_count(state);
	FinishResult finish;

	if (n == 0)
	{
		if (aggregate->kind != AGGREGATE_COUNT && aggregate->kind != AGGREGATE_DISTINCT)
			return FINISH_UNDEFINED;
		if ((fields & FIELD_ROWS) && state_at(state, 1)->n == 0)
			return FINISH_UNDEFINED;
		*result = 0;
		return FINISH_VALUE;
	}
	if (n == 1 && (aggregate->kind == AGGREGATE_STD || aggregate->kind == AGGREGATE_VAR))
		return FINISH_UNDEFINED;

	finish = finish_values(state, fields, aggregate, shared, result);
	if (finish == FINISH_VALUE)
		*result = isnan(*result) ? get_float8_nan() : *result + 0.0;
	return finish;
}

/*
 * state_finish
 *		Computes one aggregate of what a state has seen, as PostgreSQL's
 *		aggregate of that name does for float8.
 *
 * The state must have the aggregate's fields (aggregate_fields()); it can be
 * finished for further aggregates, added to and merged afterwards.  Counts of
 * no values are 0, or undefined if the state counts rows and saw none.  Other
 * aggregates are undefined without values, sample deviations with one.
 *
 * Results are the same bits whenever they are the same value to PostgreSQL:
 * zero is never negative, and there is one NaN.
 */
FinishResult
state_finish(State state, uint32 fields, const Aggregate *aggregate, double *result)
{
	Shared		shared = {.known = false};

	return finish_one(state, fields, aggregate, &shared, result);
}

/*
 * state_finish_all
 *		Computes `n` aggregates of a state, as state_finish() does, for less
 *		than they cost one by one.
 */
void
state_finish_all(State state, uint32 fields, const Aggregate *aggregates, int n,
				 double *results, FinishResult *finishes)
{
	Shared		shared = {.known = false};

	for (int i = 0; i < n; i++)
		finishes[i] = finish_one(state, fields, &aggregates[i], &shared, &results[i]);
}
