/*-------------------------------------------------------------------------
 *
 * test_parsers.c
 *	  Random inputs to what reads texts of users: event names, cron
 *	  expressions, granularities, lists of aggregates, and words.
 *
 * An input is a valid text with some mutations, tokens of the grammar in any
 * order, or bytes by chance.  It stands in a chunk of its own, which it fills,
 * so that a sanitizer (SANITIZE, see the Makefile) sees a read behind its end.
 * What is asked of each reader is more than that it survives:
 *
 * - what it takes, it writes in a way that it reads as the same;
 * - what it refuses, it refuses with a sentence;
 * - what it proposes instead is something that it takes;
 * - whatever it takes can be used: buckets hold their instants, and schedules
 *	 fire after the instant asked for, as their fields say.
 *
 * BATCHAGG_PARSER_INPUTS is the number of inputs to each reader, and
 * BATCHAGG_SEED where their randomness starts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shim.h"
#include "stats/aggregate.h"
#include "time/bucket.h"
#include "time/event.h"
#include "time/zone.h"
#include "words/nearest.h"
#include "zone_shim.h"

#define MAX_INPUT 700
#define MAX_SHOWN 5				/* failures of a reader that are printed */

/* What the inputs to one reader are made of. */
typedef struct Grammar
{
	const char *name;
	const char *const *texts;	/* valid ones; NULL behind the last */
	const char *const *tokens;	/* likewise */
	const char *(*check) (const char *input);	/* NULL, or what is wrong */
} Grammar;

/* A zone with daylight saving time, whose clock also leaps over a day. */
static pg_tz *zone;
static pg_tz *other_zone;

/* ------------------------------------------------------------------------
 * Inputs
 * ------------------------------------------------------------------------
 */

static const char *
one_of(const char *const *texts)
{
	int			n = 0;

	while (texts[n] != NULL)
		n++;
	return texts[random_between(0, n)];
}

static char
some_byte(void)
{
	static const char likely[] = " \t\n\r*,-/@0123456789aApPmMeE{}[]\"'_().%";

	return random_between(0, 4) > 0 ? likely[random_between(0, sizeof(likely) - 1)] :
		(char) random_between(1, 256);
}

/* Puts `insert` into a text at `at`, as far as there is room. */
static void
put_in(char *text, int at, const char *insert)
{
	char		rest[MAX_INPUT];

	strlcpy(rest, text + at, sizeof(rest));
	text[at] = '\0';
	strlcat(text, insert, MAX_INPUT);
	strlcat(text, rest, MAX_INPUT);
}

static void
mutate(const Grammar *grammar, char *text)
{
	int			length = strlen(text);
	int			at = random_between(0, length + 1);
	int			bytes = random_between(1, 5);
	char		piece[MAX_INPUT];

	bytes = Min(bytes, length - at);
	switch (random_between(0, 6))
	{
		case 0:					/* drop some */
			memmove(text + at, text + at + bytes, length - at - bytes + 1);
			break;
		case 1:					/* change one */
			if (at < length)
				text[at] = some_byte();
			break;
		case 2:					/* one more */
			piece[0] = some_byte();
			piece[1] = '\0';
			put_in(text, at, piece);
			break;
		case 3:					/* repeat some */
			strlcpy(piece, text + at, bytes + 1);
			for (int64 n = random_between(1, random_between(0, 20) > 0 ? 4 : 200); n > 0; n--)
				put_in(text, at, piece);
			break;
		case 4:
			put_in(text, at, one_of(grammar->tokens));
			break;
		case 5:					/* the end of another text */
			strlcpy(piece, one_of(grammar->texts), sizeof(piece));
			text[at] = '\0';
			strlcat(text, piece + random_between(0, strlen(piece) + 1), MAX_INPUT);
			break;
	}
}

