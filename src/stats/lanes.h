/*-------------------------------------------------------------------------
 *
 * lanes.h
 *	  The loops over the lanes of a span: a part of span.c that is compiled for
 *	  several kinds of processors.
 *
 * To be defined: LANES_NAME(name), the name of a function for this kind, and
 * LANES_HAVE_FMA where it can multiply and add in one instruction and has
 * registers of four doubles.
 *
 *-------------------------------------------------------------------------
 */

static pg_attribute_always_inline Doubles
LANES_NAME(root) (Doubles a)
{
#ifdef LANES_HAVE_FMA
	return (Doubles) _mm256_sqrt_pd((__m256d) a);
#else
	Doubles		r;
	int			i;

	for (i = 0; i < LANES; i++)
		r[i] = sqrt(a[i]);
	return r;
#endif
}

static pg_attribute_always_inline bool
LANES_NAME(any) (Words mask)
{
#ifdef LANES_HAVE_FMA
	return !_mm256_testz_si256((__m256i) mask, (__m256i) mask);
#else
	return (mask[0] | mask[1] | mask[2] | mask[3]) != 0;
#endif
}

/* The arithmetic of state.h and state.c, in lanes. */
typedef struct LANES_NAME (DoubleDoubles)
{
	Doubles		high;
	Doubles		low;
} LANES_NAME(DoubleDoubles);

#define DoubleDoubles LANES_NAME(DoubleDoubles)

static pg_attribute_always_inline Doubles
LANES_NAME(sum_errors) (Doubles a, Doubles b, Doubles t)
{
	Doubles		z = t - a;

	return (a - (t - z)) + (b - z);
}

static pg_attribute_always_inline Doubles
LANES_NAME(product_errors) (Doubles a, Doubles b, Doubles p)
{
#ifdef LANES_HAVE_FMA
	return (Doubles) _mm256_fmsub_pd((__m256d) a, (__m256d) b, (__m256d) p);
#else
	Doubles		a_upper =
	(Doubles) (((Words) a + (int64) LOWER_HALF_MIDDLE) & (int64) ~LOWER_HALF_BITS);
	Doubles		b_upper =
	(Doubles) (((Words) b + (int64) LOWER_HALF_MIDDLE) & (int64) ~LOWER_HALF_BITS);
	Doubles		a_lower = a - a_upper;
	Doubles		b_lower = b - b_upper;

	return ((a_upper * b_upper - p) + (a_upper * b_lower + a_lower * b_upper)) +
		a_lower * b_lower;
#endif
}

static pg_attribute_always_inline DoubleDoubles
LANES_NAME(exact_sums) (Doubles a, Doubles b)
{
	DoubleDoubles r;

	r.high = a + b;
	r.low = LANES_NAME(sum_errors) (a, b, r.high);
	return r;
}

static pg_attribute_always_inline DoubleDoubles
LANES_NAME(exact_products) (Doubles a, Doubles b)
{
	DoubleDoubles r;

	r.high = a * b;
	r.low = LANES_NAME(product_errors) (a, b, r.high);
	return r;
}

static pg_attribute_always_inline DoubleDoubles
LANES_NAME(dd_sums) (DoubleDoubles a, DoubleDoubles b)
{
	DoubleDoubles r = LANES_NAME(exact_sums) (a.high, b.high);

	return LANES_NAME(exact_sums) (r.high, r.low + (a.low + b.low));
}

static pg_attribute_always_inline DoubleDoubles
LANES_NAME(dd_products) (DoubleDoubles a, DoubleDoubles b)
{
	DoubleDoubles r = LANES_NAME(exact_products) (a.high, b.high);

	return LANES_NAME(exact_sums) (r.high, r.low + (a.high * b.low + a.low * b.high));
}

static pg_attribute_always_inline DoubleDoubles
LANES_NAME(dd_load) (State states, int word)
{
	DoubleDoubles r;

	r.high = LANES_DOUBLES(states, word);
	r.low = LANES_DOUBLES(states, word + 1);
	return r;
}

/* Numbers of values, special ones included. */
static pg_attribute_always_inline Words
LANES_NAME(counts) (State states)
{
	return LANES_WORDS(states, 0) & (int64) ~STATE_SAW_SPECIAL;
}

