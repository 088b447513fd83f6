/*-------------------------------------------------------------------------
 *
 * state.h
 *	  Partial states: what a group remembers of one metric's values.
 *
 * A partial state is a few eight-byte words.  The first word is always there:
 * the number of values, and in its top bits which of NaN, +infinity and
 * -infinity occurred.  The others follow in a fixed order, and only those that
 * the asked aggregates need ("fields").  They follow at a distance (stride), so
 * that states of several metrics can lie side by side: all their first words,
 * then all their second words, and so on (span.h).
 *
 * Inline functions take `fields` as an argument: called with a constant, the
 * compiler folds every test and offset away, and that is how the engine's inner
 * loops are specialised.
 *
 * A pure room.  The essay on the arithmetic stands at the top of state.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_STATE_H
#define BATCHAGG_STATE_H

#include <math.h>

#include "datatype/timestamp.h"

#include "stats/aggregate.h"
#include "stats/quantile.h"

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || __FINITE_MATH_ONLY__
#error "batchagg's sums are exact only where floating point is as written: compile without -ffast-math, -Ofast and the like"
#endif

/*
 * Nearly every x86-64 processor can multiply and add in one instruction, and
 * has registers of four doubles, but the compiler may use them only in variants
 * of functions that are made for those processors.
 */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HAVE_FMA_VARIANT
#endif

/* Fields: which words a state has behind its first one, in this order. */
#define FIELD_ROWS		0x01	/* rows seen, NULL values included */
#define FIELD_SUM		0x02	/* sum and its error */
#define FIELD_SQUARES	0x04	/* shift, squares around it and their error; needs FIELD_SUM */
#define FIELD_EXTREMES	0x08	/* min and max of the finite values */
#define FIELD_ENDS		0x10	/* first and last by (time, value) */
#define FIELD_VALUES	0x20	/* every value, for percentiles and distinct */

typedef union StateWord
{
	uint64		n;
	double		x;
	TimestampTz t;
	ValueArray *values;
} StateWord;

/* The first word: a count, and which special values were among the counted. */
#define STATE_SAW_NAN		(UINT64CONST(1) << 63)
#define STATE_SAW_PLUS_INF	(UINT64CONST(1) << 62)
#define STATE_SAW_MINUS_INF	(UINT64CONST(1) << 61)
#define STATE_SAW_SPECIAL	(STATE_SAW_NAN | STATE_SAW_PLUS_INF | STATE_SAW_MINUS_INF)

/* Where a state is. */
typedef struct State
{
	StateWord  *words;			/* the first one */
	int			stride;			/* from each word to the next, in words */
} State;

/* Index of the first word of `field` in a state that has `fields`. */
static inline int
state_word(uint32 fields, uint32 field)
{
	int			at = 1;

	if ((fields & FIELD_ROWS) && field > FIELD_ROWS)
		at += 1;
	if ((fields & FIELD_SUM) && field > FIELD_SUM)
		at += 2;
	if ((fields & FIELD_SQUARES) && field > FIELD_SQUARES)
		at += 3;
	if ((fields & FIELD_EXTREMES) && field > FIELD_EXTREMES)
		at += 2;
	if ((fields & FIELD_ENDS) && field > FIELD_ENDS)
		at += 4;
	return at;
}

/* Length of a state that has `fields`, in words. */
static inline int
state_words(uint32 fields)
{
	return state_word(fields, FIELD_VALUES) + ((fields & FIELD_VALUES) ? 1 : 0);
}

/* A word of a state, by its index. */
static inline StateWord *
state_at(State state, int word)
{
	return state.words + (size_t) word * state.stride;
}

/* The number of values, special ones included. */
static inline uint64
state_count(State state)
{
	return state.words->n & ~STATE_SAW_SPECIAL;
}

extern void state_init(State state, uint32 fields);
extern void state_merge(State into, State from, uint32 fields, MemoryContext values_context);
extern void state_merge_rest(State into, State from, uint32 fields,
							 MemoryContext values_context);

/* What finishing a state for one aggregate came to. */
typedef enum FinishResult
{
	FINISH_VALUE,				/* *result is set */
	FINISH_UNDEFINED,			/* no result: no values, or too few */
	FINISH_OVERFLOW				/* finite values whose result is out of range */
} FinishResult;

extern uint32 aggregate_fields(const Aggregate *aggregate);
extern FinishResult state_finish(State state, uint32 fields, const Aggregate *aggregate,
								 double *result);