/* A random input, in a chunk that it fills. */
static char *
some_input(const Grammar *grammar)
{
	char		text[MAX_INPUT] = "";
	int			kind = random_between(0, 10);
	int64		n;

	if (kind == 0)
		for (n = random_between(0, 40); n > 0; n--)
		{
			char		piece[2] = {some_byte(), '\0'};

			strlcat(text, piece, sizeof(text));
		}
	else if (kind < 4)
		for (n = random_between(1, 9); n > 0; n--)
			strlcat(text, one_of(grammar->tokens), sizeof(text));
	else
	{
		strlcpy(text, one_of(grammar->texts), sizeof(text));
		for (n = random_between(0, 5); n > 0; n--)
			mutate(grammar, text);
	}
	return pstrdup(text);
}

/* A copy with the case of some letters changed. */
static char *
other_case(const char *text)
{
	char	   *copy = pstrdup(text);

	for (char *c = copy; *c != '\0'; c++)
		if (((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z')) && random_between(0, 2) == 0)
			*c ^= 0x20;
	return copy;
}

static bool
is_sentence(const char *text)
{
	return text != NULL && text[0] >= 'A' && text[0] <= 'Z' && text[strlen(text) - 1] == '.';
}

/* An instant: mostly of our time, sometimes at the bounds of all time. */
static TimestampTz
some_instant(void)
{
	switch (random_between(0, 12))
	{
		case 0:
			return MIN_TIMESTAMP + random_between(0, 100 * USECS_PER_DAY);
		case 1:
			return END_TIMESTAMP - random_between(1, 3000 * USECS_PER_DAY);
		case 2:
			return random_between(MIN_TIMESTAMP, END_TIMESTAMP);
		default:
			return random_between(0, 11000 * USECS_PER_DAY);
	}
}

/* ------------------------------------------------------------------------
 * Cron expressions
 * ------------------------------------------------------------------------
 */

/* Writes a field as a list of numbers; '*' alone where it began with one and is full. */
static void
append_bits(char *expression, uint64 bits, int min, int max, bool star)
{
	const char *separator = "";

	if (expression[0] != '\0')
		strlcat(expression, " ", MAX_INPUT);
	if (star)
	{
		strlcat(expression, "*", MAX_INPUT);
		return;
	}
	for (int value = min; value <= max; value++)
		if (bits & (UINT64CONST(1) << value))
		{
			char		number[8];

			snprintf(number, sizeof(number), "%s%d", separator, value);
			strlcat(expression, number, MAX_INPUT);
			separator = ",";
		}
}

static bool
same_schedule(const CronSchedule *a, const CronSchedule *b)
{
	return a->minutes == b->minutes && a->hours == b->hours && a->days == b->days &&
		a->months == b->months && a->weekdays == b->weekdays;
}

/* Are all bits within the bounds of their fields, and none of them empty? */
static bool
within_bounds(const CronSchedule *schedule)
{
	return schedule->minutes != 0 && schedule->minutes >> 60 == 0 &&
		schedule->hours != 0 && schedule->hours >> 24 == 0 &&
		schedule->days != 0 && (schedule->days & 1) == 0 &&
		schedule->months != 0 && (schedule->months & 1) == 0 && schedule->months >> 13 == 0 &&
		schedule->weekdays != 0 && schedule->weekdays >> 7 == 0;
}

/* What is wrong with when a schedule fires next. */
static const char *
check_firing(const CronSchedule *schedule)
{
	TimestampTz after = some_instant();
	TimestampTz next;
	TimestampTz again;

	if (!cron_next(schedule, zone, after, &next))
		return after < END_TIMESTAMP - 41 * 366 * USECS_PER_DAY ? "it never fires" : NULL;
	if (next <= after || next >= END_TIMESTAMP)
		return "it does not fire later";
	if (!cron_next(schedule, zone, next - 1, &again) || again != next)
		return "it does not fire when it does, asked just before";
	if (!cron_next(schedule, zone, after + (next - after) / 2, &again) ||
		again > next || (after + (next - after) / 2 < next && again != next))
		return "it fires at another time, asked later";
	return NULL;
}

static const char *
check_schedule(const CronSchedule *schedule)
{
	char		expression[MAX_INPUT] = "";
	char		cover[CRON_COVER_LEN];
	CronSchedule again;
	TimestampTz from = random_between(0, 11000) * USECS_PER_DAY;

	if (!within_bounds(schedule))
		return "a value is out of bounds";
	append_bits(expression, schedule->minutes, 0, 59, false);
	append_bits(expression, schedule->hours, 0, 23, false);
	append_bits(expression, schedule->days, 1, 31,
				schedule->any_day && schedule->days == 0xFFFFFFFE);
	append_bits(expression, schedule->months, 1, 12, false);
	append_bits(expression, schedule->weekdays, 0, 6,
				schedule->any_weekday && schedule->weekdays == 0x7F);
	if (schedule->any_day && schedule->any_weekday && schedule->days != 0xFFFFFFFE &&
		schedule->weekdays != 0x7F)
		;						/* '*' with a step cannot be written as a list */
	else if (cron_parse(expression, &again) != NULL || !same_schedule(schedule, &again))
		return "written as lists of numbers it is another";

	/* It goes through a year of minutes, so not each time. */
	if (random_between(0, 50) == 0)
	{
		cron_cover(schedule, zone, other_zone, from, from + 400 * USECS_PER_DAY, cover);
		if (strlen(cover) >= CRON_COVER_LEN || cron_parse(cover, &again) != NULL)
			return "its cover is no expression";
	}
	return check_firing(schedule);
}

static const char *
check_cron(const char *input)
{
	CronSchedule schedule;
	CronSchedule again;
	const char *problem = cron_parse(input, &schedule);
	char	   *copy;

	if (problem != NULL)
		return is_sentence(problem) ? NULL : "it is refused without a sentence";

	copy = other_case(input);
	if (cron_parse(copy, &again) != NULL || !same_schedule(&schedule, &again))
		return "in another case it is another";
	pfree(copy);
	return check_schedule(&schedule);
}

/* ------------------------------------------------------------------------
 * Events
 * ------------------------------------------------------------------------
 */

/* What is wrong with the proposal for a name that is refused. */
static const char *
check_proposal(const char *input)
{
	static const char *const known[] = {"NIGHTLY_CLOSE", "after lunch", ""};
	char		proposal[EVENT_TEXT_LEN];
	EventMeaning meaning;

	if (!event_suggest(input, known, lengthof(known), proposal))
		return NULL;
	for (int i = 0; i < lengthof(known); i++)
		if (strcmp(proposal, known[i]) == 0)
			return NULL;
	return event_parse(proposal, &meaning) ? NULL : "what is proposed is no event";
}

static const char *
check_event(const char *input)
{
	EventMeaning meaning;
	EventMeaning again;
	CronSchedule schedule;
	const char *problem = event_problem(input);
	char	   *copy;

	if (event_parse(input, &meaning) != (problem == NULL))
		return "parsing and the problem disagree";
	if (problem != NULL)
		return is_sentence(problem) ? check_proposal(input) : "it is refused without a sentence";

	if (strlen(meaning.timezone) >= EVENT_TEXT_LEN || strlen(meaning.cron) >= EVENT_TEXT_LEN)
		return "a text is not terminated";
	if (cron_parse(meaning.cron, &schedule) != NULL)
		return "its cron expression is none";
	if (!event_parse(meaning.cron, &again) || strcmp(again.cron, meaning.cron) != 0 ||
		again.timezone[0] != '\0')
		return "its cron expression is no event, or another";

	copy = other_case(input);
	if (!event_parse(copy, &again) || pg_strcasecmp(again.cron, meaning.cron) != 0 ||
		pg_strcasecmp(again.timezone, meaning.timezone) != 0)
		return "in another case it is another";
	pfree(copy);
	return check_schedule(&schedule);
}

/* ------------------------------------------------------------------------
 * Granularities
 * ------------------------------------------------------------------------
 */

static bool
same_granularity(const Granularity *a, const Granularity *b)
{
	return a->kind == b->kind && a->width == b->width && a->count == b->count &&
		strcmp(a->unit, b->unit) == 0;
}

static const char *
check_buckets(const Granularity *g)
{
	TimestampTz t = some_instant();
	TimestampTz start = bucket_start(g, zone, t);
	TimestampTz end = bucket_end(g, zone, start);

	if (start > t || end <= t)
		return "a bucket does not hold its instant";
	if (bucket_start(g, zone, end - 1) != start || bucket_start(g, zone, start) != start)
		return "a bucket's first and last instant are not its own";
	if (end < END_TIMESTAMP && bucket_start(g, zone, end) != end)
		return "no bucket begins where one ends";
	return NULL;
}

static const char *
check_granularity(const char *input)
{
	Granularity g;
	Granularity again;
	const char *problem = granularity_parse(input, &g);
	char		text[GRANULARITY_TEXT_LEN];
	char	   *copy;

	if (problem != NULL && !is_sentence(problem))
		return "it is refused without a sentence";
	if (problem != NULL && !granularity_suggest(input, &g))
		return NULL;

	/* What was read, or what is proposed. */
	granularity_format(&g, text);
	if (granularity_parse(text, &again) != NULL || !same_granularity(&g, &again))
		return "as it is written it is another";
	granularity_result_infix(&g, text);
	if (strlen(text) < 3)
		return "it has no name in results";
	if (g.count < 1 || g.count > GRANULARITY_MAX_COUNT || granularity_length(&g) < 1)
		return "its count or length is out of bounds";
	if (!granularity_nests(&g, &g))
		return "it does not nest in itself";
	if (problem == NULL)
	{
		copy = other_case(input);
		if (granularity_parse(copy, &again) != NULL || !same_granularity(&g, &again))
			return "in another case it is another";
		pfree(copy);
	}
	return check_buckets(&g);
}

/* ------------------------------------------------------------------------
 * Aggregates, and words
 * ------------------------------------------------------------------------
 */

static bool
same_aggregate(const Aggregate *a, const Aggregate *b)
{
	return a->kind == b->kind && a->fraction == b->fraction && strcmp(a->name, b->name) == 0;
}

/* What is wrong with a list that was read: written again, it must be the same. */
static const char *
check_list(const Aggregate *list, int n)
{
	char		text[MAX_AGGREGATES * (AGGREGATE_NAME_LEN + 3) + 3] = "[";
	char		offender[32];
	Aggregate	again[MAX_AGGREGATES];
	int			n_again;

	if (n < 1 || n > MAX_AGGREGATES)
		return "its length is out of bounds";
	for (int i = 0; i < n; i++)
	{
		if (strlen(list[i].name) >= AGGREGATE_NAME_LEN ||
			aggregate_parse(list[i].name, again) != NULL || !same_aggregate(&list[i], again))
			return "by its name an aggregate is another";
		if (list[i].kind == AGGREGATE_PERCENTILE &&
			!(list[i].fraction > 0 && list[i].fraction < 1))
			return "a fraction is out of bounds";
		strlcat(text, i > 0 ? ",\"" : "\"", sizeof(text));
		strlcat(text, list[i].name, sizeof(text));
		strlcat(text, "\"", sizeof(text));
	}
	strlcat(text, "]", sizeof(text));
	if (aggregate_list_parse(text, again, &n_again, offender, sizeof(offender)) != NULL ||
		n_again != n)
		return "written as JSON it is another";
	for (int i = 0; i < n; i++)
		if (!same_aggregate(&list[i], &again[i]))
			return "written as JSON it has another aggregate";
	return NULL;
}

static const char *
check_aggregates(const char *input)
{
	Aggregate	list[MAX_AGGREGATES];
	Aggregate	proposal;
	int			n;
	int			room = random_between(1, 40);
	char	   *offender = palloc(room);
	const char *problem = aggregate_list_parse(input, list, &n, offender, room);
	const char *wrong = NULL;

	if (problem == NULL)
		wrong = check_list(list, n);
	else if (!is_sentence(problem))
		wrong = "it is refused without a sentence";
	else if (strlen(offender) >= room || strstr(input, offender) == NULL)
		wrong = "the word at fault is none of its words";
	else
	{
		(void) aggregates_lack_commas(input);
		if (aggregate_suggest(input, &proposal) || aggregate_suggest(offender, &proposal))
			wrong = check_list(&proposal, 1);
	}
	pfree(offender);
	return wrong;
}

static const char *
check_words(const char *input)
{
	static const char *const known[] = {"status", "region", "value_1", "value_2", "Y", "id"};
	const char *other = known[random_between(0, lengthof(known))];
	const char *nearest = word_nearest(input, known, lengthof(known));
	int			distance = word_distance(input, other);
	int			length = Min(strlen(input), NEAREST_MAX_LENGTH);
	char		folded[NEAREST_MAX_LENGTH];
	char		again[NEAREST_MAX_LENGTH];

	if (distance != word_distance(other, input))
		return "the way back has another length";
	if (distance > Max(length, strlen(other)) || distance < abs(length - (int) strlen(other)))
		return "a distance is impossible";
	if (nearest && word_distance(input, nearest) > word_tolerance(input))
		return "the nearest word is too far";
	word_fold(input, " -", folded, sizeof(folded));
	word_fold(folded, " -", again, sizeof(again));
	if (strcmp(folded, again) != 0 || strpbrk(folded, " -") != NULL)
		return "folding does not fold";
	return NULL;
}

/* ------------------------------------------------------------------------
 * What inputs are made of
 * ------------------------------------------------------------------------
 */

static const char *const cron_texts[] = {
	"* * * * *", "*/5 * * * *", "0 8 * * mon-fri", "30 4 1,15 * 5", "0 0 29 feb *",
	"0 0 31 1-12/2 *", "5-59/7 0-23/3 * jan,mar,dec sun", "@hourly", "@yearly", "@midnight",
	"0,1,2,3 23 */10 * */3", "\t0  0 * * 7 ", "0 0 30 2,3 *", "15 2 * 3,10 sun", NULL
};
static const char *const cron_tokens[] = {
	"*", "*/", "*/2", "0", "7", "31", "59", "60", "1-", "-", ",", "/", "mon", "SUN", "feb", "dec",
	" ", "  ", "\t", "@", "@daily", "1-5", "5-1", "29", "0-59/30", "999999999999", "-1", "?", "L",
	"* ", "0 ", "1 ", "2-3 ", NULL
};
static const char *const event_texts[] = {
	"EVERYMINUTE", "EVERY5MINUTES", "EVERYHOUR", "EVERY6HOURS", "EVERYHOURBYMIN15", "EVERYDAY",
	"EVERYDAY8AM", "EVERYDAY1230PMET", "EVERYDAY8AMEurope/Berlin", "EVERYWEEK", "EVERYWEEKMON",
	"EVERYWEEKMONDAY8AM", "EVERYWEEKSAT1159PMUTC", "EVERYMONTH", "0 8 * * mon-fri", "*/5 * * * *",
	"@hourly", "hourly", "every 5 min", "daily at 8:30", "MONDAY 8am EST", "at noon", NULL
};
static const char *const event_tokens[] = {
	"EVERY", "every ", "MINUTE", "MINUTES", "HOUR", "HOURS", "BYMIN", "DAY", "WEEK", "MONTH", "MON",
	"sunday", "8", "12", "0", "59", "60", "130", "1230", "99999", "AM", "pm", "ET", "UTC", "Asia/Tokyo",
	"@", "at ", " ", "-", "noon", "o'clock", "h", "s", "*", "* ", "nightly", "close", "\xc3\xa4", NULL
};
static const char *const granularity_texts[] = {
	"1-minute", "15-minute", "1-hour", "6 hours", "day", "2-WEEK", "1-month", "quarter", "10-year",
	"10000-year", "10000-minute", "90-minute", "7-hour", " 1 - day ", "1 day", "hourly", "half-hour",
	"5min", "1M", "01:00:00", "per day", NULL
};
static const char *const granularity_tokens[] = {
	"1", "0", "10000", "10001", "99999999999", "-", " ", "minute", "MINUTES", "hour", "day", "days",
	"week", "month", "quarter", "year", "s", "every", "per", "m", "M", "h", "00", ":", "fortnight", NULL
};
static const char *const aggregate_texts[] = {
	"sum", "sum,avg,count", "{sum,avg}", "[\"sum\", \"p99_9\"]", "min, max , median",
	"std,var,stddev_pop,var_pop,range,first,last,delta,distinct", "p1,p50,p99,p99_99,p12_345678901234",
	"{ \"mean\" }", "stddev,variance", "count(distinct x)", "percentile_cont(0.95)", "p99.9",
	"sum avg", "95th percentile", "average", "p10,p11,p12,p13,p14,p15,p16,p17,p18,p19,p20,p21,p22,p23,"
	"p24,p25,p26,p27,p28,p29,p30,p31,p32,p33,p34,p35,p36,p37,p38,p39,p40,p41,p42,p43,p44,p45,p46,p47,"
	"p48,p49,p50,p51,p52,p53,p54,p55,p56,p57,p58,p59,p60,p61,p62,p63,p64,p65,p66,p67,p68,p69,p70,p71", NULL
};
static const char *const aggregate_tokens[] = {
	"sum", "AVG", "count", "min", "max", "median", "p", "p9", "p0", "p99_", "_", "0", "9", "000000",
	"123456789", ",", " ", "{", "}", "[", "]", "\"", "\"\"", "\t", "(", ")", ".", "%", "and",
	"distinct", "stddev", "quantile", "th", "\xc3\xa4", NULL
};
static const char *const word_texts[] = {
	"status", "region", "value_1", "Y", "id", "", "stauts", "page views",
	"a name of a column that is longer than any that PostgreSQL would take for one, by far", NULL
};
static const char *const word_tokens[] = {
	"s", "st", "value", "_", "1", "2", "id", "Y", "xxxxxxxxxxxxxxxxxxxx", " ", "-", "\xc3\xa4", NULL
};

static const Grammar grammars[] = {
	{"event names", event_texts, event_tokens, check_event},
	{"cron expressions", cron_texts, cron_tokens, check_cron},
	{"granularities", granularity_texts, granularity_tokens, check_granularity},
	{"lists of aggregates", aggregate_texts, aggregate_tokens, check_aggregates},
	{"words", word_texts, word_tokens, check_words},
};

/* ------------------------------------------------------------------------
 * The test
 * ------------------------------------------------------------------------
 */

static void
make_zones(void)
{
	zone = zone_shim_new("test", -5 * 3600);
	for (int year = 1970; year <= 2060; year++)
	{
		zone_shim_change(zone, utc(year, 3, 10, 7, 0), -4 * 3600);
		zone_shim_change(zone, utc(year, 11, 3, 6, 0), -5 * 3600);
	}
	zone_shim_change(zone, utc(2061, 6, 1, 0, 0), 14 * 3600);
	other_zone = zone_shim_new("other", 5 * 3600 + 1800);
}

/* Prints an input so that it can be put into a test. */
static void
show_failure(const char *input, const char *wrong)
{
	char		shown[4 * MAX_INPUT + 1];
	char	   *at = shown;

	for (; *input != '\0'; input++)
		at += sprintf(at, *input < ' ' || *input > '~' ? "\\%03o" : "%c", (unsigned char) *input);
	*at = '\0';
	tap_note("%s: \"%s\"", wrong, shown);
}

static void
test_grammar(const Grammar *grammar, int64 inputs)
{
	int64		failures = 0;

	for (int64 i = 0; i < inputs; i++)
	{
		char	   *input = some_input(grammar);
		const char *wrong = grammar->check(input);

		if (wrong != NULL && failures++ < MAX_SHOWN)
			show_failure(input, wrong);
		pfree(input);
	}
	tap_ok(failures == 0, INT64_FORMAT " random %s", inputs, grammar->name);
}

/* A number from the environment. */
static int64
number_from(const char *variable, int64 usual)
{
	const char *value = getenv(variable);

	return value != NULL && value[0] != '\0' ? strtoll(value, NULL, 10) : usual;
}

int
main(void)
{
	int64		inputs = number_from("BATCHAGG_PARSER_INPUTS", 5000);
	int64		seed = number_from("BATCHAGG_SEED", 1);

	make_zones();
	random_seed(seed + 1);
	for (int i = 0; i < lengthof(grammars); i++)
		test_grammar(&grammars[i], inputs);
	return tap_done();
}