static pg_attribute_always_inline DoubleDoubles
LANES_NAME(sums_around_shift) (State states, uint32 fields)
{
	Doubles		shift = LANES_DOUBLES(states, state_word(fields, FIELD_SQUARES));
	Doubles		n = __builtin_convertvector(LANES_NAME(counts) (states), Doubles);

	return LANES_NAME(dd_sums) (LANES_NAME(dd_load) (states, state_word(fields, FIELD_SUM)),
								LANES_NAME(exact_products) (-shift, n));
}

/*
 * Adds the values whose lanes are in the mask `present` to states; a row counts
 * in the lanes of the mask `taken`.  Returns in which lanes the value is special:
 * these are left alone.
 */
static pg_attribute_always_inline Words
LANES_NAME(add) (State states, uint32 fields, const double *values, Words present, Words taken)
{
	Doubles		value = *(const Doubles *) values;
	Words		finite = LANES_ARE_FINITE(value);
	Words		special = {0};
	Words		none_before = (LANES_WORDS(states, 0) == 0);
	Doubles		x;

	if (fields & (FIELD_SUM | FIELD_SQUARES | FIELD_EXTREMES))
	{
		special = present & ~finite;
		present &= finite;
	}
	x = LANES_KEEP(present, value);
	LANES_WORDS(states, 0) -= present;
	if (fields & FIELD_ROWS)
		LANES_WORDS(states, state_word(fields, FIELD_ROWS)) -= taken;
	if (fields & FIELD_SUM)
	{
		int			sum = state_word(fields, FIELD_SUM);
		Doubles		before = LANES_DOUBLES(states, sum);
		Doubles		after = before + x;

		LANES_DOUBLES(states, sum) = after;
		LANES_DOUBLES(states, sum + 1) += LANES_NAME(sum_errors) (before, x, after);
	}
	if (fields & FIELD_SQUARES)
	{
		int			shift = state_word(fields, FIELD_SQUARES);
		Doubles		around = LANES_CHOOSE(none_before & present, x, LANES_DOUBLES(states, shift));
		Doubles		d = x - around;
		Doubles		d_error = LANES_KEEP(present, LANES_NAME(sum_errors) (x, -around, d));
		Doubles		square;
		Doubles		before = LANES_DOUBLES(states, shift + 1);
		Doubles		after;

		d = LANES_KEEP(present, d);
		square = d * d;
		after = before + square;
		LANES_DOUBLES(states, shift) = around;
		LANES_DOUBLES(states, shift + 1) = after;
		LANES_DOUBLES(states, shift + 2) += LANES_NAME(sum_errors) (before, square, after) +
			(LANES_NAME(product_errors) (d, d, square) + 2 * d * d_error);
	}
	if (fields & FIELD_EXTREMES)
	{
		int			extremes = state_word(fields, FIELD_EXTREMES);
		Doubles		least = LANES_DOUBLES(states, extremes);
		Doubles		greatest = LANES_DOUBLES(states, extremes + 1);

		LANES_DOUBLES(states, extremes) = LANES_CHOOSE(present & (x < least), x, least);
		LANES_DOUBLES(states, extremes + 1) = LANES_CHOOSE(present & (x > greatest), x, greatest);
	}
	return special;
}

/* In which lanes there is a value. */
static pg_attribute_always_inline Words
LANES_NAME(present) (const bool *nulls, int at)
{
	Words		all = {-1, -1, -1, -1};

	if (nulls == NULL)
		return all;
	nulls += at;
	return all + (Words) {nulls[0], nulls[1], nulls[2], nulls[3]};
}

/* An AddRow for spans of these fields that have lanes. */
static pg_attribute_always_inline void
LANES_NAME(add_row) (const MetricSpan *span, uint32 fields, StateWord *states,
					 const double *values, const bool *nulls, TimestampTz t,
					 MemoryContext values_context)
{
	Words		special = {0};
	int			i;

	if (fields & (FIELD_ENDS | FIELD_VALUES))
		span_add_rest(span, states, values, nulls, t, values_context);
	for (i = 0; i + LANES <= span->n; i += LANES)
		special |= LANES_NAME(add) (span_state(span, states, i), fields, values + i,
									LANES_NAME(present) (nulls, i), LANES_FROM(0));
	if (i < span->n)
	{
		int			last = span->n - LANES;
		Words		left = LANES_FROM(i - last);

		special |= LANES_NAME(add) (span_state(span, states, last), fields, values + last,
									LANES_NAME(present) (nulls, last) & left, left);
	}
	if (unlikely(LANES_NAME(any) (special)))
		span_add_specials(span, states, values, nulls);
}

