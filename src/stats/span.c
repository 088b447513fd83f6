/*-------------------------------------------------------------------------
 *
 * span.c
 *	  Spans: the partial states of neighbouring metrics, side by side.
 *
 * Metrics that are asked for the same aggregates have states of the same fields,
 * and a row has a value for each of them.  So their states lie side by side,
 * all first words, then all second words, and are added to, merged and finished
 * four at a time: in "lanes", as one instruction of today's processors takes
 * them.  What a lane computes is what state.c computes, operation by operation,
 * so results do not depend on which of the two did it.
 *
 * Lanes know no exceptions.  A value that is NULL, NaN or infinite leaves its
 * lane as it is, by a mask, and special values are noted afterwards, one by
 * one.  Where a span's length is no multiple of four, its last lanes are taken
 * together with some that are done already, which the mask leaves alone too.  A
 * span of fewer than four metrics has no lanes.  Ends and kept values are left
 * to state.c.
 *
 * The loops are compiled once for every processor and once for those with
 * registers of four doubles and fused multiplication and addition.
 *
 * A pure room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "stats/span.h"

/* Vectors of four are passed between inlined functions only. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define LANES SPAN_FINISH_LEAST

typedef double Doubles __attribute__((vector_size(LANES * 8), aligned(8), may_alias));
typedef int64 Words __attribute__((vector_size(LANES * 8), aligned(8), may_alias));

/* In each lane a where the mask is set, else b. */
#define LANES_CHOOSE(mask, a, b) \
	((Doubles) (((mask) & (Words) (a)) | (~(mask) & (Words) (b))))
#define LANES_KEEP(mask, a) ((Doubles) ((mask) & (Words) (a)))

/* Masks are all ones or zero.  These leave out the first so many lanes. */
static const int64 lanes_from[LANES + LANES] = {0, 0, 0, 0, -1, -1, -1, -1};

#define LANES_FROM(n) (*(const Words *) (lanes_from + LANES - (n)))

#define EXPONENT_BITS INT64CONST(0x7FF0000000000000)
#define LANES_ARE_FINITE(x) (((Words) (x) & EXPONENT_BITS) != EXPONENT_BITS)

/* The word of that number of four neighbouring states. */
#define LANES_WORD(states, word) ((states).words + (size_t) (word) * (states).stride)
#define LANES_DOUBLES(states, word) (*(Doubles *) LANES_WORD(states, word))
#define LANES_WORDS(states, word) (*(Words *) LANES_WORD(states, word))

/* Notes the values of a row that are NaN or infinite. */
static void
span_add_specials(const MetricSpan *span, StateWord *states, const double *values,
				  const bool *nulls)
{
	int			i;

	for (i = 0; i < span->n; i++)
	{
		State		state = span_state(span, states, i);

		if (isfinite(values[i]) || (nulls != NULL && nulls[i]))
			continue;
		state.words->n++;
		state_mark_special(state, values[i]);
	}
}

/* Adds what a row has of ends and kept values. */
static void
span_add_rest(const MetricSpan *span, StateWord *states, const double *values,
			  const bool *nulls, TimestampTz t, MemoryContext values_context)
{
	int			i;

	for (i = 0; i < span->n; i++)
		if (nulls == NULL || !nulls[i])
			state_add_rest(span_state(span, states, i), span->fields, values[i], t,
						   values_context);
}

/* Adds a row one value at a time. */
static inline void
add_row_singly(const MetricSpan *span, uint32 fields, StateWord *states, const double *values,
			   const bool *nulls, TimestampTz t, MemoryContext values_context)
{
	int			i;

	for (i = 0; i < span->n; i++)
	{
		State		state = span_state(span, states, i);

		if (fields & FIELD_ROWS)
			state_at(state, state_word(fields, FIELD_ROWS))->n++;
		if (nulls == NULL || !nulls[i])
			state_add(state, fields, values[i], t, values_context);
	}
}

/* The loops over a span: for each set of fields that has one of its own, and any. */
#define SPECIALISED (FIELD_SUM | FIELD_SQUARES | FIELD_EXTREMES)
#define SPECIALISED_SETS 8
#define SPECIALISED_SET(fields) ((fields) / FIELD_SUM)

typedef struct SpanLoops
{
	AddRow		add_row[SPECIALISED_SETS];	/* NULL: the one for any fields */
	AddRow		add_row_any;
	void		(*merge) (const MetricSpan *span, StateWord *into, StateWord *from);
	bool		(*finish) (const MetricSpan *span, State states, int n,
						   const Aggregate *aggregates, int naggregates, double *results);
} SpanLoops;

#define MAKE_ADD_ROW(name, add_row, fields) \
static void \
name(const MetricSpan *span, StateWord *states, const double *values, \
	 const bool *nulls, TimestampTz t, MemoryContext values_context) \
{ \
	add_row(span, fields, states, values, nulls, t, values_context); \
}

