/*-------------------------------------------------------------------------
 *
 * test_stats.c
 *	  Unit tests of src/stats.
 *
 * Values are mostly integers times a power of two, so that 128-bit integers
 * give the exact sum and the exact squares to compare with.  Small groups
 * with special values are compared with each aggregate's definition.  Random
 * input comes from a fixed seed, or the one given as the first argument.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <time.h>

#include "utils/float.h"

#include "stats/state.h"

#include "shim.h"

#define ALL_FIELDS \
	(FIELD_ROWS | FIELD_SUM | FIELD_SQUARES | FIELD_EXTREMES | FIELD_ENDS | FIELD_VALUES)
#define NUMBER_FIELDS (FIELD_SUM | FIELD_SQUARES | FIELD_EXTREMES)

/* Longest state. */
#define MAX_WORDS 16

/* In [0, n). */
static uint64
random_below(uint64 n)
{
	return (random_bits() >> 11) % n;
}

static Aggregate
aggregate_named(const char *name)
{
	Aggregate	aggregate;

	if (aggregate_parse(name, &aggregate) != NULL)
	{
		tap_note("cannot parse \"%s\"", name);
		abort();
	}
	return aggregate;
}

/* The state whose words these are, one after the other. */
static State
at(StateWord *words)
{
	return (State) {words, 1};
}

static FinishResult
finish(StateWord *state, uint32 fields, const char *name, double *result)
{
	Aggregate	aggregate = aggregate_named(name);

	*result = 0;
	return state_finish(at(state), fields, &aggregate, result);
}

static double
finish_value(StateWord *state, uint32 fields, const char *name)
{
	double		result;

	if (finish(state, fields, name, &result) != FINISH_VALUE)
		return get_float8_nan();
	return result;
}

static void
free_values(StateWord *state, uint32 fields)
{
	StateWord  *word = state + state_word(fields, FIELD_VALUES);

	if ((fields & FIELD_VALUES) && word->values != NULL)
		pfree(word->values);
}

