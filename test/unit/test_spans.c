/*-------------------------------------------------------------------------
 *
 * test_spans.c
 *	  Spans against single states: both must compute the same bits, with the
 *	  processor's own loops and with those for every processor.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"

#include "shim.h"
#include "stats/span.h"

/* The loops for every processor: see plain_span_shim.c. */
extern void plain_span_init(MetricSpan *span, int first, int n, uint32 fields, int offset);
extern void plain_span_merge(const MetricSpan *span, StateWord *into, StateWord *from,
						   MemoryContext values_context);
extern bool plain_span_finish(const MetricSpan *span, StateWord *states, int metric, int n,
							const Aggregate *aggregates, int naggregates, double *results);

typedef struct Loops
{
	const char *name;
	void		(*init) (MetricSpan *span, int first, int n, uint32 fields, int offset);
	void		(*merge) (const MetricSpan *span, StateWord *into, StateWord *from,
						  MemoryContext values_context);
	bool		(*finish) (const MetricSpan *span, StateWord *states, int metric, int n,
						   const Aggregate *aggregates, int naggregates, double *results);
} Loops;

#define MAX_METRICS 13
#define MAX_WORDS 16
#define OFFSET 3

/* A span's states in two groups, and the same as single states. */
typedef struct Group
{
	StateWord	words[OFFSET + MAX_METRICS * MAX_WORDS];
	StateWord	singles[MAX_METRICS][MAX_WORDS];
} Group;

static State
single(Group *group, int metric)
{
	return (State) {group->singles[metric], 1};
}

static double
random_number(int kind)
{
	static const double special[] = {NAN, INFINITY, -INFINITY, -0.0, 0, 1e308, -1e308, 5e-324};

	switch (kind)
	{
		case 0:
			return random_between(-1000, 1000) * 0.1;
		case 1:
			return 1e9 + random_between(0, 1000) * 1e-3;
		case 2:
			return ldexp((double) random_between(-1000000, 1000000), random_between(-200, 200));
		default:
			return random_between(0, 4) ? 42.5 : special[random_between(0, lengthof(special))];
	}
}

static void
group_init(const MetricSpan *span, Group *group)
{
	for (int i = 0; i < span->n; i++)
	{
		state_init(span_state(span, group->words, i), span->fields);
		state_init(single(group, i), span->fields);
	}
}

static void
group_add_row(const MetricSpan *span, Group *group, int kind, bool with_nulls)
{
	double		values[MAX_METRICS];
	bool		nulls[MAX_METRICS];
	TimestampTz t = random_between(0, 5);

	for (int i = 0; i < span->n; i++)
	{
		State		state = single(group, i);

		nulls[i] = with_nulls && random_between(0, 3) == 0;
		values[i] = random_number(kind);
		if (span->fields & FIELD_ROWS)
			state_at(state, 1)->n++;
		if (!nulls[i])
			state_add(state, span->fields, values[i], t, NULL);
	}
	span->add_row(span, group->words, values, with_nulls ? nulls : NULL, t, NULL);
}

/*
 * Are all words the same, but for those that lead to values, and these?  What has
 * left the range of double may be infinite or no number.
 */
static bool
group_is_right(const MetricSpan *span, Group *group)
{
	int			values_word = state_word(span->fields, FIELD_VALUES);

	for (int i = 0; i < span->n; i++)
	{
		State		state = span_state(span, group->words, i);

		for (int j = 0; j < values_word; j++)
		{
			double		x = state_at(state, j)->x;
			double		expected = state_at(single(group, i), j)->x;

			if (state_at(state, j)->n != state_at(single(group, i), j)->n &&
				(j == 0 || !(isfinite(x) ? x == expected : !isfinite(expected))))
				return false;
		}
		if (span->fields & FIELD_VALUES)
		{
			ValueArray *values = state_at(state, values_word)->values;
			ValueArray *expected = state_at(single(group, i), values_word)->values;

			if ((values == NULL) != (expected == NULL) ||
				(values && (values->used != expected->used || values->wide != expected->wide ||
							memcmp(values->values, expected->values, values->used *
								   (values->wide ? sizeof(double) : sizeof(float))) != 0)))
				return false;
		}
	}
	return true;
}