/* Merges the lanes of the mask; see state_merge(). */
static pg_attribute_always_inline void
LANES_NAME(merge_some) (State into, State from, uint32 fields, Words mask)
{
	Words		count = LANES_WORDS(into, 0);
	Words		other_count = LANES_WORDS(from, 0);

	if (fields & FIELD_ROWS)
		LANES_WORDS(into, 1) += LANES_WORDS(from, 1) & mask;
	mask &= (other_count != 0);
	if (fields & FIELD_SQUARES)
	{
		int			shift = state_word(fields, FIELD_SQUARES);
		Doubles		around = LANES_DOUBLES(from, shift);
		Doubles		own = LANES_CHOOSE(mask & (count == 0), around, LANES_DOUBLES(into, shift));
		DoubleDoubles d = LANES_NAME(exact_sums) (own, -around);
		DoubleDoubles minus_d = {-d.high, -d.low};
		DoubleDoubles minus_n = {
			-__builtin_convertvector(LANES_NAME(counts) (from), Doubles), {0}
		};
		DoubleDoubles t = LANES_NAME(sums_around_shift) (from, fields);
		DoubleDoubles squares = LANES_NAME(dd_load) (from, shift + 1);

		t = LANES_NAME(dd_sums) (LANES_NAME(dd_sums) (t, t),
								 LANES_NAME(dd_products) (minus_n, d));
		squares = LANES_NAME(dd_sums) (squares, LANES_NAME(dd_products) (minus_d, t));
		squares = LANES_NAME(dd_sums) (LANES_NAME(dd_load) (into, shift + 1), squares);
		LANES_DOUBLES(into, shift) = own;
		LANES_DOUBLES(into, shift + 1) =
			LANES_CHOOSE(mask, squares.high, LANES_DOUBLES(into, shift + 1));
		LANES_DOUBLES(into, shift + 2) =
			LANES_CHOOSE(mask, squares.low, LANES_DOUBLES(into, shift + 2));
	}
	if (fields & FIELD_SUM)
	{
		int			sum = state_word(fields, FIELD_SUM);
		DoubleDoubles total = LANES_NAME(dd_sums) (LANES_NAME(dd_load) (into, sum),
												   LANES_NAME(dd_load) (from, sum));

		LANES_DOUBLES(into, sum) = LANES_CHOOSE(mask, total.high, LANES_DOUBLES(into, sum));
		LANES_DOUBLES(into, sum + 1) =
			LANES_CHOOSE(mask, total.low, LANES_DOUBLES(into, sum + 1));
	}
	if (fields & FIELD_EXTREMES)
	{
		int			extremes = state_word(fields, FIELD_EXTREMES);
		Doubles		least = LANES_DOUBLES(into, extremes);
		Doubles		greatest = LANES_DOUBLES(into, extremes + 1);
		Doubles		other_least = LANES_DOUBLES(from, extremes);
		Doubles		other_greatest = LANES_DOUBLES(from, extremes + 1);

		LANES_DOUBLES(into, extremes) = LANES_CHOOSE(other_least < least, other_least, least);
		LANES_DOUBLES(into, extremes + 1) =
			LANES_CHOOSE(other_greatest > greatest, other_greatest, greatest);
	}
	LANES_WORDS(into, 0) =
		((count & (int64) ~STATE_SAW_SPECIAL) + (LANES_NAME(counts) (from) & mask)) |
		((count | (other_count & mask)) & (int64) STATE_SAW_SPECIAL);
}

static void
LANES_NAME(merge) (const MetricSpan *span, StateWord *into, StateWord *from)
{
	int			i;

	for (i = 0; i + LANES <= span->n; i += LANES)
		LANES_NAME(merge_some) (span_state(span, into, i), span_state(span, from, i),
								span->fields, LANES_FROM(0));
	if (i < span->n)
	{
		int			last = span->n - LANES;

		LANES_NAME(merge_some) (span_state(span, into, last), span_state(span, from, last),
								span->fields, LANES_FROM(i - last));
	}
}

