/*-------------------------------------------------------------------------
 *
 * test_schedule.c
 *	  Schedules by brute force: events and cron expressions against a walk
 *	  through years of real zones, minute by minute.
 *
 * test_time.c compares few schedules with sweeps of made-up zones.  Here are
 * all the events that the grammar of event.c can tell apart by more than the
 * hour of an ordinary day, many cron expressions, the real zones whose clocks
 * did something odd, and each minute of FIRST_YEAR and the years after it.
 * Nothing of src/time is used to say what is right:
 *
 * - What a zone's clock reads, the C library says (localtime_r()), out of the
 *	 zone files of the system, which PostgreSQL's packages use too.  The walk
 *	 notes where the offset changes, and from these changes comes the made-up
 *	 zone that cron_next() is given (zone_shim.c).
 * - What a reading's day, month and day of the week are, the C library says
 *	 too (gmtime_r()).
 * - What a schedule matches, its line in a table here says, or the loop that
 *	 made up its name: as sets that are written out, not parsed.
 *
 * From these, the definition at the head of cron.c says at which minutes a
 * schedule fires.  The walk keeps `passed`, the lowest reading that has not
 * occurred yet.  A schedule that follows real time fires if the reading of the
 * minute matches.  All others fire if one of the readings from `passed` up to
 * that of the minute does: that is the minute's own reading on most days, none
 * while an hour is repeated, and all the skipped ones and one more behind a
 * gap.
 *
 * Walking a zone's five million minutes once for each schedule would take an
 * hour.  So the walk takes all schedules along: a set of schedules is a row of
 * bits, and for each minute of the hour, hour, day and so on there is the set
 * of the schedules that match it.  The schedules that match a reading are the
 * conjunction of these.  It is kept for the hour, which leaves a few words to
 * be joined in each minute.
 *
 * Where a schedule is found to fire, cron_next() from its last firing must
 * have told this instant, so that it has neither passed over one nor put one
 * in; so must cron_next() from a random instant in between and from the last
 * microsecond, in all such spans in which the clocks change or have changed that
 * day, and in a sample of the others.  No firing may be left over at the end.
 * Schedules that mean the same and were parsed into the same are walked once.
 *
 * Nearly all of the time, 9 s for each year, is spent in cron_next().
 * BATCHAGG_SWEEP_YEARS, in the environment, is the number of years if they
 * are to be fewer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>
#include <unistd.h>

#include "port/pg_bitutils.h"

#include "shim.h"
#include "time/event.h"
#include "zone_shim.h"

/* The years with Samoa's day that was skipped come first: short runs see it. */
#define FIRST_YEAR 2011
#define YEARS 10

#define HOUR 60
#define DAY (24 * HOUR)

/* Minutes to walk before the comparison begins: more than a gap or overlap. */
#define LEAD (3 * DAY)

/*
 * Firings are looked for from anywhere if the one before came sooner than this
 * after a change of the clocks; of the others, one in so many.
 */
#define NEAR_CHANGE USECS_PER_DAY
#define SAMPLE 256

/* A zone with so many differences is not walked to its end. */
#define ENOUGH_WRONG 100

#define ALL_HOURS 0xffffff

/* Seconds between the Unix epoch and PostgreSQL's. */
#define EPOCH INT64CONST(946684800)

/* The instant of a minute, which are counted from the Unix epoch. */
#define INSTANT(minute) (((int64) (minute) * 60 - EPOCH) * USECS_PER_SEC)

/* The first minute of a year, UTC. */
static int64
year_start(int year)
{
	struct tm	tm = {0};

	tm.tm_year = year - 1900;
	tm.tm_mday = 1;
	return timegm(&tm) / 60;
}

static const char *
show(TimestampTz t)
{
	static char buffers[4][64];
	static int	next = 0;
	char	   *buffer = buffers[next++ % 4];
	time_t		seconds = t / USECS_PER_SEC + EPOCH;
	struct tm	tm;

	gmtime_r(&seconds, &tm);
	strftime(buffer, 64, "%Y-%m-%d %H:%M:%S", &tm);
	sprintf(buffer + strlen(buffer), ".%06d", (int) (t % USECS_PER_SEC));
	return buffer;
}

