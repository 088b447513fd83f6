/*-------------------------------------------------------------------------
 *
 * aggregate.c
 *	  The aggregates by name, and what each needs of a partial state.
 *
 * Every aggregate is known by one canonical name, which is what the results
 * carry; some have a second name, and case never matters.  Percentiles are a
 * family: "p" and a percentage from 1 to 99, with decimals behind an
 * underscore, so p99_9 is the value below which 99.9 % of the others lie.
 * Decimals that say nothing are dropped from the canonical name (p99_90 and
 * p99_9 are one aggregate, p99_0 is p99), so that two spellings of the same
 * percentile can never give two results.  The median is kept apart from p50:
 * both are computed alike, but who asks for either finds it by that name.
 *
 * Lists of aggregates come as people write them: bare ("sum, avg"), as an
 * array literal ("{sum,avg}") or as JSON ('["sum", "avg"]').  No name needs
 * quoting, so the three differ only in the brackets around them and in
 * quotes that may surround a name; one reader takes them all.
 *
 * A pure room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "stats/aggregate.h"
#include "words/nearest.h"

typedef struct AggregateName
{
	const char *name;			/* as it may be written */
	const char *canonical;		/* as results carry it */
	AggregateKind kind;
	double		fraction;		/* of a percentile, else 0 */
} AggregateName;

static const AggregateName aggregate_names[] = {
	{"sum", "sum", AGGREGATE_SUM, 0},
	{"avg", "avg", AGGREGATE_AVG, 0},
	{"mean", "avg", AGGREGATE_AVG, 0},
	{"count", "count", AGGREGATE_COUNT, 0},
	{"min", "min", AGGREGATE_MIN, 0},
	{"max", "max", AGGREGATE_MAX, 0},
	{"median", "median", AGGREGATE_PERCENTILE, 0.5},
	{"std", "std", AGGREGATE_STD, 0},
	{"stddev", "std", AGGREGATE_STD, 0},
	{"var", "var", AGGREGATE_VAR, 0},
	{"variance", "var", AGGREGATE_VAR, 0},
	{"stddev_pop", "stddev_pop", AGGREGATE_STDDEV_POP, 0},
	{"var_pop", "var_pop", AGGREGATE_VAR_POP, 0},
	{"range", "range", AGGREGATE_RANGE, 0},
	{"first", "first", AGGREGATE_FIRST, 0},
	{"last", "last", AGGREGATE_LAST, 0},
	{"delta", "delta", AGGREGATE_DELTA, 0},
	{"distinct", "distinct", AGGREGATE_DISTINCT, 0}
};

/* What other systems call them. */
static const Synonym foreign_names[] = {
	{"average", "avg"}, {"arithmeticmean", "avg"},
	{"total", "sum"}, {"add", "sum"},
	{"cnt", "count"}, {"num", "count"}, {"number", "count"}, {"n", "count"}, {"samples", "count"},
	{"samplecount", "count"}, {"rows", "count"}, {"count*", "count"},
	{"minimum", "min"}, {"lowest", "min"}, {"smallest", "min"}, {"p0", "min"}, {"0", "min"},
	{"maximum", "max"}, {"highest", "max"}, {"largest", "max"}, {"peak", "max"}, {"p100", "max"},
	{"100", "max"}, {"100%", "max"},
	{"med", "median"},
	{"stdev", "std"}, {"stddevsamp", "std"}, {"stdevs", "std"}, {"sd", "std"}, {"sigma", "std"},
	{"standarddeviation", "std"}, {"stddevpop", "stddev_pop"}, {"stdpop", "stddev_pop"},
	{"stdevp", "stddev_pop"}, {"stdp", "stddev_pop"},
	{"varsamp", "var"}, {"varpop", "var_pop"}, {"varp", "var_pop"}, {"variancepop", "var_pop"},
	{"spread", "range"}, {"maxmin", "range"},
	{"firstvalue", "first"}, {"lastvalue", "last"}, {"earliest", "first"}, {"oldest", "first"}, {"open", "first"},
	{"latest", "last"}, {"newest", "last"}, {"current", "last"}, {"close", "last"},
	{"difference", "delta"}, {"diff", "delta"}, {"increase", "delta"}, {"change", "delta"},
	{"uniq", "distinct"}, {"unique", "distinct"}, {"nunique", "distinct"},
	{"countdistinct", "distinct"}, {"distinctcount", "distinct"}, {"uniquecount", "distinct"},
	{"countunique", "distinct"}, {"cardinality", "distinct"}, {"dcount", "distinct"},
	{"approxcountdistinct", "distinct"}
};

