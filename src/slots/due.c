/*-------------------------------------------------------------------------
 *
 * due.c
 *	  Which slots of a job are due, and what becomes of those that were missed.
 *
 * A job's slots are the instants at which its event fires.  Those up to one
 * instant are accounted for: the ledger says what became of them.  Those after
 * it, up to now, wait.  Mostly that is none, or one that has just come; but
 * there are more when nobody was there to start the job (the server was down,
 * the job disabled, the clock set forward), or when its last run took longer
 * than the time between two slots.
 *
 * So the state of a job's schedule is one instant, and everything else follows
 * from the clock: no queue of slots can be lost, or grow without bound.
 *
 * Pure, as src/time: it takes the time as an argument.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "slots/due.h"

/*
 * The last slot in (after, until], of which there must be one: found from the
 * end, in steps that double, and then by halves, so that a long time is no long
 * search.
 */
static TimestampTz
last_slot(const CronSchedule *schedule, const pg_tz *tz, TimestampTz after, TimestampTz until)
{
	TimestampTz result = after;
	TimestampTz end = until;
	TimestampTz next;

	for (int64 step = USECS_PER_MINUTE; result <= after; step *= 2)
	{
		result = Max(until - step, after);
		if (!cron_next(schedule, tz, result, &next) || next > until)
			result = after;
		else
			result = next;
	}

	/* No slot is after `end`. */
	while (result < end)
	{
		TimestampTz middle = result + (end - result) / 2;

		if (cron_next(schedule, tz, middle, &next) && next <= end)
			result = next;
		else
			end = middle;
	}
	return result;
}

/*
 * The slots in (after, until].
 */
SlotRange
slots_between(const CronSchedule *schedule, const pg_tz *tz, TimestampTz after, TimestampTz until)
{
	SlotRange	range = {0};
	TimestampTz next = after;

	while (range.count <= MAX_COUNTED_SLOTS && cron_next(schedule, tz, next, &next) && next <= until)
	{
		if (range.count++ == 0)
			range.first = next;
		range.last = next;
	}
	if (range.count > MAX_COUNTED_SLOTS)
	{
		range.count = -1;
		range.last = last_slot(schedule, tz, after, until);
	}
	return range;
}

/*
 * What is to be done at `now` about the slots after `accounted`.  Slots up to
 * watched_since were missed, as nobody could have started them in time; that
 * matters to MISSED_SKIP alone.  However many slots there are, it takes no longer:
 * they are not counted (slots_between).
 */
void
slots_due(const CronSchedule *schedule, const pg_tz *tz, MissedPolicy policy,
		  TimestampTz accounted, TimestampTz watched_since, TimestampTz now, DueSlots *result)
{
	TimestampTz next;

	result->skipped_to = DT_NOBEGIN;
	if (!cron_next(schedule, tz, accounted, &result->slot))
		result->slot = DT_NOEND;
	if (policy == MISSED_SKIP && result->slot <= Min(watched_since, now))
	{
		result->skipped_to = last_slot(schedule, tz, accounted, Min(watched_since, now));
		if (!cron_next(schedule, tz, result->skipped_to, &result->slot))
			result->slot = DT_NOEND;
	}

	result->oldest = result->slot <= now ? result->slot : DT_NOEND;
	if (policy == MISSED_COALESCE && result->oldest != DT_NOEND &&
		cron_next(schedule, tz, result->oldest, &next) && next <= now)
		result->slot = last_slot(schedule, tz, result->oldest, now);
}