/* ------------------------------------------------------------------------
 * Schedules
 * ------------------------------------------------------------------------
 */

/* What a schedule matches, as this file says: sets of values, one bit each. */
typedef struct Meaning
{
	uint64		minutes;
	uint64		hours;
	uint64		days;
	uint64		months;
	uint64		weekdays;
	bool		either_day;		/* one of the two day fields is enough */
} Meaning;

typedef struct Schedule
{
	Meaning		meaning;
	CronSchedule parsed;		/* as src/time understood its name */
	char		name[64];
} Schedule;

#define SET_WORDS 8
#define MAX_WALKED (64 * SET_WORDS)

/* Those that are walked: no two are the same. */
static Schedule schedules[MAX_WALKED];
static int	nschedules = 0;

static int	nnames = 0;			/* how many events there were */
static int	nmisread = 0;		/* how many of them were not understood */

/* All values of a field. */
static uint64
range(int first, int last)
{
	uint64		set = 0;

	for (int value = first; value <= last; value++)
		set |= UINT64CONST(1) << value;
	return set;
}

/* The values, written out and separated by commas; all of the field if NULL. */
static uint64
listed(const char *list, int first, int last)
{
	uint64		set = 0;

	if (list == NULL)
		return range(first, last);
	for (;;)
	{
		char	   *end;

		set |= UINT64CONST(1) << strtol(list, &end, 10);
		if (*end == '\0')
			return set;
		list = end + 1;
	}
}

static bool
same_schedule(const Schedule *a, const Schedule *b)
{
	const Meaning *m = &a->meaning;
	const Meaning *n = &b->meaning;
	const CronSchedule *p = &a->parsed;
	const CronSchedule *q = &b->parsed;

	return m->minutes == n->minutes && m->hours == n->hours && m->days == n->days &&
		m->months == n->months && m->weekdays == n->weekdays &&
		m->either_day == n->either_day &&
		p->minutes == q->minutes && p->hours == q->hours && p->days == q->days &&
		p->months == q->months && p->weekdays == q->weekdays &&
		p->any_day == q->any_day && p->any_weekday == q->any_weekday;
}

/* An event, what it matches, and the zone in its name ("" if there is none). */
static void
add_event(const char *name, Meaning meaning, const char *zone)
{
	EventMeaning event;
	Schedule	schedule;

	nnames++;
	if (!event_parse(name, &event) || strcmp(event.timezone, zone) != 0 ||
		cron_parse(event.cron, &schedule.parsed) != NULL)
	{
		tap_note("\"%s\" is not understood", name);
		nmisread++;
		return;
	}
	schedule.meaning = meaning;
	strlcpy(schedule.name, name, sizeof(schedule.name));

	for (int i = 0; i < nschedules; i++)
	{
		if (same_schedule(&schedules[i], &schedule))
			return;
	}
	if (nschedules == MAX_WALKED)
		abort();
	schedules[nschedules++] = schedule;
}

/* What fires at these minutes of these hours, each day. */
static Meaning
daily(uint64 minutes, uint64 hours)
{
	Meaning		meaning = {minutes, hours, range(1, 31), range(1, 12), range(0, 6), false};

	return meaning;
}

/* What fires at a minute of an hour, on these days of the week. */
static Meaning
weekly(int hour, int minute, uint64 weekdays)
{
	Meaning		meaning = daily(UINT64CONST(1) << minute, UINT64CONST(1) << hour);

	meaning.weekdays = weekdays;
	return meaning;
}

/* EVERY<n>MINUTES and EVERY<n>HOURS, and the names that stand for some. */
static void
add_intervals(void)
{
	char		name[32];

	add_event("EVERYMINUTE", daily(range(0, 59), range(0, 23)), "");
	add_event("EVERYHOUR", daily(1, range(0, 23)), "");
	for (int n = 1; n <= 60; n++)
	{
		uint64		multiples = 0;

		for (int i = 0; i < 60; i += n)
			multiples |= UINT64CONST(1) << i;
		sprintf(name, "EVERY%dMINUTES", n);
		if (60 % n == 0)
			add_event(name, daily(multiples, range(0, 23)), "");
		sprintf(name, "EVERY%dHOURS", n);
		if (24 % n == 0)
			add_event(name, daily(1, multiples & range(0, 23)), "");
	}
	for (int minute = 0; minute < 60; minute++)
	{
		sprintf(name, "EVERYHOURBYMIN%02d", minute);
		add_event(name, daily(UINT64CONST(1) << minute, range(0, 23)), "");
	}
}