/* What other systems write before or behind the percentage of a percentile. */
static const char *const percentile_words[] = {
	"percentilecont", "percentiledisc", "percentile", "perc", "pctl", "pct", "quantile", "q", "p"
};
static const char *const percentile_ends[] = {
	"", "%", "th", "st", "nd", "rd", "percent", "percentile", "thpercentile"
};

/*
 * Most decimals a percentile may have.  With two digits before them the
 * percentage, read as an integer, and the power of ten that divides it are
 * exact in a double, so the quotient is the double nearest to the fraction:
 * the same as PostgreSQL reads from its decimal notation.
 */
#define MAX_PERCENTILE_DECIMALS 12

/* What people call blank in a list. */
#define LIST_BLANKS " \t\n\r\f\v"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * Reads a percentile's name, of `length` bytes.  False if it is none.
 */
static bool
parse_percentile(const char *word, int length, Aggregate *result)
{
	int			at = 1;
	int			decimals = 0;
	double		digits = 0;
	double		scale = 100;

	if (length < 2 || (word[0] != 'p' && word[0] != 'P') || word[1] == '0')
		return false;
	for (; at < length && at <= 2 && is_digit(word[at]); at++)
		digits = digits * 10 + (word[at] - '0');
	if (at == 1)
		return false;

	if (at < length)
	{
		if (word[at] != '_' || length - at - 1 < 1)
			return false;
		decimals = length - at - 1;
		while (decimals > 0 && word[at + decimals] == '0')
			decimals--;
		if (decimals > MAX_PERCENTILE_DECIMALS)
			return false;
		for (int i = at + 1; i < length; i++)
		{
			if (!is_digit(word[i]))
				return false;
			if (i <= at + decimals)
			{
				digits = digits * 10 + (word[i] - '0');
				scale *= 10;
			}
		}
	}

	result->kind = AGGREGATE_PERCENTILE;
	result->fraction = digits / scale;
	length = at + (decimals > 0 ? 1 + decimals : 0);
	memcpy(result->name, word, length);
	result->name[0] = 'p';
	result->name[length] = '\0';
	return true;
}

/*
 * Reads an aggregate's name, of `length` bytes.  Returns NULL, or what is
 * wrong with it.
 */
static const char *
parse_word(const char *word, int length, Aggregate *result)
{
	for (int i = 0; i < lengthof(aggregate_names); i++)
	{
		const AggregateName *known = &aggregate_names[i];

		if (strlen(known->name) == length && pg_strncasecmp(known->name, word, length) == 0)
		{
			result->kind = known->kind;
			result->fraction = known->fraction;
			strlcpy(result->name, known->canonical, AGGREGATE_NAME_LEN);
			return NULL;
		}
	}
	if (parse_percentile(word, length, result))
		return NULL;
	return "Aggregates are sum, avg, count, min, max, median, std, var, stddev_pop, var_pop, "
		"range, first, last, delta, distinct, and percentiles from p1 to p99 such as p95 or p99_9.";
}

/*
 * aggregate_parse
 *		Reads one aggregate by its name; case does not matter, blanks do.
 *
 * Returns NULL with *result filled, or a sentence that says what is wrong
 * (static).
 */
