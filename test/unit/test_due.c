/*-------------------------------------------------------------------------
 *
 * test_due.c
 *	  Unit tests of src/slots/due.c: which slots are due, and what becomes of
 *	  those that were missed.
 *
 * What slots_due() says is compared with a model that is the definition taken
 * literally: it writes down all slots one after the other, each the cron_next()
 * of the one before, and picks from the list.  Then a job's whole life is
 * played, whose slots must each be dealt with once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "slots/due.h"
#include "shim.h"
#include "time/event.h"
#include "time/zone.h"
#include "zone_shim.h"

#define HOUR 3600
#define DAY 86400

/* Seconds between the Unix epoch and PostgreSQL's. */
#define EPOCH INT64CONST(946684800)

#define INSTANT(unix_time) (((int64) (unix_time) - EPOCH) * USECS_PER_SEC)

#define CASES 30000
#define LIVES 300

/* Slots that the model writes down. */
#define MAX_SLOTS (2 * MAX_COUNTED_SLOTS)

/* ------------------------------------------------------------------------
 * Tools
 * ------------------------------------------------------------------------
 */

static const char *const policy_names[] = {"coalesce", "each", "skip"};

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Zones without changes, with summer time as in New York, and with chaos. */
#define ZONES 4

static pg_tz *zones[ZONES];

static void
make_zones(void)
{
	pg_time_t	at = utc(2019, 1, 1, 0, 0);

	zones[0] = zone_shim_new("UTC", 0);
	zones[1] = zone_shim_new("an hour in summer", -5 * HOUR);
	zones[2] = zone_shim_new("half an hour in summer", 10 * HOUR + 1800);
	zones[3] = zone_shim_new("chaos", 0);
	for (int year = 2010; year <= 2035; year++)
	{
		zone_shim_change(zones[1], utc(year, 3, 10, 7, 0), -4 * HOUR);
		zone_shim_change(zones[1], utc(year, 11, 3, 6, 0), -5 * HOUR);
		zone_shim_change(zones[2], utc(year, 4, 6, 15, 0), 10 * HOUR);
		zone_shim_change(zones[2], utc(year, 10, 5, 15, 30), 10 * HOUR + 1800);
	}
	while (at < utc(2024, 1, 1, 0, 0))
	{
		at += 60 * random_between(1, 20000);
		zone_shim_change(zones[3], at, 900 * (int) random_between(-40, 41));
	}
}

/* One field of a random expression: of values from low to high. */
static void
append_field(char *text, int low, int high, int star)
{
	char	   *end = text + strlen(text);
	int			a = (int) random_between(low, high + 1);
	int			b = (int) random_between(low, high + 1);

	switch (random_bits() % 4 < star ? 0 : random_between(1, 4))
	{
		case 0:
			if (random_bits() % 2 == 0)
				strcpy(end, "* ");
			else
				sprintf(end, "*/%d ", (int) random_between(1, high - low + 2));
			break;
		case 1:
			sprintf(end, "%d ", a);
			break;
		case 2:
			sprintf(end, "%d,%d ", a, b);
			break;
		default:
			sprintf(end, "%d-%d ", Min(a, b), Max(a, b));
	}
}

/* A random schedule, and its text. */
static CronSchedule
random_schedule(char *text)
{
	CronSchedule schedule;

	do
	{
		text[0] = '\0';
		append_field(text, 0, 59, 1);
		append_field(text, 0, 23, 2);
		append_field(text, 1, 31, 3);
		append_field(text, 1, 12, 3);
		append_field(text, 0, 7, 3);
	} while (cron_parse(text, &schedule) != NULL);
	return schedule;
}

static CronSchedule
parsed(const char *text)
{
	CronSchedule schedule;

	if (cron_parse(text, &schedule) != NULL)
		abort();
	return schedule;
}

/* ------------------------------------------------------------------------
 * The model
 * ------------------------------------------------------------------------
 */

static TimestampTz slots[MAX_SLOTS + 1];

/*
 * Writes down the slots in (after, until], and behind them the next one, or
 * DT_NOEND.  Returns how many; -1: too many.
 */
static int
write_down(const CronSchedule *schedule, const pg_tz *tz, TimestampTz after, TimestampTz until)
{
	for (int n = 0; n <= MAX_SLOTS; n++)
	{
		if (!cron_next(schedule, tz, after, &slots[n]))
			slots[n] = DT_NOEND;
		if (slots[n] > until)
			return n;
		after = slots[n];
	}
	return -1;
}