/*
 * EVERYDAY at each minute from 11PM to 4AM, when clocks are changed, and at
 * each half hour of the rest of the day.
 */
static void
add_daily(void)
{
	char		name[32];

	add_event("EVERYDAY", daily(1, 1), "");
	add_event("EVERYDAY8AMET", daily(1, 1 << 8), "America/New_York");
	for (int hour = 0; hour < 24; hour++)
	{
		bool		at_night = (hour == 23 || hour < 4);

		for (int minute = 0; minute < 60; minute += at_night ? 1 : 30)
		{
			char		minutes[4] = "";

			if (minute > 0)
				sprintf(minutes, "%02d", minute);
			sprintf(name, "EVERYDAY%d%s%s", hour % 12 == 0 ? 12 : hour % 12, minutes,
					hour < 12 ? "AM" : "PM");
			add_event(name, weekly(hour, minute, range(0, 6)), "");
		}
	}
}

/* EVERYWEEK on each day, at times when clocks are changed, and EVERYMONTH. */
static void
add_weekly(void)
{
	static const char *const days[] = {
		"SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"
	};
	char		name[32];
	Meaning		monthly = daily(1, 1);

	add_event("EVERYWEEK", weekly(0, 0, 1), "");
	add_event("EVERYWEEK230AM", weekly(2, 30, 1), "");
	for (int day = 0; day < 7; day++)
	{
		sprintf(name, "EVERYWEEK%s", days[day]);
		add_event(name, weekly(0, 0, 1 << day), "");
		sprintf(name, "EVERYWEEK%.3s", days[day]);
		add_event(name, weekly(0, 0, 1 << day), "");
		sprintf(name, "EVERYWEEK%s115AM", days[day]);
		add_event(name, weekly(1, 15, 1 << day), "");
		sprintf(name, "EVERYWEEK%.3s230AM", days[day]);
		add_event(name, weekly(2, 30, 1 << day), "");
		sprintf(name, "EVERYWEEK%.3s1130PM", days[day]);
		add_event(name, weekly(23, 30, 1 << day), "");
	}

	monthly.days = 1 << 1;
	add_event("EVERYMONTH", monthly, "");
}