#define MAKE_ADD_ROWS(name, add_row, always) \
MAKE_ADD_ROW(name##_count, add_row, always) \
MAKE_ADD_ROW(name##_sum, add_row, always | FIELD_SUM) \
MAKE_ADD_ROW(name##_extremes, add_row, always | FIELD_EXTREMES) \
MAKE_ADD_ROW(name##_sum_extremes, add_row, always | FIELD_SUM | FIELD_EXTREMES) \
MAKE_ADD_ROW(name##_squares, add_row, always | FIELD_SUM | FIELD_SQUARES) \
MAKE_ADD_ROW(name##_squares_extremes, add_row, \
			 always | FIELD_SUM | FIELD_SQUARES | FIELD_EXTREMES) \
MAKE_ADD_ROW(name##_any, add_row, span->fields)

#define ADD_ROWS(name) \
	.add_row = { \
		[0] = name##_count, \
		[SPECIALISED_SET(FIELD_SUM)] = name##_sum, \
		[SPECIALISED_SET(FIELD_EXTREMES)] = name##_extremes, \
		[SPECIALISED_SET(FIELD_SUM | FIELD_EXTREMES)] = name##_sum_extremes, \
		[SPECIALISED_SET(FIELD_SUM | FIELD_SQUARES)] = name##_squares, \
		[SPECIALISED_SET(SPECIALISED)] = name##_squares_extremes \
	}, \
	.add_row_any = name##_any

MAKE_ADD_ROWS(add_row_singly, add_row_singly, 0)

static const SpanLoops loops_singly = {ADD_ROWS(add_row_singly)};

/* Where rows are counted, each has one metric only. */
MAKE_ADD_ROWS(add_row_counted, add_row_singly, FIELD_ROWS)

static const SpanLoops loops_counted = {ADD_ROWS(add_row_counted)};

#define LANES_NAME(name) name##_plain
#include "stats/lanes.h"
MAKE_ADD_ROWS(add_row_plain, add_row_plain, 0)

static const SpanLoops loops_plain = {
	ADD_ROWS(add_row_plain),.merge = merge_plain,.finish = finish_plain
};

#undef LANES_NAME

#ifdef HAVE_FMA_VARIANT
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LANES_NAME(name) name##_fma
#define LANES_HAVE_FMA
#include "stats/lanes.h"
MAKE_ADD_ROWS(add_row_fma, add_row_fma, 0)
#pragma GCC pop_options

static const SpanLoops loops_fma = {
	ADD_ROWS(add_row_fma),.merge = merge_fma,.finish = finish_fma
};
#endif

/* The loops for spans that have lanes, on this processor. */
static inline const SpanLoops *
lanes_loops(void)
{
#ifdef HAVE_FMA_VARIANT
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &loops_fma;
#endif
	return &loops_plain;
}

static AddRow
add_row_function(int n, uint32 fields)
{
	const SpanLoops *loops = n >= LANES ? lanes_loops() : &loops_singly;
	AddRow		specialised = NULL;

	if (n < LANES && (fields & FIELD_ROWS))
	{
		loops = &loops_counted;
		fields &= ~FIELD_ROWS;
	}
	if ((fields & ~SPECIALISED) == 0)
		specialised = loops->add_row[SPECIALISED_SET(fields)];
	return specialised != NULL ? specialised : loops->add_row_any;
}

/*
 * span_init
 *		Makes a span of `n` metrics, of which the first has number `first`, and
 *		whose states begin `offset` words from the group's first.
 */
void
span_init(MetricSpan *span, int first, int n, uint32 fields, int offset)
{
	span->first = first;
	span->n = n;
	span->fields = fields;
	span->words = state_words(fields);
	span->offset = offset;
	span->stride = n;
	span->add_row = add_row_function(n, fields);
}

/*
 * span_merge
 *		Adds all that the states of a span in the group `from` have seen to those
 *		in the group `into`, as state_merge() does.
 */
void
span_merge(const MetricSpan *span, StateWord *into, StateWord *from,
		   MemoryContext values_context)
{
	int			i;

	if (span->n < LANES)
	{
		for (i = 0; i < span->n; i++)
			state_merge(span_state(span, into, i), span_state(span, from, i), span->fields,
						values_context);
		return;
	}
	if (span->fields & (FIELD_ENDS | FIELD_VALUES))
		for (i = 0; i < span->n; i++)
			state_merge_rest(span_state(span, into, i), span_state(span, from, i),
							 span->fields, values_context);
	lanes_loops()->merge(span, into, from);
}

/*
 * span_can_finish
 *		May span_finish() be called for these aggregates?
 */
bool
span_can_finish(const Aggregate *aggregates, int naggregates)
{
	int			i;

	for (i = 0; i < naggregates; i++)
		if (aggregate_fields(&aggregates[i]) & ~SPECIALISED)
			return false;
	return true;
}

/*
 * span_finish
 *		Computes the aggregates of `n` of a span's metrics, at least four, from
 *		number `metric` on: each as state_finish() does.
 *
 * Results are those of the first metric, then those of the second.  Returns
 * false, with results of no meaning, where one of them is not simply a number:
 * where values are missing, special or too great.
 */
bool
span_finish(const MetricSpan *span, StateWord *states, int metric, int n,
			const Aggregate *aggregates, int naggregates, double *results)
{
	return lanes_loops()->finish(span, span_state(span, states, metric), n,
								 aggregates, naggregates, results);
}