/* Is a range the slots from number `from` to before number `to`? */
static bool
range_is(const SlotRange *range, int from, int to)
{
	int			n = to - from;

	if (n <= 0)
		return range->count == 0;
	return range->first == slots[from] && range->last == slots[to - 1] &&
		range->count == (n > MAX_COUNTED_SLOTS ? -1 : n);
}

/* The slots that are to be skipped, after `accounted`. */
static SlotRange
skipped(const DueSlots *due, const CronSchedule *schedule, const pg_tz *tz, TimestampTz accounted)
{
	return slots_between(schedule, tz, accounted, due->skipped_to);
}

/* The slots that the run of due->slot catches up for. */
static SlotRange
coalesced(const DueSlots *due, const CronSchedule *schedule, const pg_tz *tz,
		  TimestampTz accounted)
{
	SlotRange	none = {0};

	return due->oldest < due->slot && due->oldest != DT_NOEND ?
		slots_between(schedule, tz, accounted, due->slot - 1) : none;
}

/* Is `due` right for a job with the n slots that were written down? */
static bool
due_is_right(const DueSlots *due, const CronSchedule *schedule, const pg_tz *tz, int n,
			 MissedPolicy policy, TimestampTz accounted, TimestampTz watched_since)
{
	SlotRange	passed_over[] = {
		skipped(due, schedule, tz, accounted), coalesced(due, schedule, tz, accounted)
	};
	int			begin = 0;		/* the first that is not skipped */
	int			chosen;

	while (policy == MISSED_SKIP && begin < n && slots[begin] <= watched_since)
		begin++;
	chosen = policy == MISSED_COALESCE && n > 0 ? n - 1 : begin;

	return range_is(&passed_over[0], 0, begin) &&
		range_is(&passed_over[1], 0, policy == MISSED_COALESCE ? chosen : 0) &&
		due->slot == slots[chosen] &&
		due->oldest == (begin < n ? slots[begin] : DT_NOEND);
}

/* ------------------------------------------------------------------------
 * Tests
 * ------------------------------------------------------------------------
 */

/* A random instant of about 2019 to 2023. */
static TimestampTz
random_instant(void)
{
	TimestampTz t = INSTANT(random_between(utc(2019, 1, 1, 0, 0), utc(2024, 1, 1, 0, 0)));

	if (random_bits() % 2 == 0)
		t -= floor_mod(t, USECS_PER_MINUTE);
	return t + (random_bits() % 4 == 0 ? random_between(0, USECS_PER_SEC) : 0);
}

/* A length of time: mostly short. */
static int64
random_span(void)
{
	static const int64 longest[] = {
		2, USECS_PER_MINUTE, USECS_PER_HOUR, USECS_PER_DAY, 60 * USECS_PER_DAY, 400 * USECS_PER_DAY
	};

	return random_between(0, longest[random_bits() % lengthof(longest)]);
}

static void
test_against_model(void)
{
	int			wrong[3] = {0};
	int			compared[3] = {0};
	int			several = 0;
	int64		total = 0;

	for (int i = 0; i < CASES; i++)
	{
		char		text[200];
		CronSchedule schedule = random_schedule(text);
		const pg_tz *tz = zones[random_bits() % ZONES];
		MissedPolicy policy = random_bits() % 3;
		TimestampTz accounted = random_instant();
		TimestampTz now = accounted + (random_bits() % 20 == 0 ? -random_span() : random_span());
		TimestampTz watched_since = random_bits() % 8 == 0 ? DT_NOBEGIN : now - random_span();
		DueSlots	due;
		int			n;

		/* Instants that are slots themselves are the ones to get wrong. */
		if (random_bits() % 3 == 0)
			(void) cron_next(&schedule, tz, watched_since == DT_NOBEGIN ? accounted : watched_since,
							 random_bits() % 2 == 0 ? &now : &watched_since);
		n = write_down(&schedule, tz, accounted, now);
		if (n < 0)
			continue;
		slots_due(&schedule, tz, policy, accounted, watched_since, now, &due);
		compared[policy]++;
		several += n > 1;
		total += n;
		if (!due_is_right(&due, &schedule, tz, n, policy, accounted, watched_since) &&
			wrong[policy]++ < 3)
			tap_note("%s: cron %s zone %d, %d slots, accounted " INT64_FORMAT ", now " INT64_FORMAT,
					 policy_names[policy], text, (int) (random_bits() % ZONES), n, accounted, now);
	}
	tap_note("%d cases with " INT64_FORMAT " slots; %d of them with several",
			 compared[0] + compared[1] + compared[2], total, several);
	for (int policy = 0; policy < 3; policy++)
		tap_ok(wrong[policy] == 0 && compared[policy] > CASES / 4,
			   "%s: %d cases as in the model, %d not", policy_names[policy],
			   compared[policy] - wrong[policy], wrong[policy]);
}