/* Expressions, and the values of their fields written out; NULL is all. */
static const struct
{
	const char *expression;
	const char *minutes;
	const char *hours;
	const char *days;
	const char *months;
	const char *weekdays;
	bool		either_day;
}			expressions[] =
{
	{"@hourly", "0", NULL, NULL, NULL, NULL, false},
	{"@daily", "0", "0", NULL, NULL, NULL, false},
	{"@weekly", "0", "0", NULL, NULL, "0", false},
	{"@monthly", "0", "0", "1", NULL, NULL, false},
	{"@yearly", "0", "0", "1", "1", NULL, false},

	/* In every hour: these follow real time. */
	{"* * * * *", NULL, NULL, NULL, NULL, NULL, false},
	{"59 */1 * * *", "59", NULL, NULL, NULL, NULL, false},
	{"7-59/13 * * * *", "7,20,33,46,59", NULL, NULL, NULL, NULL, false},
	{"*/20 * * 3,10-12 *", "0,20,40", NULL, NULL, "3,10,11,12", NULL, false},
	{"0,1,2 0-23 * * sun", "0,1,2", NULL, NULL, NULL, "0", false},
	{"*/30 0-11,12-23 13 * 5", "0,30", NULL, "13", NULL, "5", true},
	{"0-59/59 * 29,30,31 dec sun-sat", "0,59", NULL, NULL, "12", NULL, false},

	/* In some hours: these follow the local clock. */
	{"*/10 0-22 * * *", "0,10,20,30,40,50",
	"0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22", NULL, NULL, NULL, false},
	{"* 2 * * *", NULL, "2", NULL, NULL, NULL, false},
	{"*/6 0,23 * * 0,6", "0,6,12,18,24,30,36,42,48,54", "0,23", NULL, NULL, "0,6", false},
	{"30,45 1-2 * * *", "30,45", "1,2", NULL, NULL, NULL, false},
	{"5-20/5,7 1-3 * * *", "5,7,10,15,20", "1,2,3", NULL, NULL, NULL, false},
	{"0 9-17/4 * * mon-fri", "0", "9,13,17", NULL, NULL, "1,2,3,4,5", false},
	{"0 6,14,22 * * *", "0", "6,14,22", NULL, NULL, NULL, false},
	{"7-59/13 1-23/11 * jan-mar/2 *", "7,20,33,46,59", "1,12,23", NULL, "1,3", NULL, false},
	{"45 2 * 3,4,9-11 0", "45", "2", NULL, "3,4,9,10,11", "0", false},
	{"0,30 1-2 * * fri-sun", "0,30", "1,2", NULL, NULL, "0,5,6", false},
	{"30 23 * * 5-7", "30", "23", NULL, NULL, "0,5,6", false},
	{"0 0 * * sun-tue", "0", "0", NULL, NULL, "0,1,2", false},
	{"0 */24 * * 7", "0", "0", NULL, NULL, "0", false},
	{"30 2 8-14 3 *", "30", "2", "8,9,10,11,12,13,14", "3", NULL, false},
	{"30 1 1-7 11 *", "30", "1", "1,2,3,4,5,6,7", "11", NULL, false},
	{"0 12 30 12 *", "0", "12", "30", "12", NULL, false},
	{"*/15 10-11 29-31 12 *", "0,15,30,45", "10,11", "29,30,31", "12", NULL, false},
	{"30 12 * * fri", "30", "12", NULL, NULL, "5", false},
	{"0 0 29 2 *", "0", "0", "29", "2", NULL, false},
	{"30 3 31 * *", "30", "3", "31", NULL, NULL, false},
	{"0 0,12 30,31 12 *", "0", "0,12", "30,31", "12", NULL, false},

	/* One of the two days, or both. */
	{"0 12 13 * 5", "0", "12", "13", NULL, "5", true},
	{"0 0 1,15 * mon", "0", "0", "1,15", NULL, "1", true},
	{"5 4 28-31 * sun", "5", "4", "28,29,30,31", NULL, "0", true},
	{"15 1 1-31/7 3-4 0", "15", "1", "1,8,15,22,29", "3,4", "0", true},
	{"0 0 31 2 1", "0", "0", "31", "2", "1", true},
	{"30 2 */7 * 0", "30", "2", "1,8,15,22,29", NULL, "0", false},
	{"15 3 */2 * */3", "15", "3", "1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31", NULL, "0,3,6",
	false},
	{"0 1 13 * */5", "0", "1", "13", NULL, "0,5", false},
};

static void
add_expressions(void)
{
	for (int i = 0; i < lengthof(expressions); i++)
	{
		Meaning		meaning;

		meaning.minutes = listed(expressions[i].minutes, 0, 59);
		meaning.hours = listed(expressions[i].hours, 0, 23);
		meaning.days = listed(expressions[i].days, 1, 31);
		meaning.months = listed(expressions[i].months, 1, 12);
		meaning.weekdays = listed(expressions[i].weekdays, 0, 6);
		meaning.either_day = expressions[i].either_day;
		add_event(expressions[i].expression, meaning, "");
	}
}

/* ------------------------------------------------------------------------
 * Sets of schedules
 * ------------------------------------------------------------------------
 */

typedef struct Set
{
	uint64		words[SET_WORDS];
} Set;

/* The schedules that have a value in their field. */
static Set	with_minute[60];
static Set	with_hour[24];
static Set	with_day[32];
static Set	with_month[13];
static Set	with_weekday[7];

static Set	with_either_day;
static Set	in_every_hour;

static void
put(Set *set, int schedule, bool belongs)
{
	if (belongs)
		set->words[schedule / 64] |= UINT64CONST(1) << (schedule % 64);
}