static bool
same(double a, double b)
{
	return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

static double
relative_error(double got, long double expected)
{
	if (got == expected)
		return 0;
	return (double) fabsl((got - expected) / expected);
}

/*
 * Names
 */

static void
test_names(void)
{
	static const struct
	{
		const char *name;
		const char *canonical;
		double		fraction;
	}			good[] = {
		{"sum", "sum", 0}, {"avg", "avg", 0}, {"mean", "avg", 0}, {"count", "count", 0},
		{"min", "min", 0}, {"max", "max", 0}, {"median", "median", 0.5},
		{"std", "std", 0}, {"stddev", "std", 0}, {"var", "var", 0}, {"variance", "var", 0},
		{"stddev_pop", "stddev_pop", 0}, {"var_pop", "var_pop", 0}, {"range", "range", 0},
		{"first", "first", 0}, {"last", "last", 0}, {"delta", "delta", 0},
		{"distinct", "distinct", 0}, {"SUM", "sum", 0}, {"StdDev", "std", 0},
		{"p1", "p1", 0.01}, {"p5", "p5", 0.05}, {"p50", "p50", 0.5}, {"p95", "p95", 0.95},
		{"P99", "p99", 0.99}, {"p99_9", "p99_9", 0.999}, {"p99_90", "p99_9", 0.999},
		{"p99_0", "p99", 0.99}, {"p2_05", "p2_05", 0.0205}, {"p99_999", "p99_999", 0.99999},
		{"p12_345678901234", "p12_345678901234", 0.12345678901234},
		{"p50_0000000000000000000", "p50", 0.5}
	};
	static const char *const bad[] = {
		"", "su", "sums", "sum ", " sum", "average", "p", "p0", "p05", "p100", "p_5", "p9x",
		"p99_", "p99_x", "p99_9x", "p99.9", "p-5", "q95", "p0_5", "p99__9", "pp9", "95",
		"p99_9999999999999", "std_dev", "stddev_samp", "sum;", "p9 5"
	};
	Aggregate	aggregate;

	for (int i = 0; i < lengthof(good); i++)
		tap_ok(aggregate_parse(good[i].name, &aggregate) == NULL &&
			   strcmp(aggregate.name, good[i].canonical) == 0 &&
			   aggregate.fraction == good[i].fraction,
			   "\"%s\" is %s", good[i].name, good[i].canonical);
	for (int i = 0; i < lengthof(bad); i++)
		tap_ok(aggregate_parse(bad[i], &aggregate) != NULL, "\"%s\" is no aggregate", bad[i]);
}

static void
test_suggestions(void)
{
	static const struct
	{
		const char *word;
		const char *meant;		/* NULL: nothing is proposed */
	}			cases[] = {
		{"average", "avg"}, {"total", "sum"}, {"avg()", "avg"}, {"cnt", "count"},
		{"count(*)", "count"}, {"maximum", "max"}, {"stdev", "std"}, {"stddev_samp", "std"},
		{"STDDEV-POP", "stddev_pop"}, {"count distinct", "distinct"}, {"uniq", "distinct"},
		{"count(distinct x)", "distinct"}, {"sum(x)", "sum"}, {"'sum'", "sum"}, {"med", "median"},
		{"latest", "last"}, {"averge", "avg"}, {"sums", "sum"}, {"meidan", "median"},
		{"95", "p95"}, {"95th", "p95"}, {"95%", "p95"}, {"percentile95", "p95"},
		{"percentile_cont(0.95)", "p95"}, {"0.5", "p50"}, {"0.999", "p99_9"}, {"p99.9", "p99_9"},
		{"p999", "p99_9"}, {"p9999", "p99_99"}, {"p05", "p5"}, {"0.05", "p5"}, {"q95", "p95"},
		{"p100", "max"}, {"100%", "max"}, {"p0", "min"},
		{"", NULL}, {"x", NULL}, {"mode", NULL}, {"p1000", NULL}, {"p", NULL}, {"sum avg", NULL},
		{"(", NULL}, {"123456789012345678901234567890123456789012345678901234567890"
		"1234567890", NULL}
	};
	Aggregate	aggregate;

	for (int i = 0; i < lengthof(cases); i++)
	{
		bool		found = aggregate_suggest(cases[i].word, &aggregate);

		tap_ok(found ? cases[i].meant && strcmp(aggregate.name, cases[i].meant) == 0 :
			   cases[i].meant == NULL,
			   "by aggregate \"%s\" is meant %s", cases[i].word, found ? aggregate.name : "nothing");
	}
	tap_ok(aggregates_lack_commas("sum avg") && aggregates_lack_commas("sum;p95 | max") &&
		   aggregates_lack_commas("sum and avg"), "lists without commas");
	tap_ok(!aggregates_lack_commas("sum") && !aggregates_lack_commas("sum other") &&
		   !aggregates_lack_commas(""), "what is no list without commas");
}

static void
test_lists(void)
{
	static const struct
	{
		const char *list;
		const char *names;		/* what it comes to; NULL: refused */
		const char *offender;	/* if refused */
	}			lists[] = {
		{"sum,avg,count", "sum,avg,count,", NULL},
		{"sum", "sum,", NULL},
		{" sum , AVG\t,\ncount ", "sum,avg,count,", NULL},
		{"{sum,avg}", "sum,avg,", NULL},
		{" { sum , \"avg\" } ", "sum,avg,", NULL},
		{"[\"sum\",\"avg\"]", "sum,avg,", NULL},
		{"[ \"sum\" , \"Avg\" ]", "sum,avg,", NULL},
		{"mean,avg,sum,mean,MEAN", "avg,sum,", NULL},
		{"p99_90,p99_9,p50,median", "p99_9,p50,median,", NULL},
		{"", NULL, ""}, {"  ", NULL, ""}, {"{}", NULL, ""}, {"[ ]", NULL, ""},
		{"{", NULL, ""}, {"[sum}", NULL, ""}, {"{sum", NULL, ""},
		{"sum,", NULL, ""}, {",sum", NULL, ""}, {"sum,,avg", NULL, ""}, {"[\"\"]", NULL, ""},
		{"sum}", NULL, "sum}"}, {"sum,averge", NULL, "averge"}, {"sum avg", NULL, "sum avg"},
		{"\"sum", NULL, "\"sum"}, {"sum, p100 ,avg", NULL, "p100"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, "aaaaaaaaaaaaaaaaaaa"},
		{"aaaaaaaaaaaaaaaaaa\xc3\xa4", NULL, "aaaaaaaaaaaaaaaaaa"}
	};
	Aggregate	aggregates[MAX_AGGREGATES];
	char		offender[20];
	char		many[8 * 99 + 1] = "";
	int			n;

	for (int i = 0; i < lengthof(lists); i++)
	{
		const char *reason = aggregate_list_parse(lists[i].list, aggregates, &n,
												  offender, sizeof(offender));
		char		names[256] = "";

		if (reason != NULL)
		{
			tap_ok(lists[i].names == NULL && strcmp(offender, lists[i].offender) == 0,
				   "list %d is refused: \"%s\"", i + 1, offender);
			continue;
		}
		for (int j = 0; j < n; j++)
		{
			strlcat(names, aggregates[j].name, sizeof(names));
			strlcat(names, ",", sizeof(names));
		}
		tap_ok(lists[i].names != NULL && strcmp(names, lists[i].names) == 0,
			   "list %d is %s", i + 1, names);
	}

	for (int i = 1; i <= 99; i++)
	{
		snprintf(many + strlen(many), 8, "%sp%d", i > 1 ? "," : "", i);
		if (i == MAX_AGGREGATES)
			tap_ok(aggregate_list_parse(many, aggregates, &n, offender, sizeof(offender)) == NULL &&
				   n == MAX_AGGREGATES, "a list can have %d aggregates", MAX_AGGREGATES);
	}
	tap_ok(aggregate_list_parse(many, aggregates, &n, offender, sizeof(offender)) != NULL,
		   "but not more");
}

static void
test_fields(void)
{
	static const struct
	{
		const char *name;
		unsigned int fields;
	}			needs[] = {
		{"sum", FIELD_SUM}, {"avg", FIELD_SUM}, {"count", 0}, {"min", FIELD_EXTREMES},
		{"max", FIELD_EXTREMES}, {"range", FIELD_EXTREMES}, {"median", FIELD_VALUES},
		{"p95", FIELD_VALUES}, {"distinct", FIELD_VALUES}, {"std", FIELD_SUM | FIELD_SQUARES},
		{"var", FIELD_SUM | FIELD_SQUARES}, {"var_pop", FIELD_SUM | FIELD_SQUARES},
		{"stddev_pop", FIELD_SUM | FIELD_SQUARES}, {"first", FIELD_ENDS}, {"last", FIELD_ENDS},
		{"delta", FIELD_ENDS}
	};
	bool		ok = true;

	for (int i = 0; i < lengthof(needs); i++)
	{
		Aggregate	aggregate = aggregate_named(needs[i].name);

		tap_ok(aggregate_fields(&aggregate) == needs[i].fields, "fields of %s", needs[i].name);
	}

	/* Words of the fields do not overlap, whichever are there. */
	for (uint32 fields = 0; fields <= ALL_FIELDS; fields++)
	{
		static const int words[] = {1, 2, 3, 2, 4, 1};
		int			at = 1;

		for (int bit = 0; bit < 6; bit++)
		{
			if (!(fields & (1 << bit)))
				continue;
			ok = ok && state_word(fields, 1 << bit) == at;
			at += words[bit];
		}
		ok = ok && state_words(fields) == at && at <= MAX_WORDS;
	}
	tap_ok(ok, "words of every combination of fields");
}

/*
 * Sums and variances of integers times a power of two
 */

typedef struct Sample
{
	const char *name;
	int64	   *values;
	int			n;
	double		scale;
	double		tolerance;		/* of the variance, relative */
} Sample;

static int64
random_value(const char *shape, int i, int n)
{
	int64		offset = INT64CONST(1000000000) << 20;

	if (strcmp(shape, "uniform") == 0)
		return random_below(INT64CONST(1) << 53);
	if (strcmp(shape, "signed") == 0)
		return (int64) random_below(INT64CONST(1) << 53) - (INT64CONST(1) << 52);
	if (strcmp(shape, "offset") == 0)
		return offset + random_below(1 << 20);
	if (strcmp(shape, "rising") == 0)
		return (INT64CONST(1) << 52) / n * i + random_below(1000);
	if (strcmp(shape, "outlier first") == 0)
		return i == 0 ? offset : random_below(1 << 20);
	if (strcmp(shape, "outlier, rest equal") == 0)
		return i == 0 ? offset : 104857;
	if (strcmp(shape, "outlier last") == 0)
		return i == n - 1 ? offset : random_below(1 << 20);
	if (strcmp(shape, "two values") == 0)
		return offset + (i & 1);
	return offset;				/* equal */
}

/*
 * Converts from the absolute value, for machines that take the halves apart
 * and have no more precision than double.
 */
static long double
from_int128(int128 i)
{
	return i < 0 ? -(long double) -i : (long double) i;
}

/* The variance's numerator, M, of the sample's integers. */
static long double
exact_deviations(const Sample *sample, int128 sum)
{
	int64		center = (int64) (sum / sample->n);
	int128		squares = 0;
	int128		rest = sum - (int128) center * sample->n;

	for (int i = 0; i < sample->n; i++)
	{
		int64		d = sample->values[i] - center;

		squares += (int128) d * d;
	}
	return from_int128(squares) - from_int128(rest) * from_int128(rest) / sample->n;
}

/* Checks sum, average, variance and deviation of a state of the sample. */
static bool
check_sample(const Sample *sample, StateWord *state, double *worst)
{
	int128		sum = 0;
	long double m;
	double		got;
	double		ulp;
	double		error;
	bool		ok;

	for (int i = 0; i < sample->n; i++)
		sum += sample->values[i];
	m = exact_deviations(sample, sum) * sample->scale * sample->scale;

	got = finish_value(state, NUMBER_FIELDS, "sum") / sample->scale;
	ulp = nextafter(fabs(got), INFINITY) - fabs(got);
	ok = fabs((double) ((int128) got - sum)) <= (ulp < 1 ? 0 : ulp);
	ok = ok && relative_error(finish_value(state, NUMBER_FIELDS, "avg"),
							  from_int128(sum) * sample->scale / sample->n) <= 1e-15;
	if (sample->n > 1)
	{
		got = finish_value(state, NUMBER_FIELDS, "var");
		error = relative_error(got, m / (sample->n - 1));
		*worst = Max(*worst, error);
		ok = ok && got >= 0 && error <= sample->tolerance;
		got = finish_value(state, NUMBER_FIELDS, "std");
		ok = ok && relative_error(got, sqrtl(m / (sample->n - 1))) <= sample->tolerance;
	}
	got = finish_value(state, NUMBER_FIELDS, "var_pop");
	ok = ok && got >= 0 && relative_error(got, m / sample->n) <= sample->tolerance;
	got = finish_value(state, NUMBER_FIELDS, "stddev_pop");
	return ok && relative_error(got, sqrtl(m / sample->n)) <= sample->tolerance;
}

/* Adds a sample's values from `from` to before `to`. */
static void
add_sample(const Sample *sample, StateWord *state, int from, int to)
{
	for (int i = from; i < to; i++)
		state_add(at(state), NUMBER_FIELDS, sample->values[i] * sample->scale, i, NULL);
}

/* The same in parts, each merged in turn. */
static void
add_sample_in_parts(const Sample *sample, StateWord *state)
{
	int			done = 0;

	while (done < sample->n)
	{
		int			part = 1 + random_below(sample->n - done);
		StateWord	partial[MAX_WORDS];

		state_init(at(partial), NUMBER_FIELDS);
		add_sample(sample, partial, done, done + part);
		state_merge(at(state), at(partial), NUMBER_FIELDS, NULL);
		done += part;
	}
}

static void
test_sample_shape(const char *shape)
{
	static const int sizes[] = {1, 2, 3, 14, 100, 1000, 30000, 1000000};
	Sample		sample = {.name = shape, .scale = ldexp(1, -20)};
	double		worst = 0;
	double		worst_merged = 0;
	bool		ok = true;
	bool		ok_merged = true;

	sample.values = malloc(1000000 * sizeof(int64));
	for (int s = 0; s < lengthof(sizes); s++)
	{
		sample.n = sizes[s];
		sample.tolerance = 1e-15;
		for (int repeat = 0; repeat < (sample.n > 1000 ? 2 : 20); repeat++)
		{
			StateWord	state[MAX_WORDS];

			for (int i = 0; i < sample.n; i++)
				sample.values[i] = random_value(shape, i, sample.n);
			state_init(at(state), NUMBER_FIELDS);
			add_sample(&sample, state, 0, sample.n);
			ok = check_sample(&sample, state, &worst) && ok;
			state_init(at(state), NUMBER_FIELDS);
			add_sample_in_parts(&sample, state);
			ok_merged = check_sample(&sample, state, &worst_merged) && ok_merged;
		}
	}
	free(sample.values);
	tap_ok(ok, "sum and variance, %s: variance off by %.1e at most", shape, worst);
	tap_ok(ok_merged, "the same merged from parts: off by %.1e at most", worst_merged);
}

static void
test_samples(void)
{
	static const char *const shapes[] = {
		"uniform", "signed", "offset", "rising", "outlier first", "outlier, rest equal",
		"outlier last", "two values", "equal"
	};

	for (int i = 0; i < lengthof(shapes); i++)
		test_sample_shape(shapes[i]);
}

/*
 * Small groups, special values among them, against the definitions
 */

typedef struct Seen
{
	double		x;
	TimestampTz t;
} Seen;

static int
compare_doubles(const void *a, const void *b)
{
	return float8_compare(*(const double *) a, *(const double *) b);
}

static int
compare_seen(const void *a, const void *b)
{
	const Seen *p = a;
	const Seen *q = b;

	if (p->t != q->t)
		return p->t < q->t ? -1 : 1;
	return float8_compare(p->x, q->x);
}

static double
percentile_by_sorting(const double *sorted, int n, double fraction)
{
	double		place = fraction * (n - 1);
	int			low = (int) floor(place);
	int			high = (int) ceil(place);

	if (low == high)
		return sorted[low];
	return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

/* What PostgreSQL answers; exact, as finite values are small integers. */
static double
expected_result(const char *name, Seen *seen, int n)
{
	double		sorted[64];
	double		sum = 0;
	double		squares = 0;
	int			distinct = 0;
	double		result;

	qsort(seen, n, sizeof(Seen), compare_seen);
	for (int i = 0; i < n; i++)
	{
		sorted[i] = seen[i].x;
		sum += seen[i].x;
	}
	qsort(sorted, n, sizeof(double), compare_doubles);
	for (int i = 0; i < n; i++)
	{
		squares += (sorted[i] - sum / n) * (sorted[i] - sum / n);
		distinct += i == 0 || float8_compare(sorted[i], sorted[i - 1]) != 0;
	}

	if (strcmp(name, "sum") == 0)
		result = sum;
	else if (strcmp(name, "avg") == 0)
		result = sum / n;
	else if (strcmp(name, "count") == 0)
		result = n;
	else if (strcmp(name, "min") == 0)
		result = sorted[0];
	else if (strcmp(name, "max") == 0)
		result = sorted[n - 1];
	else if (strcmp(name, "range") == 0)
		result = sorted[n - 1] - sorted[0];
	else if (strcmp(name, "var") == 0)
		result = squares / (n - 1);
	else if (strcmp(name, "std") == 0)
		result = sqrt(squares / (n - 1));
	else if (strcmp(name, "var_pop") == 0)
		result = squares / n;
	else if (strcmp(name, "stddev_pop") == 0)
		result = sqrt(squares / n);
	else if (strcmp(name, "first") == 0)
		result = seen[0].x;
	else if (strcmp(name, "last") == 0)
		result = seen[n - 1].x;
	else if (strcmp(name, "delta") == 0)
		result = seen[n - 1].x - seen[0].x;
	else if (strcmp(name, "distinct") == 0)
		result = distinct;
	else
		result = percentile_by_sorting(sorted, n, aggregate_named(name).fraction);
	return result + 0.0;
}

static bool
result_right(const char *name, double got, double expected)
{
	if (same(got, expected))
		return true;
	return (strncmp(name, "var", 3) == 0 || strncmp(name, "std", 3) == 0) &&
		fabs(got - expected) <= 1e-14 * expected;
}

static double
random_special(int kinds)
{
	static const double pool[] = {0, -0.0, 1, 2, 3, -3, 7, INFINITY, -INFINITY, NAN};

	return pool[random_below(kinds)];
}

/*
 * One random group, its values dealt to states that are then merged, checked
 * for every aggregate.
 */
static bool
check_small_group(void)
{
	static const char *const names[] = {
		"sum", "avg", "count", "min", "max", "range", "var", "std", "var_pop", "stddev_pop",
		"first", "last", "delta", "p5", "distinct", "median", "p95", "p99_9", "p30"
	};
	StateWord	states[3][MAX_WORDS];
	Seen		seen[64];
	int			n = random_below(random_below(4) ? 8 : 64);
	int			nstates = 1 + random_below(3);
	int			kinds = random_below(2) ? 7 : 7 + random_below(4);
	bool		ok;

	for (int i = 0; i < nstates; i++)
		state_init(at(states[i]), ALL_FIELDS);
	for (int i = 0; i < n; i++)
	{
		StateWord  *state = states[random_below(nstates)];

		seen[i].x = random_special(kinds);
		seen[i].t = random_below(10);
		state[1].n++;
		state_add(at(state), ALL_FIELDS, seen[i].x, seen[i].t, NULL);
	}
	for (int i = 1; i < nstates; i++)
		state_merge(at(states[0]), at(states[i]), ALL_FIELDS, NULL);

	ok = states[0][1].n == n && state_count(at(states[0])) == n;
	for (int i = 0; i < lengthof(names) && n > 0; i++)
	{
		double		got;
		FinishResult finished = finish(states[0], ALL_FIELDS, names[i], &got);
		bool		defined = n > 1 || (strcmp(names[i], "var") && strcmp(names[i], "std"));

		if (!defined ? finished == FINISH_UNDEFINED :
			finished == FINISH_VALUE && result_right(names[i], got,
													 expected_result(names[i], seen, n)))
			continue;
		ok = false;
		tap_note("%s of %d values: got %g, expected %g", names[i], n, got,
				 expected_result(names[i], seen, n));
	}
	for (int i = 0; i < nstates; i++)
		free_values(states[i], ALL_FIELDS);
	return ok;
}

static void
test_small_groups(void)
{
	int			wrong = 0;

	for (int i = 0; i < 20000; i++)
		wrong += check_small_group() ? 0 : 1;
	tap_ok(wrong == 0, "20000 small groups, merged, against the definitions");
	tap_ok(shim_memory_used() == 0, "no memory is left over");
}

static void
test_undefined(void)
{
	static const char *const names[] = {
		"sum", "avg", "min", "max", "median", "std", "var", "stddev_pop", "var_pop", "range",
		"first", "last", "delta", "p95"
	};
	StateWord	state[MAX_WORDS];
	StateWord	empty[MAX_WORDS];
	double		result;
	bool		ok = true;

	state_init(at(state), ALL_FIELDS);
	for (int i = 0; i < lengthof(names); i++)
		ok = ok && finish(state, ALL_FIELDS, names[i], &result) == FINISH_UNDEFINED;
	tap_ok(ok, "without values everything but the counts is undefined");
	tap_ok(finish(state, ALL_FIELDS, "count", &result) == FINISH_UNDEFINED &&
		   finish(state, ALL_FIELDS, "distinct", &result) == FINISH_UNDEFINED,
		   "and so are the counts where no row was seen");
	state[1].n = 1;
	tap_ok(finish(state, ALL_FIELDS, "count", &result) == FINISH_VALUE && result == 0 &&
		   finish(state, ALL_FIELDS, "distinct", &result) == FINISH_VALUE && result == 0,
		   "they are 0 where one was");
	state_init(at(state), FIELD_VALUES);
	tap_ok(finish(state, FIELD_VALUES, "count", &result) == FINISH_VALUE && result == 0,
		   "or where rows are not counted");

	state_init(at(empty), ALL_FIELDS);
	state_init(at(state), ALL_FIELDS);
	state_merge(at(state), at(empty), ALL_FIELDS, NULL);
	tap_ok(memcmp(state, empty, state_words(ALL_FIELDS) * sizeof(StateWord)) == 0,
		   "two empty states merge into an empty one");
	state_add(at(empty), ALL_FIELDS, 5, 100, NULL);
	state_merge(at(state), at(empty), ALL_FIELDS, NULL);
	tap_ok(memcmp(state, empty, (state_words(ALL_FIELDS) - 1) * sizeof(StateWord)) == 0,
		   "merging into an empty state copies");
	free_values(state, ALL_FIELDS);
	free_values(empty, ALL_FIELDS);
}

static void
test_overflow(void)
{
	static const struct
	{
		double		values[3];
		const char *name;
		FinishResult finish;
		double		result;
	}			cases[] = {
		{{1.5e308, 1.5e308, 0}, "sum", FINISH_OVERFLOW, 0},
		{{1.5e308, 1.5e308, 0}, "avg", FINISH_OVERFLOW, 0},
		{{1.5e308, 1.5e308, 0}, "max", FINISH_VALUE, 1.5e308},
		{{1.5e308, 1.5e308, INFINITY}, "sum", FINISH_VALUE, INFINITY},
		{{1.5e308, -1.5e308, 0}, "sum", FINISH_VALUE, 0},
		{{1.5e308, -1.5e308, 0}, "range", FINISH_OVERFLOW, 0},
		{{1.5e308, -1.5e308, -1.5e308}, "delta", FINISH_OVERFLOW, 0},
		{{-1.5e308, 1.5e308, INFINITY}, "delta", FINISH_VALUE, INFINITY},
		{{-1.5e308, 1.5e308, INFINITY}, "range", FINISH_VALUE, INFINITY},
		{{-1.5e308, 1.5e308, 1.7e308}, "p25", FINISH_VALUE, 0},
		{{1e200, -1e200, 0}, "var", FINISH_OVERFLOW, 0},
		{{1e200, -1e200, 0}, "stddev_pop", FINISH_OVERFLOW, 0},
		{{1e200, 1e200, 1e200}, "var", FINISH_VALUE, 0},
		{{1e200, -1e200, NAN}, "var", FINISH_VALUE, NAN},
		{{INFINITY, INFINITY, INFINITY}, "range", FINISH_VALUE, NAN},
		{{1e-170, 2e-170, 3e-170}, "var", FINISH_VALUE, 0},
		{{-0.0, -0.0, -0.0}, "min", FINISH_VALUE, 0},
		{{-0.0, -0.0, -0.0}, "median", FINISH_VALUE, 0}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		StateWord	state[MAX_WORDS];
		double		result;
		FinishResult finished;

		state_init(at(state), ALL_FIELDS);
		for (int j = 0; j < 3; j++)
			state_add(at(state), ALL_FIELDS, cases[i].values[j], j, NULL);
		finished = finish(state, ALL_FIELDS, cases[i].name, &result);
		tap_ok(finished == cases[i].finish &&
			   (finished != FINISH_VALUE || same(result, cases[i].result)),
			   "%s of %g, %g, %g is %s", cases[i].name, cases[i].values[0],
			   cases[i].values[1], cases[i].values[2],
			   cases[i].finish == FINISH_OVERFLOW ? "out of range" : "right");
		free_values(state, ALL_FIELDS);
	}
}

/*
 * Selection
 */

static double
pattern_value(int pattern, int i, int n)
{
	switch (pattern)
	{
		case 0:
			return random_below(1000000) / 7.0;
		case 1:
			return i;
		case 2:
			return n - i;
		case 3:
			return Min(i, n - i);
		case 4:
			return 42;
		case 5:
			return random_below(3);
		case 6:
			return i % 17;
		case 7:
			return random_special(10);
		default:
			return i == n / 2 ? 5 : NAN;
	}
}

#define PATTERNS 9

/*
 * An array on which every median of three is the second smallest value left
 * at that place, for as long as the budget of rounds lasts: what selection
 * does is followed, and values are decided when they are looked at (after
 * McIlroy, "A killer adversary for quicksort", 1999).
 */
static void
make_killer(double *values, int n)
{
	int		   *slots = malloc(n * sizeof(int));
	int			next = 0;
	int			from = 0;

	for (int i = 0; i < n; i++)
	{
		slots[i] = i;
		values[i] = n;
	}
	for (int round = 0; round < 80 && n - from > 32; round++)
	{
		int			cut;
		double		pivot;

		values[slots[from]] = next++;
		values[slots[from + (n - from) / 2]] = next++;
		pivot = values[slots[from + (n - from) / 2]];
		cut = from;
		for (int i = from; i < n; i++)
		{
			int			slot = slots[i];

			slots[i] = slots[cut];
			slots[cut] = slot;
			cut += values[slot] < pivot;
		}
		from = cut;
	}
	for (int i = 0; i < n; i++)
		if (values[i] == n)
			values[i] = next + random_below(n);
	free(slots);
}

/* A copy of an array's values, with room for ten more. */
static double *
copy_values(const ValueArray *array)
{
	double	   *copy = malloc((array->used + 10) * sizeof(double));

	for (uint32 i = 0; i < array->used; i++)
		copy[i] = value_array_at(array, i);
	return copy;
}

/*
 * Whether percentiles of an array, several in random order with a few values
 * added on the way, are those of a sorted copy.
 */
static bool
check_selection(ValueArray *array, int fractions)
{
	bool		ok = true;

	for (int i = 0; i < fractions; i++)
	{
		double		fraction = random_below(3) ? (1 + random_below(999)) / 1000.0 : 0.5;
		double	   *sorted;
		double		got;

		if (random_below(8) == 0 && array->used < array->size)
			array = value_array_add(array, random_below(100), NULL);
		sorted = copy_values(array);
		qsort(sorted, array->used, sizeof(double), compare_doubles);
		got = value_array_percentile(array, fraction);
		if (float8_compare(got, percentile_by_sorting(sorted, array->used, fraction)) != 0)
		{
			tap_note("fraction %g of %u values: got %g, expected %g", fraction, array->used, got,
					 percentile_by_sorting(sorted, array->used, fraction));
			ok = false;
		}
		free(sorted);
	}
	return ok;
}

static uint64
distinct_by_sorting(const ValueArray *array)
{
	double	   *sorted = copy_values(array);
	uint64		distinct = 0;

	qsort(sorted, array->used, sizeof(double), compare_doubles);
	for (uint32 i = 0; i < array->used; i++)
		distinct += i == 0 || float8_compare(sorted[i], sorted[i - 1]) != 0;
	free(sorted);
	return distinct;
}

static void
test_selection(void)
{
	static const int sizes[] = {1, 2, 3, 5, 14, 31, 32, 33, 34, 60, 100, 1000, 50000};
	bool		ok = true;
	bool		ok_distinct = true;

	for (int s = 0; s < lengthof(sizes); s++)
	{
		for (int repeat = 0; repeat < (sizes[s] > 1000 ? PATTERNS : 20 * PATTERNS); repeat++)
		{
			ValueArray *array = NULL;
			uint64		distinct;

			for (int i = 0; i < sizes[s]; i++)
				array = value_array_add(array, pattern_value(repeat % PATTERNS, i, sizes[s]), NULL);
			ok = check_selection(array, 6) && ok;
			distinct = distinct_by_sorting(array);
			ok_distinct = ok_distinct && value_array_distinct(array) == distinct;
			ok = check_selection(array, 6) && ok;
			pfree(array);
		}
	}
	tap_ok(ok, "percentiles are those of sorted values");
	tap_ok(ok_distinct, "distinct values are those of sorted values");
}

/* Values in order that are elsewhere: in an array that the one under test is without. */
typedef struct Elsewhere
{
	SortedValues sorted;
	const ValueArray *array;
} Elsewhere;

static double
elsewhere_at(const SortedValues *values, uint64 place)
{
	return value_array_at(((const Elsewhere *) values)->array, place);
}

/* Whether an array whose values are elsewhere answers as one that has them. */
static bool
check_elsewhere(ValueArray *array)
{
	Elsewhere	elsewhere = {.sorted = {.n = array->used,.at = elsewhere_at},.array = array};
	ValueArray *without = value_array_elsewhere(&elsewhere.sorted, NULL);
	ValueArray *with = value_array_append(NULL, array->values, array->wide, array->used, NULL);
	bool		ok = value_array_distinct(without) == distinct_by_sorting(array);

	for (int i = 0; i < 10; i++)
	{
		double		fraction = i < 3 ? i / 2.0 : random_below(1000) / 1000.0;

		ok = ok && float8_compare(value_array_percentile(without, fraction),
								  value_array_percentile(with, fraction)) == 0;
	}
	pfree(without);
	pfree(with);
	return ok;
}

static bool
is_sorted(const ValueArray *array)
{
	for (uint32 i = 1; i < array->used; i++)
		if (float8_compare(value_array_at(array, i - 1), value_array_at(array, i)) > 0)
			return false;
	return true;
}

static void
test_elsewhere(void)
{
	static const int sizes[] = {1, 2, 16, 17, 100, 5000};
	bool		ok = true;
	bool		ok_sorted = true;

	for (int s = 0; s < lengthof(sizes); s++)
	{
		for (int repeat = 0; repeat < 5 * PATTERNS; repeat++)
		{
			ValueArray *array = NULL;

			for (int i = 0; i < sizes[s]; i++)
				array = value_array_add(array, pattern_value(repeat % PATTERNS, i, sizes[s]), NULL);
			value_array_sort(array);
			ok_sorted = ok_sorted && is_sorted(array);
			ok = ok && check_elsewhere(array);
			pfree(array);
		}
	}
	tap_ok(ok_sorted, "sorting in the order of PostgreSQL");
	tap_ok(ok, "values that are elsewhere");
}

static void
test_worst_case(void)
{
	int			n = 200000;
	ValueArray *array = value_array_create(n, true, NULL);
	clock_t		start;
	bool		ok;

	array->used = n;
	make_killer(array->values, n);
	start = clock();
	ok = check_selection(array, 1);
	tap_ok(ok && (clock() - start) / CLOCKS_PER_SEC < 5,
		   "values made to deceive the choice of pivots");
	pfree(array);
}

/* Selects and sorts with an interrupt ahead; returns whether it came. */
static bool
interrupt_selection(ValueArray *array, int checks)
{
	volatile bool interrupted = false;

	shim_interrupt_after(checks);
	PG_TRY();
	{
		value_array_percentile(array, random_below(2) ? 0.5 : 0.9);
		value_array_distinct(array);
	}
	PG_CATCH();
	{
		interrupted = shim_error_code == ERRCODE_QUERY_CANCELED;
	}
	PG_END_TRY();
	shim_interrupt_after(0);
	return interrupted;
}

static double
sum_of(const ValueArray *array)
{
	double		sum = 0;

	for (uint32 i = 0; i < array->used; i++)
		sum += value_array_at(array, i);
	return sum;
}

static void
shuffle(ValueArray *array)
{
	double	   *values = copy_values(array);
	uint32		n = array->used;

	for (uint32 i = 0; i < n; i++)
	{
		uint32		other = random_below(n);
		double		x = values[i];

		values[i] = values[other];
		values[other] = x;
	}
	array->used = 0;
	array->ordered = 0;
	for (uint32 i = 0; i < n; i++)
		(void) value_array_add(array, values[i], NULL);
	free(values);
}

static void
test_interrupts(bool wide)
{
	ValueArray *array = NULL;
	int			interrupted = 0;
	bool		ok = true;

	for (int i = 0; i < 5000; i++)
		array = value_array_add(array, random_below(1000) + (wide ? 0.1 : 0), NULL);
	for (int checks = 1; checks < 100000; checks += checks / 5 + 1)
	{
		double		sum = sum_of(array);

		interrupted += interrupt_selection(array, checks);
		ok = ok && fabs(sum_of(array) - sum) < 0.001 && check_selection(array, 1);
		shuffle(array);
	}
	tap_ok(ok && interrupted > 10, "selection and sorting can be interrupted (%d times)",
		   interrupted);
	pfree(array);
}

/* Whether adding n values to an array that can hardly hold more is refused. */
static bool
append_refused(const double *more, int n)
{
	ValueArray	full = {.used = PG_UINT32_MAX - 10, .size = PG_UINT32_MAX - 10, .wide = true};
	volatile bool refused = false;

	PG_TRY();
	{
		value_array_append(&full, more, true, n, NULL);
	}
	PG_CATCH();
	{
		refused = shim_error_code == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
	}
	PG_END_TRY();
	return refused;
}

static void
test_arrays(void)
{
	double		more[14] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
	ValueArray *array = NULL;
	bool		ok = true;
	uint32		sizes = 0;
	uint32		size = 0;

	for (int i = 0; i < 3000000; i++)
	{
		array = value_array_add(array, i, NULL);
		sizes += array->size != size;
		size = array->size;
	}
	for (int i = 0; i < 3000000; i++)
		ok = ok && value_array_at(array, i) == i;
	tap_ok(ok && sizes < 90 && size < 3400000,
		   "an array of 3000000 values has grown %u times, to room for %u", sizes, size);
	pfree(array);

	array = value_array_append(NULL, more, true, 14, NULL);
	ok = array->used == 14 && array->size == 14;
	array = value_array_append(array, more, true, 1, NULL);
	array = value_array_append(array, more, true, 0, NULL);
	tap_ok(ok && array->used == 15 && array->values[14] == 1 && array->values[13] == 14,
		   "appending");
	pfree(array);

	tap_ok(append_refused(more, 14), "an array cannot grow without bound");
}

/* Values, some of which need eight bytes; NaN and infinities do not. */
static void
test_widths(void)
{
	static const double values[] = {
		1, -16777216, 0.5, -0.0, FLT_MAX, FLT_MIN, INFINITY, -INFINITY, NAN, 1e-45f,
		0.1, 16777217, DBL_MAX, -DBL_MAX, DBL_MIN, 1e-46
	};
	ValueArray *array = NULL;
	ValueArray *both;
	bool		ok = true;

	for (int i = 0; i < lengthof(values); i++)
	{
		array = value_array_add(array, values[i], NULL);
		ok = ok && array->wide == (i >= 10);
		for (int j = 0; j <= i; j++)
			ok = ok && same(value_array_at(array, j), values[j]);
	}
	tap_ok(ok, "an array is narrow until a value is not a float4");
	both = value_array_append(NULL, (const float[]) {7, 8}, false, 2, NULL);
	both = value_array_append(both, array->values, true, array->used, NULL);
	both = value_array_append(both, (const float[]) {9, 10}, false, 2, NULL);
	ok = both->wide && both->used == array->used + 4 && both->values[1] == 8 &&
		both->values[2] == 1 && both->values[array->used + 3] == 10;
	tap_ok(ok, "appending values of either width");
	pfree(array);
	pfree(both);
}

static void
test_compare(void)
{
	static const double order[] = {-INFINITY, -1, 0, 1, INFINITY, NAN};
	bool		ok = float8_compare(-0.0, 0.0) == 0;

	for (int i = 0; i < lengthof(order); i++)
		for (int j = 0; j < lengthof(order); j++)
		{
			int			c = float8_compare(order[i], order[j]);

			ok = ok && (c > 0) - (c < 0) == (i > j) - (i < j);
		}
	tap_ok(ok, "the order of float8");
}

int
main(int argc, char **argv)
{
	uint64		seed = argc > 1 ? strtoul(argv[1], NULL, 10) * 2 + 1 : 20240229;

	random_seed(seed);
	tap_note("seed %llu", (unsigned long long) seed);

	test_names();
	test_suggestions();
	test_lists();
	test_fields();
	test_compare();
	test_samples();
	test_small_groups();
	test_undefined();
	test_overflow();
	test_selection();
	test_elsewhere();
	test_worst_case();
	test_interrupts(false);
	test_interrupts(true);
	test_arrays();
	test_widths();
	return tap_done();
}