const char *
aggregate_parse(const char *name, Aggregate *result)
{
	return parse_word(name, strlen(name), result);
}

/*
 * Reads what other systems write for a percentile: p99.9, percentile_95, 95th,
 * 95%, percentile_cont(0.95), p999.  `word` is in lower case.
 */
static bool
suggest_percentile(const char *word, Aggregate *result)
{
	char		digits[NEAREST_MAX_LENGTH];
	char		proposal[NEAREST_MAX_LENGTH + 4];
	size_t		whole;
	size_t		decimals = 0;
	bool		known_end = false;

	for (int i = 0; i < lengthof(percentile_words); i++)
		if (strncmp(word, percentile_words[i], strlen(percentile_words[i])) == 0)
		{
			word += strlen(percentile_words[i]);
			break;
		}
	whole = strspn(word, "0123456789");
	if (whole > 0 && word[whole] == '.')
		decimals = strspn(word + whole + 1, "0123456789");
	for (int i = 0; i < lengthof(percentile_ends); i++)
		known_end |= strcmp(word + whole + (decimals > 0 ? decimals + 1 : 0),
							percentile_ends[i]) == 0;
	if (!known_end || whole == 0)
		return false;

	/* The digits without the point; a fraction lacks two of them before it. */
	snprintf(digits, sizeof(digits), "%.*s%.*s%s", (int) whole, word, (int) decimals,
			 word + whole + 1, decimals == 1 ? "0" : "");
	if (whole == 1 && digits[0] == '0' && decimals > 0)
		whole = 3;
	else if (whole > 2 && decimals == 0 && digits[0] == '9')
		whole = 2;
	for (word = digits; *word == '0' && whole > 1; word++)
		whole--;
	snprintf(proposal, sizeof(proposal), "p%.*s_%s0", (int) whole, word, word + whole);
	return parse_percentile(proposal, strlen(proposal), result);
}

/* Reads a call of SQL: sum(x), count(distinct x). */
static bool
suggest_call(const char *word, Aggregate *result)
{
	char		folded[NEAREST_MAX_LENGTH];
	char	   *argument;
	const char *meant;

	word_fold(word, " \t\n\r-_'\"", folded, sizeof(folded));
	argument = strchr(folded, '(');
	if (argument == NULL)
		return false;
	*argument++ = '\0';
	if (strncmp(argument, "distinct", strlen("distinct")) == 0)
		return aggregate_parse("distinct", result) == NULL;
	meant = synonym_of(foreign_names, lengthof(foreign_names), folded);
	return aggregate_parse(meant ? meant : folded, result) == NULL;
}

/*
 * aggregate_suggest
 *		Which aggregate was probably meant by a word that is none.
 *
 * Returns false where there is nothing to propose; else sets *result.
 */
bool
aggregate_suggest(const char *word, Aggregate *result)
{
	char		folded[NEAREST_MAX_LENGTH];
	const char *known[lengthof(aggregate_names) + lengthof(foreign_names)];
	const char *meant;

	word_fold(word, " \t\n\r-_'\"()", folded, sizeof(folded));
	meant = synonym_of(foreign_names, lengthof(foreign_names), folded);
	if (meant == NULL && suggest_percentile(folded, result))
		return true;
	if (meant == NULL && suggest_call(word, result))
		return true;
	for (int i = 0; i < lengthof(aggregate_names); i++)
		known[i] = aggregate_names[i].name;
	for (int i = 0; i < lengthof(foreign_names); i++)
		known[lengthof(aggregate_names) + i] = foreign_names[i].word;
	if (meant == NULL)
		meant = word_nearest(folded, known, lengthof(known));
	if (meant != NULL && synonym_of(foreign_names, lengthof(foreign_names), meant))
		meant = synonym_of(foreign_names, lengthof(foreign_names), meant);
	return meant != NULL && aggregate_parse(meant, result) == NULL;
}