static void
make_sets(void)
{
	for (int s = 0; s < nschedules; s++)
	{
		const Meaning *meaning = &schedules[s].meaning;

		for (int i = 0; i < 60; i++)
			put(&with_minute[i], s, meaning->minutes >> i & 1);
		for (int i = 0; i < 24; i++)
			put(&with_hour[i], s, meaning->hours >> i & 1);
		for (int i = 1; i <= 31; i++)
			put(&with_day[i], s, meaning->days >> i & 1);
		for (int i = 1; i <= 12; i++)
			put(&with_month[i], s, meaning->months >> i & 1);
		for (int i = 0; i < 7; i++)
			put(&with_weekday[i], s, meaning->weekdays >> i & 1);
		put(&with_either_day, s, meaning->either_day);
		put(&in_every_hour, s, meaning->hours == ALL_HOURS);
	}
}

/* The schedules that match some reading of an hour, but for its minute. */
static Set
match_hour(int64 hour)
{
	time_t		t = hour * 3600;
	struct tm	tm;
	Set			set;

	gmtime_r(&t, &tm);
	for (int w = 0; w < SET_WORDS; w++)
	{
		uint64		by_day = with_day[tm.tm_mday].words[w];
		uint64		by_weekday = with_weekday[tm.tm_wday].words[w];

		set.words[w] = with_hour[tm.tm_hour].words[w] & with_month[tm.tm_mon + 1].words[w] &
			((by_day & by_weekday) | (with_either_day.words[w] & (by_day | by_weekday)));
	}
	return set;
}

/* The schedules that match a reading: minutes, as if since the Unix epoch. */
static Set
match(int64 reading)
{
	static int64 known_hour = -1;
	static Set	known;
	const Set  *minute = &with_minute[reading % HOUR];
	Set			set;

	if (reading / HOUR != known_hour)
	{
		known_hour = reading / HOUR;
		known = match_hour(known_hour);
	}
	for (int w = 0; w < SET_WORDS; w++)
		set.words[w] = known.words[w] & minute->words[w];
	return set;
}

/*
 * The schedules that fire at a minute, by the definition in cron.c: `passed`
 * is the lowest reading that has not occurred before.
 */
static Set
fire(int64 reading, int64 passed)
{
	Set			matching = match(reading);
	Set			reached;

	if (passed == reading)
		return matching;

	memset(&reached, 0, sizeof(reached));
	for (int64 r = passed; r <= reading; r++)
	{
		Set			more = match(r);

		for (int w = 0; w < SET_WORDS; w++)
			reached.words[w] |= more.words[w];
	}
	for (int w = 0; w < SET_WORDS; w++)
		matching.words[w] = (matching.words[w] & in_every_hour.words[w]) |
			(reached.words[w] & ~in_every_hour.words[w]);
	return matching;
}

/* ------------------------------------------------------------------------
 * Zones
 * ------------------------------------------------------------------------
 */

/* Regular ones, and those whose clocks did something odd in these years. */
static const char *const zones[] = {
	"UTC",
	"America/New_York",
	"America/St_Johns",			/* changed at 0:01 */
	"America/Havana",			/* at 0:00, and back to it from 1:00 */
	"America/Sao_Paulo",		/* at 0:00, and back from it */
	"America/Santiago",			/* rules that changed year by year */
	"America/Caracas",			/* half an hour, once */
	"America/Scoresbysund",		/* back from 1:00 to 0:00 */
	"America/Nuuk",				/* on Saturdays, at 22:00 */
	"Europe/Berlin",
	"Europe/Lisbon",
	"Europe/Dublin",			/* where winter time is the saving */
	"Europe/Istanbul",
	"Europe/Moscow",
	"Europe/Volgograd",
	"Africa/Cairo",				/* four changes in 2014 */
	"Africa/Casablanca",		/* back for Ramadan */
	"Africa/Monrovia",
	"Africa/Tripoli",
	"Asia/Amman",
	"Asia/Gaza",				/* at 0:00, 0:01 and 1:00 */
	"Asia/Kathmandu",			/* at 5:45 */
	"Asia/Kolkata",
	"Asia/Pyongyang",			/* half an hour, there and back */
	"Asia/Tehran",				/* at 0:00 of the 22nd */
	"Australia/Lord_Howe",		/* half an hour of summer time */
	"Pacific/Apia",				/* skipped a day */
	"Pacific/Chatham",			/* at 2:45 */
	"Antarctica/Casey",			/* moved by two and three hours */
	"Antarctica/Troll",			/* two hours of summer time */
};

