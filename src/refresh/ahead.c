/*-------------------------------------------------------------------------
 *
 * ahead.c
 *	  Which times from a horizon on there are rows at.
 *
 * Rows from the horizon on are not counted yet.  When the next run's horizon has
 * come to them they are, although nobody has written them since.  So a run notes at
 * which times it has met rows ahead, or marks of such, and the next one looks where
 * they are behind its own horizon.
 *
 * All times between the earliest and the latest would be too many: one row of a
 * clock that is wrong by years would have every run look through all the time that
 * has passed.  A few ranges tell such rows from those that are due soon; where there
 * are more, those next to each other are joined.  A row that was deleted since costs one
 * look, when its time has come.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "refresh/ahead.h"

/* Ranges that are as near to each other as this are one. */
#define NEAR USECS_PER_HOUR

/* Are two ranges, the first of which begins no later, near to each other? */
static bool
are_near(const AheadRange *a, const AheadRange *b)
{
	return b->low <= a->high || (uint64) b->low - (uint64) a->high <= NEAR;
}

/* Joins range i with the next one. */
static void
join_next(Ahead *ahead, int i)
{
	ahead->ranges[i].high = Max(ahead->ranges[i].high, ahead->ranges[i + 1].high);
	ahead->n--;
	memmove(&ahead->ranges[i + 1], &ahead->ranges[i + 2],
			(ahead->n - i - 1) * sizeof(AheadRange));
}

/*
 * How far range i is from the next one, in proportion to how far it is ahead of the first.
 */
static double
distance_next(const Ahead *ahead, int i)
{
	return ((double) ahead->ranges[i + 1].low - ahead->ranges[i].high) /
		((double) ahead->ranges[i].high - ahead->ranges[0].low + 1);
}

/*
 * Joins two ranges.  What matters is that the time to come next is told from what is far
 * ahead, so they are the nearest to each other as seen from the first.
 */
static void
join_nearest(Ahead *ahead)
{
	int			nearest = 0;
	int			i;

	for (i = 1; i + 1 < ahead->n; i++)
		if (distance_next(ahead, i) < distance_next(ahead, nearest))
			nearest = i;
	join_next(ahead, nearest);
}

/*
 * Adds the instants from low to high.
 */
void
ahead_insert(Ahead *ahead, TimestampTz low, TimestampTz high)
{
	AheadRange	added = {low, high};
	int			i = 0;

	while (i < ahead->n && ahead->ranges[i].low <= low)
		i++;
	if (i > 0 && are_near(&ahead->ranges[i - 1], &added))
	{
		i--;
		ahead->ranges[i].high = Max(ahead->ranges[i].high, high);
	}
	else if (i < ahead->n && are_near(&added, &ahead->ranges[i]))
	{
		ahead->ranges[i].low = low;
		ahead->ranges[i].high = Max(ahead->ranges[i].high, high);
	}
	else
	{
		if (ahead->n == MAX_AHEAD)
		{
			join_nearest(ahead);
			ahead_insert(ahead, low, high);
			return;
		}
		memmove(&ahead->ranges[i + 1], &ahead->ranges[i], (ahead->n - i) * sizeof(AheadRange));
		ahead->ranges[i] = added;
		ahead->n++;
	}
	while (i + 1 < ahead->n && are_near(&ahead->ranges[i], &ahead->ranges[i + 1]))
		join_next(ahead, i);
}

/*
 * Adds what another set has.
 */
void
ahead_add_all(Ahead *ahead, const Ahead *others)
{
	int			i;

	for (i = 0; i < others->n; i++)
		ahead_add(ahead, others->ranges[i].low, others->ranges[i].high);
}

/*
 * Takes out what is before a horizon.
 */
void
ahead_pass(Ahead *ahead, TimestampTz horizon)
{
	int			passed = 0;

	while (passed < ahead->n && ahead->ranges[passed].high < horizon)
		passed++;
	ahead->n -= passed;
	memmove(ahead->ranges, ahead->ranges + passed, ahead->n * sizeof(AheadRange));
	if (ahead->n > 0)
		ahead->ranges[0].low = Max(ahead->ranges[0].low, horizon);
}

/*
 * Can there be a row from `from` on and before `to`?
 */
bool
ahead_between(const Ahead *ahead, TimestampTz from, TimestampTz to)
{
	int			i;

	for (i = 0; i < ahead->n; i++)
		if (ahead->ranges[i].high >= from && ahead->ranges[i].low < to)
			return true;
	return false;
}

bool
ahead_same(const Ahead *a, const Ahead *b)
{
	return a->n == b->n && memcmp(a->ranges, b->ranges, a->n * sizeof(AheadRange)) == 0;
}

/*
 * The bounds of the ranges, low and high in turn, as a text of an array of times in
 * microseconds.
 */
char *
ahead_text(const Ahead *ahead)
{
	StringInfoData text;
	int			i;

	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	for (i = 0; i < ahead->n; i++)
		appendStringInfo(&text, "%s" INT64_FORMAT "," INT64_FORMAT, i > 0 ? "," : "",
						 ahead->ranges[i].low, ahead->ranges[i].high);
	appendStringInfoChar(&text, '}');
	return text.data;
}

/*
 * Reads that again; NULL is none.
 */
void
ahead_read(Ahead *ahead, const char *text)
{
	const char *at = text;

	ahead->n = 0;
	while (at != NULL && *at != '\0' && *at != '}' && at[1] != '}' && ahead->n < MAX_AHEAD)
	{
		AheadRange *range = &ahead->ranges[ahead->n++];
		char	   *end;

		range->low = strtoi64(at + 1, &end, 10);
		range->high = strtoi64(end + 1, &end, 10);
		at = end;
	}
}