extern void state_finish_all(State state, uint32 fields,
							 const Aggregate *aggregates, int n,
							 double *results, FinishResult *finishes);

extern void state_mark_special(State state, double x);
extern void state_add_end(State state, int word, double x, TimestampTz t, bool none_before);

/* Error of the rounded sum t = a + b (Knuth's TwoSum, TAOCP 2, 4.2.2). */
static inline double
two_sum_error(double a, double b, double t)
{
	double		z = t - a;

	return (a - (t - z)) + (b - z);
}

/*
 * A number rounded to the upper half of its 53 bits.  What is left of it has 26
 * bits, as it has a sign too, so that products of all halves are exact.
 */
#define LOWER_HALF_BITS UINT64CONST(0x7FFFFFF)
#define LOWER_HALF_MIDDLE UINT64CONST(0x4000000)

static inline double
upper_half(double a)
{
	union
	{
		double		x;
		uint64		bits;
	}			number = {a};

	number.bits = (number.bits + LOWER_HALF_MIDDLE) & ~LOWER_HALF_BITS;
	return number.x;
}

/*
 * Error of the rounded product p = a * b.  Where multiplying and adding is one
 * instruction, that yields it; elsewhere fma() may be an emulation that takes
 * 20 times as long as products of halves, which are exact (Dekker, 1971).
 */
static inline double
product_error(double a, double b, double p)
{
	double		a_upper;
	double		b_upper;
	double		a_lower;
	double		b_lower;

#if defined(FP_FAST_FMA)
	return fma(a, b, -p);
#elif defined(HAVE_FMA_VARIANT)
	if (__builtin_cpu_supports("fma"))
		return fma(a, b, -p);
#endif
	a_upper = upper_half(a);
	b_upper = upper_half(b);
	a_lower = a - a_upper;
	b_lower = b - b_upper;
	return ((a_upper * b_upper - p) + (a_upper * b_lower + a_lower * b_upper)) +
		a_lower * b_lower;
}

/*
 * Adds one non-null value, seen at instant t, to what a state has of ends and
 * values; to be called before the value is counted.
 */
static inline void
state_add_rest(State state, uint32 fields, double x, TimestampTz t,
			   MemoryContext values_context)
{
	if (fields & FIELD_ENDS)
		state_add_end(state, state_word(fields, FIELD_ENDS), x, t, state.words->n == 0);
	if (fields & FIELD_VALUES)
	{
		StateWord  *word = state_at(state, state_word(fields, FIELD_VALUES));

		word->values = value_array_add(word->values, x, values_context);
	}
}

/*
 * Adds one non-null value, seen at instant t, to a state.
 */
static inline void
state_add(State state, uint32 fields, double x, TimestampTz t, MemoryContext values_context)
{
	bool		none_before = (state.words->n == 0);

	state_add_rest(state, fields, x, t, values_context);
	state.words->n++;
	if (!(fields & (FIELD_SUM | FIELD_SQUARES | FIELD_EXTREMES)))
		return;
	if (unlikely(!isfinite(x)))
	{
		state_mark_special(state, x);
		return;
	}

	if (fields & FIELD_SUM)
	{
		StateWord  *sum = state_at(state, state_word(fields, FIELD_SUM));
		StateWord  *sum_error = sum + state.stride;
		double		before = sum->x;

		sum->x = before + x;
		sum_error->x += two_sum_error(before, x, sum->x);
	}
	if (fields & FIELD_SQUARES)
	{
		StateWord  *shift = state_at(state, state_word(fields, FIELD_SQUARES));
		StateWord  *squares = shift + state.stride;
		StateWord  *squares_error = squares + state.stride;
		double		around = none_before ? x : shift->x;
		double		d = x - around;
		double		d_error = two_sum_error(x, -around, d);
		double		square = d * d;
		double		before = squares->x;

		shift->x = around;
		squares->x = before + square;
		squares_error->x += two_sum_error(before, square, squares->x) +
			(product_error(d, d, square) + 2 * d * d_error);
	}
	if (fields & FIELD_EXTREMES)
	{
		StateWord  *least = state_at(state, state_word(fields, FIELD_EXTREMES));
		StateWord  *greatest = least + state.stride;

		least->x = x < least->x ? x : least->x;
		greatest->x = x > greatest->x ? x : greatest->x;
	}
}

#endif							/* BATCHAGG_STATE_H */