/* What the walks through all zones add up to. */
static int64 total_minutes = 0;
static int64 total_firings = 0;
static int64 total_from_anywhere = 0;
static int64 total_wrong = 0;
static int	total_gaps = 0;
static int	total_overlaps = 0;
static int64 longest_gap = 0;
static int64 shortest_gap = PG_INT64_MAX;

/* How far the C library's local clock is ahead of UTC, in minutes. */
static int
clock_offset(int64 minute)
{
	time_t		t = minute * 60;
	struct tm	tm;

	if (localtime_r(&t, &tm) == NULL || tm.tm_gmtoff % 60 != 0)
		abort();
	return (int) (tm.tm_gmtoff / 60);
}

/*
 * Sets offsets[i] for n minutes from `from` on.  The C library is asked each
 * quarter of an hour, and each minute in those at whose ends the offset is not
 * the same: no zone has ever changed twice within one.
 */
static void
ask_clock(int64 from, int n, int16 *offsets)
{
	int			next = clock_offset(from);

	for (int i = 0; i < n; i += 15)
	{
		int			offset = next;

		next = clock_offset(from + i + 15);
		for (int j = i; j < Min(i + 15, n); j++)
			offsets[j] = (int16) (offset == next ? offset : clock_offset(from + j));
	}
}

/* Makes the C library's local clock that of a zone.  False if it has no file. */
static bool
set_clock(const char *name)
{
	char		path[128];

	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	setenv("TZ", name, 1);
	tzset();
	return access(path, R_OK) == 0;
}

/* Counts a change of the clock by `leap` minutes. */
static void
count_change(int leap)
{
	if (leap < 0)
		total_overlaps++;
	else
	{
		total_gaps++;
		longest_gap = Max(longest_gap, leap);
		shortest_gap = Min(shortest_gap, leap);
	}
}

/* The zone with these offsets, for cron_next(). */
static pg_tz *
make_zone(const char *name, int64 from, int n, const int16 *offsets)
{
	pg_tz	   *tz = zone_shim_new(name, offsets[0] * 60);

	for (int i = 1; i < n; i++)
	{
		if (offsets[i] == offsets[i - 1])
			continue;
		zone_shim_change(tz, (from + i) * 60, offsets[i] * 60);
		count_change(offsets[i] - offsets[i - 1]);
	}
	return tz;
}

/* ------------------------------------------------------------------------
 * The walk
 * ------------------------------------------------------------------------
 */

typedef struct Walk
{
	const char *name;
	pg_tz	   *tz;
	int64		firings;
	int64		from_anywhere;
	int64		wrong;
	TimestampTz changed;		/* the last change of the clocks */
	TimestampTz last[MAX_WALKED];	/* when each schedule fired last */
	TimestampTz next[MAX_WALKED];	/* and does next, says cron_next() */
} Walk;

/* The end of time if cron_next() finds none, which is wrong in all zones. */
static TimestampTz
next_after(const Walk *walk, int s, TimestampTz after)
{
	TimestampTz next;

	return cron_next(&schedules[s].parsed, walk->tz, after, &next) ? next : END_TIMESTAMP;
}

/* What cron_next() said from `after` on, where it should have been `fired`. */
static void
compare(Walk *walk, int s, TimestampTz after, TimestampTz next, TimestampTz fired)
{
	if (next == fired)
		return;
	if (walk->wrong++ < 5)
		tap_note("%s, %s: after %s comes %s, not %s (all UTC)", walk->name, schedules[s].name,
				 show(after), show(next), show(fired));
}

/* Schedule s fires at t, so this is what comes next after `after`. */
static void
check_from(Walk *walk, int s, TimestampTz after, TimestampTz t)
{
	walk->from_anywhere++;
	compare(walk, s, after, next_after(walk, s, after), t);
}