/*
 * Plays the life of a job that is looked at at random times: each slot must be
 * run, coalesced or skipped, in their order, and once.
 */
static bool
live(MissedPolicy policy, int64 *runs, int64 *passed_over)
{
	char		text[200];
	CronSchedule schedule = random_schedule(text);
	const pg_tz *tz = zones[random_bits() % ZONES];
	TimestampTz accounted = random_instant();
	TimestampTz now = accounted;
	TimestampTz watched_since = accounted;
	TimestampTz end = accounted + 50 * USECS_PER_DAY;
	int			n = write_down(&schedule, tz, accounted, end);
	int			at = 0;			/* the first slot that was not dealt with */

	if (n > MAX_COUNTED_SLOTS)
		return true;
	while (at < n)
	{
		DueSlots	due;
		SlotRange	passed;

		/* Now and then nobody looks for a while. */
		if (random_bits() % 40 == 0)
		{
			now += random_span() / 8;
			watched_since = now;
			if (now > end)
				return true;
		}
		slots_due(&schedule, tz, policy, accounted, watched_since, now, &due);
		passed = policy == MISSED_SKIP ? skipped(&due, &schedule, tz, accounted) :
			coalesced(&due, &schedule, tz, accounted);
		for (int i = 0; i < passed.count; i++, at++, (*passed_over)++)
		{
			if (slots[at] > now)
				return false;
		}
		if (passed.count > 0 && passed.last != slots[at - 1])
			return false;
		if (at < n && due.slot != slots[at])
			return false;
		if (due.slot > now)
		{
			/* None is due: as a scheduler does, wait for it. */
			accounted = Max(due.skipped_to, accounted);
			now = due.slot;
			continue;
		}
		accounted = due.slot;
		at++;
		(*runs)++;
	}
	return true;
}

static void
test_lives(void)
{
	for (MissedPolicy policy = MISSED_COALESCE; policy <= MISSED_SKIP; policy++)
	{
		int			wrong = 0;
		int64		runs = 0;
		int64		passed_over = 0;

		for (int i = 0; i < LIVES; i++)
			wrong += !live(policy, &runs, &passed_over);
		tap_ok(wrong == 0 && runs > 5000 && (passed_over > 100) == (policy != MISSED_EACH),
			   "%s: each slot of %d jobs' lives is dealt with once: " INT64_FORMAT " run, "
			   INT64_FORMAT " passed over", policy_names[policy], LIVES, runs, passed_over);
	}
}

/* Long times in which nobody looked. */
static void
test_long(void)
{
	static const struct
	{
		const char *cron;
		int			years;
		int			count;		/* -1: too many to count */
		int			last_month; /* of the last slot, in UTC */
		int			last_day;
		int			last_hour;
		int			last_minute;
	}			cases[] =
	{
		{"* * * * *", 1, -1, 1, 1, 0, 0},
		{"*/5 * * * *", 1, -1, 1, 1, 0, 0},
		{"7 * * * *", 1, 366 * 24, 12, 31, 23, 7},
		{"7 * * * *", 2, -1, 12, 31, 23, 7},
		{"0 * * * *", 200, -1, 1, 1, 0, 0},
		{"0 8 * * *", 1, 366, 12, 31, 8, 0},
		{"0 8 * * *", 27, 9862, 12, 31, 8, 0},
		{"0 8 * * *", 28, -1, 12, 31, 8, 0},
		{"* * * 3 *", 100, -1, 3, 31, 23, 59},
		{"* 3 1 3 *", 200, -1, 3, 1, 3, 59},
		{"0 0 29 2 *", 200, 48, 2, 29, 0, 0},
		{"59 23 31 12 *", 10000, 10000, 12, 31, 23, 59},
		{"59 23 31 12 *", 10001, -1, 12, 31, 23, 59},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		CronSchedule schedule = parsed(cases[i].cron);
		int			year = 2024 + cases[i].years - (cases[i].last_month > 1);
		TimestampTz after = INSTANT(utc(2024, 1, 1, 0, 0));
		TimestampTz until = INSTANT(utc(2024 + cases[i].years, 1, 1, 0, 0));
		TimestampTz last;
		SlotRange	range;
		double		began = seconds();
		double		took;

		/* The last 29 February is some years back. */
		if (cases[i].last_day == 29)
			year -= year % 4;
		last = INSTANT(utc(year, cases[i].last_month, cases[i].last_day, cases[i].last_hour,
						   cases[i].last_minute));
		range = slots_between(&schedule, zones[0], after, until);
		took = seconds() - began;
		tap_ok(range.count == cases[i].count && range.last == last && range.first > after &&
			   took < 1.0,
			   "%s over %d years: count %d, %.1f ms", cases[i].cron, cases[i].years, range.count,
			   took * 1000);
	}
}