/*
 * Is this several aggregates, with something else than commas between them?
 */
bool
aggregates_lack_commas(const char *words)
{
	static const char separators[] = " ;|/+&\t\n";
	int			n = 0;

	for (;; n++)
	{
		size_t		length;
		Aggregate	aggregate;

		words += strspn(words, separators);
		length = strcspn(words, separators);
		if (length == 0)
			return n > 1;
		if (length == 3 && pg_strncasecmp(words, "and", length) == 0)
		{
			words += length;
			continue;
		}
		if (parse_word(words, length, &aggregate) != NULL)
			return false;
		words += length;
	}
}

/*
 * Drops blanks from both ends of the `length` bytes at *word; returns the
 * length that is left.
 */
static int
trim(const char **word, int length)
{
	while (length > 0 && strchr(LIST_BLANKS, **word) != NULL)
	{
		(*word)++;
		length--;
	}
	while (length > 0 && strchr(LIST_BLANKS, (*word)[length - 1]) != NULL)
		length--;
	return length;
}

/*
 * Finds what stands between the brackets of a list, if it has any: moves
 * *list to it and returns its length, or -1 if a bracket has no partner.
 */
static int
strip_brackets(const char **list)
{
	int			length = trim(list, strlen(*list));
	char		last = length > 0 ? (*list)[length - 1] : '\0';

	if (**list == '{' || **list == '[')
	{
		if (length < 2 || last != (**list == '{' ? '}' : ']'))
			return -1;
		(*list)++;
		length = trim(list, length - 2);
	}
	return length;
}

/*
 * Copies a word for the message about it, as much of it as there is room
 * for.  A cut goes back to the last ASCII character, so that it never leaves
 * half a character, whatever the encoding.
 */
static void
copy_offender(const char *word, int length, char *offender, int offender_size)
{
	if (length >= offender_size)
	{
		length = offender_size - 1;
		while (length > 0 && IS_HIGHBIT_SET(word[length - 1]))
			length--;
	}
	memcpy(offender, word, length);
	offender[length] = '\0';
}

/*
 * aggregate_list_parse
 *		Reads a list of aggregates: 'sum,avg', '{sum,avg}' or '["sum","avg"]'.
 *
 * Blanks around names and case do not matter; an aggregate that was named
 * before is passed over.  `result` has room for MAX_AGGREGATES; *n is set to
 * the number filled, in the order written.
 *
 * Returns NULL, or a sentence that says what is wrong (static), with the word
 * at fault in `offender`, which is "" when the list as a whole is at fault.
 */
const char *
aggregate_list_parse(const char *list, Aggregate *result, int *n,
					 char *offender, int offender_size)
{
	int			left = strip_brackets(&list);

	*n = 0;
	offender[0] = '\0';
	if (left < 0)
		return "A bracket of the list of aggregates is not closed.";
	if (left == 0)
		return "The list of aggregates is empty.";

	for (;;)
	{
		const char *comma = memchr(list, ',', left);
		const char *word = list;
		int			length = trim(&word, comma ? comma - list : left);
		const char *reason;
		Aggregate	aggregate;
		int			i = 0;

		if (length >= 2 && word[0] == '"' && word[length - 1] == '"')
		{
			word++;
			length = trim(&word, length - 2);
		}
		if (length == 0)
			return "A name is missing in the list of aggregates.";
		reason = parse_word(word, length, &aggregate);
		if (reason != NULL)
		{
			copy_offender(word, length, offender, offender_size);
			return reason;
		}

		while (i < *n && strcmp(result[i].name, aggregate.name) != 0)
			i++;
		if (i == MAX_AGGREGATES)
			return "The list has too many aggregates.";
		if (i == *n)
			result[(*n)++] = aggregate;

		if (comma == NULL)
			return NULL;
		left -= comma + 1 - list;
		list = comma + 1;
	}
}