/* Schedule s fires at t. */
static void
check_firing(Walk *walk, int s, TimestampTz t)
{
	walk->firings++;
	compare(walk, s, walk->last[s], walk->next[s], t);
	if (walk->last[s] < walk->changed + NEAR_CHANGE || random_bits() % SAMPLE == 0)
	{
		check_from(walk, s, walk->last[s] + random_bits() % (t - walk->last[s]), t);
		check_from(walk, s, t - 1, t);
	}
	walk->last[s] = t;
	walk->next[s] = next_after(walk, s, t);
}

/* All that fire at t. */
static void
check_firings(Walk *walk, const Set *firing, TimestampTz t)
{
	for (int w = 0; w < SET_WORDS; w++)
	{
		for (uint64 rest = firing->words[w]; rest != 0; rest &= rest - 1)
			check_firing(walk, 64 * w + pg_rightmost_one_pos64(rest), t);
	}
}

/* Walks through n minutes from `from` on; the first LEAD are not compared. */
static void
walk_minutes(Walk *walk, int64 from, int n, const int16 *offsets)
{
	int64		passed = from + offsets[0];

	walk->changed = PG_INT64_MIN;
	for (int s = 0; s < nschedules; s++)
	{
		walk->last[s] = INSTANT(from + LEAD) - 1;
		walk->next[s] = next_after(walk, s, walk->last[s]);
	}
	for (int i = 0; i < n && walk->wrong < ENOUGH_WRONG; i++)
	{
		int64		reading = from + i + offsets[i];

		if (i > 0 && offsets[i] != offsets[i - 1])
			walk->changed = INSTANT(from + i);
		if (i >= LEAD)
		{
			Set			firing = fire(reading, passed);

			check_firings(walk, &firing, INSTANT(from + i));
		}
		passed = Max(passed, reading + 1);
	}
	for (int s = 0; s < nschedules; s++)
	{
		if (walk->next[s] < INSTANT(from + n) && walk->wrong < ENOUGH_WRONG)
			compare(walk, s, walk->last[s], walk->next[s], INSTANT(from + n));
	}
}

static void
test_zone(const char *name, int years, int16 *offsets)
{
	int64		from = year_start(FIRST_YEAR) - LEAD;
	int			n = (int) (year_start(FIRST_YEAR + years) - from);
	Walk		walk = {name};

	if (!set_clock(name))
	{
		tap_ok(false, "%s: the system has no such zone", name);
		return;
	}
	ask_clock(from, n, offsets);
	walk.tz = make_zone(name, from, n, offsets);
	walk_minutes(&walk, from, n, offsets);
	tap_ok(walk.wrong == 0, "%s: %d changes, " INT64_FORMAT " firings, " INT64_FORMAT " differ",
		   name, zone_shim_changes(walk.tz), walk.firings, walk.wrong);
	pfree(walk.tz);

	total_minutes += n - LEAD;
	total_firings += walk.firings;
	total_from_anywhere += walk.from_anywhere;
	total_wrong += walk.wrong;
}

int
main(void)
{
	const char *wanted = getenv("BATCHAGG_SWEEP_YEARS");
	int			years = wanted != NULL ? Max(1, Min(YEARS, atoi(wanted))) : YEARS;
	int16	   *offsets = palloc(sizeof(int16) * (LEAD + (years * 366) * DAY));

	random_seed(UINT64CONST(20111230));

	add_intervals();
	add_daily();
	add_weekly();
	add_expressions();
	make_sets();
	tap_ok(nmisread == 0, "%d events are understood, %d of them different", nnames, nschedules);

	for (int z = 0; z < lengthof(zones); z++)
		test_zone(zones[z], years, offsets);

	tap_ok(longest_gap == DAY && shortest_gap == HOUR / 2 && total_overlaps > 0,
		   "among %d gaps and %d overlaps are a day and half an hour", total_gaps,
		   total_overlaps);
	tap_ok(total_wrong == 0, "%d schedules, %d zones, %d to %d: in " INT64_FORMAT " minutes "
		   INT64_FORMAT " firings, looked for from the one before and " INT64_FORMAT
		   " from anywhere: " INT64_FORMAT " differ", nnames, (int) lengthof(zones), FIRST_YEAR,
		   FIRST_YEAR + years - 1, total_minutes, total_firings, total_from_anywhere, total_wrong);
	pfree(offsets);
	return tap_done();
}