/* Many slots, as all of slots_due() sees them. */
static void
test_uncounted(void)
{
	CronSchedule schedule = parsed("* * * * *");
	TimestampTz accounted = INSTANT(utc(2024, 1, 1, 0, 0));

	for (MissedPolicy policy = MISSED_COALESCE; policy <= MISSED_SKIP; policy++)
	{
		for (int n = MAX_COUNTED_SLOTS - 1; n <= MAX_COUNTED_SLOTS + 2; n++)
		{
			TimestampTz now = accounted + n * USECS_PER_MINUTE;
			DueSlots	due;

			if (write_down(&schedule, zones[0], accounted, now) != n)
				abort();
			slots_due(&schedule, zones[0], policy, accounted, now, now, &due);
			tap_ok(due_is_right(&due, &schedule, zones[0], n, policy, accounted, now),
				   "%s: %d slots", policy_names[policy], n);
		}
	}
}

/*
 * However long nobody looked, it costs nothing: one role's backlog of years must not
 * keep the jobs of others waiting.
 */
static void
test_backlog(void)
{
	static const char *const crons[] = {"* * * * *", "* * * 3 *", "0-59 3 1 3 *", "0 0 29 2 *"};
	TimestampTz accounted = INSTANT(utc(2000, 1, 1, 0, 0));
	TimestampTz now = INSTANT(utc(2026, 11, 30, 12, 0));

	for (int i = 0; i < lengthof(crons); i++)
	{
		for (MissedPolicy policy = MISSED_COALESCE; policy <= MISSED_SKIP; policy++)
		{
			CronSchedule schedule = parsed(crons[i]);
			double		began = seconds();
			DueSlots	due;

			for (int n = 0; n < 1000; n++)
				slots_due(&schedule, zones[0], policy, accounted, now, now, &due);
			tap_ok(seconds() - began < 2.0, "%s, %s: 26 years are seen through in %.3f ms",
				   crons[i], policy_names[policy], seconds() - began);
		}
	}
}

/* From and to the ends of time. */
static void
test_ends_of_time(void)
{
	CronSchedule schedule = parsed("* * * * *");
	TimestampTz now = INSTANT(utc(2024, 1, 1, 0, 0));
	double		began = seconds();
	DueSlots	due;

	slots_due(&schedule, zones[1], MISSED_COALESCE, MIN_TIMESTAMP, now, now, &due);
	tap_ok(due.slot == now && due.oldest < due.slot &&
		   coalesced(&due, &schedule, zones[1], MIN_TIMESTAMP).count == -1,
		   "from the beginning of time");
	slots_due(&schedule, zones[1], MISSED_SKIP, MIN_TIMESTAMP, now, now, &due);
	tap_ok(due.skipped_to == now && due.oldest == DT_NOEND &&
		   due.slot == now + USECS_PER_MINUTE, "from the beginning of time, skipped");
	slots_due(&schedule, zones[1], MISSED_EACH, END_TIMESTAMP - 1, now, now, &due);
	tap_ok(due.slot == DT_NOEND && due.oldest == DT_NOEND, "at the end of time");
	tap_ok(seconds() - began < 1.0, "... in %.1f ms", (seconds() - began) * 1000);
}

int
main(void)
{
	random_seed(UINT64CONST(20261124));
	make_zones();
	test_against_model();
	test_lives();
	test_long();
	test_uncounted();
	test_backlog();
	test_ends_of_time();
	return tap_done();
}