static void
group_free(const MetricSpan *span, Group *group)
{
	int			word = state_word(span->fields, FIELD_VALUES);

	for (int i = 0; i < span->n && (span->fields & FIELD_VALUES); i++)
	{
		if (state_at(single(group, i), word)->values != NULL)
			pfree(state_at(single(group, i), word)->values);
		if (state_at(span_state(span, group->words, i), word)->values != NULL)
			pfree(state_at(span_state(span, group->words, i), word)->values);
	}
}

/*
 * Finishes what aggregates the fields allow, together and one by one.  Sets
 * *together to whether that was possible.
 */
static bool
group_finishes_right(const Loops *loops, const MetricSpan *span, Group *group, bool *together)
{
	static const char *const all[] = {
		"sum", "avg", "count", "min", "max", "std", "var", "stddev_pop", "var_pop", "range"
	};
	Aggregate	aggregates[lengthof(all)];
	double		results[MAX_METRICS * lengthof(all)];
	int			naggregates = 0;
	int			metric = random_between(0, span->n - SPAN_FINISH_LEAST + 1);
	int			n = random_between(SPAN_FINISH_LEAST, span->n - metric + 1);
	bool		plain = true;
	bool		right = true;

	for (int i = 0; i < lengthof(all); i++)
	{
		aggregate_parse(all[i], &aggregates[naggregates]);
		if ((aggregate_fields(&aggregates[naggregates]) & ~span->fields) == 0 &&
			random_between(0, 2))
			naggregates++;
	}
	*together = loops->finish(span, group->words, metric, n, aggregates, naggregates, results);
	for (int i = 0; i < n; i++)
		for (int j = 0; j < naggregates; j++)
		{
			double		expected;
			FinishResult finished = state_finish(single(group, metric + i), span->fields,
												 &aggregates[j], &expected);

			plain = plain && finished == FINISH_VALUE && isfinite(expected);
			right = right && (!*together ||
							  (finished == FINISH_VALUE &&
							   memcmp(&expected, &results[i * naggregates + j],
									  sizeof(double)) == 0));
		}

	/* What is not asked for can stand in the way, but not too often. */
	return right && (plain || !*together);
}

static void
test_loops(const Loops *loops)
{
	int			wrong_adds = 0;
	int			wrong_merges = 0;
	int			wrong_finishes = 0;
	int			together = 0;
	int			finished = 0;

	for (int i = 0; i < 30000; i++)
	{
		Group		groups[2];
		MetricSpan	span;
		int			kind = random_between(0, 4);
		uint32		fields = random_between(0, 64);
		bool		could;

		if (fields & FIELD_SQUARES)
			fields |= FIELD_SUM;
		loops->init(&span, 0, random_between(1, MAX_METRICS + 1), fields, OFFSET);
		for (int g = 0; g < 2; g++)
		{
			int			rows = random_between(0, 8);

			group_init(&span, &groups[g]);
			while (rows-- > 0)
				group_add_row(&span, &groups[g], kind, random_between(0, 2));
			wrong_adds += !group_is_right(&span, &groups[g]);
		}
		loops->merge(&span, groups[0].words, groups[1].words, NULL);
		for (int j = 0; j < span.n; j++)
			state_merge(single(&groups[0], j), single(&groups[1], j), fields, NULL);
		wrong_merges += !group_is_right(&span, &groups[0]);
		if (span.n >= SPAN_FINISH_LEAST)
		{
			wrong_finishes += !group_finishes_right(loops, &span, &groups[0], &could);
			together += could;
			finished++;
		}
		group_free(&span, &groups[0]);
		group_free(&span, &groups[1]);
	}
	tap_ok(wrong_adds == 0, "%s: rows are added as to single states (%d wrong)",
		   loops->name, wrong_adds);
	tap_ok(wrong_merges == 0, "%s: spans are merged as single states (%d wrong)",
		   loops->name, wrong_merges);
	tap_ok(wrong_finishes == 0 && together > finished / 4,
		   "%s: spans are finished as single states (%d wrong, %d of %d together)",
		   loops->name, wrong_finishes, together, finished);
	tap_ok(shim_memory_used() == 0, "%s: no memory is left over", loops->name);
}

int
main(int argc, char **argv)
{
	static const Loops every = {
		"loops for every processor", plain_span_init, plain_span_merge, plain_span_finish
	};
	static const Loops own = {
		"the processor's own loops", span_init, span_merge, span_finish
	};

	random_seed(argc > 1 ? strtoul(argv[1], NULL, 10) * 2 + 1 : 20261125);
	test_loops(&every);
	test_loops(&own);
	return tap_done();
}