/* Summed squared deviations from the mean; see state.c. */
static pg_attribute_always_inline Doubles
LANES_NAME(sum_deviations) (State states, uint32 fields, Doubles n)
{
	DoubleDoubles squares =
	LANES_NAME(dd_load) (states, state_word(fields, FIELD_SQUARES) + 1);
	DoubleDoubles t = LANES_NAME(sums_around_shift) (states, fields);
	Doubles		q = t.high / n;
	DoubleDoubles back = LANES_NAME(exact_products) (q, n);
	Doubles		r = ((t.high - back.high) - back.low) + t.low;
	DoubleDoubles by_mean = LANES_NAME(exact_products) (q, t.high);
	DoubleDoubles m = LANES_NAME(exact_sums) (squares.high, -by_mean.high);

	by_mean.low += q * (t.low + r);
	return m.high + (m.low + (squares.low - by_mean.low));
}

/*
 * Finishes the states of four metrics; see span_finish().
 */
static pg_attribute_always_inline bool
LANES_NAME(finish_some) (State states, uint32 fields, const Aggregate *aggregates,
						 int naggregates, double *results)
{
	Words		count = LANES_WORDS(states, 0);
	Doubles		n = __builtin_convertvector(count, Doubles);
	Doubles		total = {0};
	Doubles		deviations = {0};
	Words		least_count = {1, 1, 1, 1};
	Words		bad = {0};
	int			extremes = state_word(fields, FIELD_EXTREMES);
	int			i;
	int			j;

	if (fields & FIELD_SUM)
	{
		int			sum = state_word(fields, FIELD_SUM);

		total = LANES_DOUBLES(states, sum) + LANES_DOUBLES(states, sum + 1);
		bad |= ~LANES_ARE_FINITE(total);
	}
	if (fields & FIELD_SQUARES)
	{
		deviations = LANES_NAME(sum_deviations) (states, fields, n);
		bad |= ~LANES_ARE_FINITE(deviations);
		deviations = LANES_KEEP(deviations > 0, deviations);
	}
	for (i = 0; i < naggregates; i++)
	{
		Doubles		result = {0};

		switch (aggregates[i].kind)
		{
			case AGGREGATE_SUM:
				result = total;
				break;
			case AGGREGATE_AVG:
				result = total / n;
				break;
			case AGGREGATE_COUNT:
				result = n;
				break;
			case AGGREGATE_MIN:
				result = LANES_DOUBLES(states, extremes);
				break;
			case AGGREGATE_MAX:
				result = LANES_DOUBLES(states, extremes + 1);
				break;
			case AGGREGATE_RANGE:
				result = LANES_DOUBLES(states, extremes + 1) - LANES_DOUBLES(states, extremes);
				break;
			case AGGREGATE_STD:
				result = LANES_NAME(root) (deviations / (n - 1));
				least_count = (Words) {2, 2, 2, 2};
				break;
			case AGGREGATE_VAR:
				result = deviations / (n - 1);
				least_count = (Words) {2, 2, 2, 2};
				break;
			case AGGREGATE_STDDEV_POP:
				result = LANES_NAME(root) (deviations / n);
				break;
			case AGGREGATE_VAR_POP:
				result = deviations / n;
				break;
			default:
				return false;
		}
		bad |= ~LANES_ARE_FINITE(result);
		result += 0.0;
		for (j = 0; j < LANES; j++)
			results[j * naggregates + i] = result[j];
	}

	/* With its bits of special values, a count is negative or very great. */
	bad |= (count < least_count) | (count >= (int64) STATE_SAW_MINUS_INF);
	return !LANES_NAME(any) (bad);
}

static bool
LANES_NAME(finish) (const MetricSpan *span, State states, int n, const Aggregate *aggregates,
					int naggregates, double *results)
{
	bool		good = true;
	int			i;

	for (i = 0; i < n && good; i += LANES)
	{
		int			at = Min(i, n - LANES);
		State		four = {states.words + at, states.stride};

		good = LANES_NAME(finish_some) (four, span->fields, aggregates, naggregates,
										results + at * naggregates);
	}
	return good;
}

#undef DoubleDoubles
