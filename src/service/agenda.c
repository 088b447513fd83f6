/*-------------------------------------------------------------------------
 *
 * agenda.c
 *	  The enabled jobs of a database, and which slot of each comes next.
 *
 * Jobs are read from their tables, with what the ledger says of their last
 * slots, and kept.  From then on, what is to be done and when follows from the
 * clock (agenda_plan).  A job has one slot at a time: its ledger's last one
 * while that is running or waits for a retry, else the next one that is due.
 *
 * The scheduler's agenda is read with the rights of the extension's owner, and
 * has all jobs; one read for an SQL function has those that the caller sees.
 *
 * There may be thousands of jobs, and a scan of an array of thousands takes
 * microseconds; so there is no queue to be kept in order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog/events.h"
#include "catalog/group.h"
#include "catalog/store.h"
#include "service/agenda.h"
#include "service/shared.h"
#include "settings.h"
#include "time/zone.h"

/* A clock that is put back by less is none that is put back. */
#define CLOCK_TOLERANCE USECS_PER_MINUTE

/* Columns of the query for jobs. */
enum
{
	JOB_ID,
	JOB_OWNER,
	JOB_EVENT,
	JOB_POLICY,
	JOB_MAX_RETRIES,
	JOB_RETRY_DELAY,
	JOB_SCHEDULED_FROM,
	JOB_AHEAD
};

/* An event's schedule, read once for all of its jobs. */
typedef struct EventSchedule
{
	const char *name;
	bool		known;
	CronSchedule schedule;
	pg_tz	   *tz;
} EventSchedule;

/* The schedule of an event, from `events` or put there. */
static const EventSchedule *
event_schedule(List **events, const char *name)
{
	EventSchedule *event;
	EventMeaning meaning;
	ListCell   *lc;

	foreach(lc, *events)
	{
		event = lfirst(lc);
		if (strcmp(event->name, name) == 0)
			return event;
	}
	event = palloc0(sizeof(EventSchedule));
	event->name = name;
	event->known = event_lookup(name, &meaning) &&
		cron_parse(meaning.cron, &event->schedule) == NULL &&
		zone_parse(meaning.timezone[0] != '\0' ? meaning.timezone : batchagg_timezone,
				   &event->tz) == NULL;
	*events = lappend(*events, event);
	return event;
}

static uint64
text_hash(const char *text)
{
	return text ? hash_bytes_extended((const unsigned char *) text, strlen(text), 0) : 0;
}

static MissedPolicy
read_policy(const char *name)
{
	if (strcmp(name, "each") == 0)
		return MISSED_EACH;
	return strcmp(name, "skip") == 0 ? MISSED_SKIP : MISSED_COALESCE;
}

/* One job from its row.  False where its event has no meaning. */
static bool
read_job(char **row, List **events, TimestampTz now, AgendaJob *job)
{
	const EventSchedule *event = event_schedule(events, row[JOB_EVENT]);

	if (!event->known)
		return false;
	memset(job, 0, sizeof(AgendaJob));
	job->id = pg_strtoint32(row[JOB_ID]);
	job->owner = atooid(row[JOB_OWNER]);
	job->schedule = event->schedule;
	job->tz = event->tz;
	job->policy = read_policy(row[JOB_POLICY]);
	job->max_retries = row[JOB_MAX_RETRIES] ? pg_strtoint32(row[JOB_MAX_RETRIES]) :
		batchagg_max_retries;
	job->retry_delay = row[JOB_RETRY_DELAY] ? pg_strtoint32(row[JOB_RETRY_DELAY]) :
		batchagg_retry_delay;
	job->scheduled_from = pg_strtoint64(row[JOB_SCHEDULED_FROM]);
	if (row[JOB_AHEAD][0] == 't' && cron_follows_real_time(&job->schedule))
		job->scheduled_from = now - CLOCK_TOLERANCE;
	job->slot = DT_NOBEGIN;
	job->worker = -1;
	return true;
}

/* Reads the last slots of all jobs. */
static void
read_ledger(Agenda *agenda, bool as_owner)
{
	AgendaJob **jobs = palloc_extended((agenda->njobs + 1) * sizeof(AgendaJob *),
									   MCXT_ALLOC_HUGE);

	for (int i = 0; i < agenda->njobs; i++)
		jobs[i] = &agenda->jobs[i];
	agenda_read_ledger(jobs, agenda->njobs, as_owner);
	pfree(jobs);
}

/* Finds out which jobs can share their scans, which only the scheduler asks. */
static void
read_source_keys(Agenda *agenda)
{
	int32	   *ids = palloc_extended((agenda->njobs + 1) * sizeof(int32), MCXT_ALLOC_HUGE);
	char	  **keys;

	for (int i = 0; i < agenda->njobs; i++)
		ids[i] = agenda->jobs[i].id;
	keys = job_source_keys(ids, agenda->njobs);
	for (int i = 0; i < agenda->njobs; i++)
		agenda->jobs[i].sources = text_hash(keys[i]);
}

/*
 * Reads what the jobs' rows say, to see later whether it has changed; only the
 * scheduler asks.
 */
static void
read_meanings(Agenda *agenda)
{
	ListCell   *lc;

	foreach(lc, store_query(true,
							psprintf("SELECT j.id, concat(j.owner, ' ', j.job_timeout, ' ', "
									 "(SELECT string_agg(d::text, ' ' ORDER BY d.id) "
									 "FROM %2$s d WHERE d.job_id = j.id), ' ', "
									 "(SELECT string_agg(concat(m.metric_name, ' ', m.aggregation_types, ' ', "
									 "(SELECT string_agg(t::text, ' ' ORDER BY t.tablename, t.owner) FROM %4$s t "
									 "WHERE replace(lower(t.metricname), '.', '_') = replace(lower(m.metric_name), '.', '_'))), ' ' "
									 "ORDER BY m.metric_name) FROM %3$s m WHERE m.job_id = j.id)) "
									 "FROM %1$s j WHERE j.enable_flag",
									 store_table("batch_jobs"), store_table("batchjob_definitions"),
									 store_table("batchjob_metrics"), store_table("metricsandtables")),
							0, NULL, NULL))
	{
		char	  **row = lfirst(lc);
		AgendaJob  *job = agenda_find(agenda, pg_strtoint32(row[0]));

		if (job != NULL)
			job->meaning = text_hash(row[1]);
	}
}

/*
 * Reads the enabled jobs, of one event or (NULL) of all, in the order of their
 * ids, and their last slots.  Jobs whose event means nothing are left out.
 *
 * A scheduled_from to come is somebody's wish, unless it was the time when the
 * row was written: then the clock has gone back behind both.
 */
Agenda *
agenda_load(MemoryContext parent, bool as_owner, const char *event_name)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(caller, "batchagg agenda, rows",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext context = AllocSetContextCreate(parent, "batchagg agenda",
												  ALLOCSET_DEFAULT_SIZES);
	Agenda	   *agenda = MemoryContextAllocZero(context, sizeof(Agenda));
	TimestampTz now = service_now();
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum		values[2];
	List	   *events = NIL;
	List	   *rows;
	ListCell   *lc;

	agenda->context = context;
	MemoryContextSwitchTo(work);
	values[0] = CStringGetTextDatum(event_name ? event_name : "");
	values[1] = TimestampTzGetDatum(now + CLOCK_TOLERANCE);
	rows = store_query(as_owner,
					   psprintf("SELECT j.id, j.owner::oid, j.event_name, j.missed_runs, j.max_retries, "
								"j.retry_delay, " STORE_MICROSECONDS("j.scheduled_from") ", "
								"j.scheduled_from > $2 AND j.scheduled_from < j.updated_at + interval '1 minute' "
								"FROM %s j WHERE j.enable_flag AND ($1 = '' OR upper(j.event_name) = upper($1)) "
								"ORDER BY j.id", store_table("batch_jobs")),
					   lengthof(types), types, values);

	agenda->jobs = MemoryContextAllocHuge(context, (list_length(rows) + 1) * sizeof(AgendaJob));
	foreach(lc, rows)
	{
		if (read_job(lfirst(lc), &events, now, &agenda->jobs[agenda->njobs]))
			agenda->njobs++;
	}
	if (as_owner)
	{
		read_source_keys(agenda);
		read_meanings(agenda);
	}
	read_ledger(agenda, as_owner);

	MemoryContextSwitchTo(caller);
	MemoryContextDelete(work);
	return agenda;
}

/*
 * Reads the last slots of some jobs.
 */
void
agenda_read_ledger(AgendaJob *const *jobs, int n, bool as_owner)
{
	Oid			types[] = {INT4ARRAYOID};
	Datum	   *ids;
	Datum		values[1];
	List	   *rows;
	ListCell   *lc;

	if (n == 0)
		return;
	ids = palloc_extended(n * sizeof(Datum), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		ids[i] = Int32GetDatum(jobs[i]->id);
	values[0] = PointerGetDatum(construct_array(ids, n, INT4OID, 4, true, TYPALIGN_INT));
	rows = store_query(as_owner,
					   psprintf("SELECT l.state, " STORE_MICROSECONDS("l.slot") ", l.attempt, "
								STORE_MICROSECONDS("l.not_before") ", " STORE_MICROSECONDS("l.started_at")
								" FROM unnest($1) WITH ORDINALITY j(id, number) "
								"LEFT JOIN LATERAL (SELECT * FROM %1$s l WHERE l.job_id = j.id "
								"ORDER BY l.slot DESC LIMIT 1) l ON true ORDER BY j.number",
								store_table("batchagg_ledger")),
					   lengthof(types), types, values);
	foreach(lc, rows)
	{
		AgendaJob  *job = jobs[foreach_current_index(lc)];
		char	  **row = lfirst(lc);

		job->state = slot_state(row[0]);
		job->slot = row[1] ? pg_strtoint64(row[1]) : DT_NOBEGIN;
		job->attempt = row[2] ? pg_strtoint32(row[2]) : 0;
		job->not_before = row[3] ? pg_strtoint64(row[3]) : 0;
		job->started = row[4] ? pg_strtoint64(row[4]) : 0;
	}
	list_free_deep(rows);
}

static int
compare_id(const void *key, const void *job)
{
	int32		a = *(const int32 *) key;
	int32		b = ((const AgendaJob *) job)->id;

	return a < b ? -1 : a > b;
}

/*
 * The job of this number; NULL where it is not in the agenda.
 */
AgendaJob *
agenda_find(const Agenda *agenda, int32 id)
{
	return bsearch(&id, agenda->jobs, agenda->njobs, sizeof(AgendaJob), compare_id);
}

/*
 * Is a slot open: running, or waiting for a retry?
 */
static bool
is_open(const AgendaJob *job)
{
	return job->state == SLOT_RUNNING || job->state == SLOT_WAITING;
}

/*
 * Finds out what is to be done for a job, and when: sets `due` and `ready`.
 */
void
agenda_plan(AgendaJob *job, TimestampTz now)
{
	TimestampTz accounted = Max(job->slot, job->scheduled_from);

	slots_due(&job->schedule, job->tz, job->policy, accounted,
			  is_open(job) ? DT_NOBEGIN : job->watched_since, now, &job->due);

	if (job->state == SLOT_RUNNING || job->worker >= 0)
		job->ready = DT_NOEND;
	else if (job->state == SLOT_WAITING)
		job->ready = job->policy == MISSED_COALESCE ?
			Min(job->not_before, job->due.slot) : job->not_before;
	else if (job->due.skipped.count != 0)
		job->ready = now;
	else
		job->ready = job->due.slot;
	if (job->ready != DT_NOEND)
		job->ready = Max(job->ready, job->hold_off);
}

/*
 * Has the clock gone back behind the job's last slot, so that slots which
 * follow real time would not fire for a while?
 */
bool
agenda_is_ahead(const AgendaJob *job, TimestampTz now)
{
	return job->slot > now + CLOCK_TOLERANCE && job->state != SLOT_RUNNING &&
		cron_follows_real_time(&job->schedule);
}

/*
 * Is what comes next another attempt at the last slot?  It is not where a
 * later slot, that is due by now, catches up for it.
 */
bool
agenda_is_retry(const AgendaJob *job)
{
	return job->state == SLOT_WAITING &&
		!(job->policy == MISSED_COALESCE && job->due.oldest != DT_NOEND);
}

/*
 * What is to be run next.
 */
SlotAttempt
agenda_attempt(const AgendaJob *job)
{
	bool		retry = agenda_is_retry(job);
	SlotAttempt attempt = {
		.job_id = job->id,
		.slot = retry ? job->slot : job->due.slot,
		.attempt = retry ? job->attempt + 1 : 1
	};

	return attempt;
}

/*
 * The oldest slot that the job's next run is for, by which jobs come in turn.
 */
TimestampTz
agenda_oldest(const AgendaJob *job)
{
	return job->state == SLOT_WAITING ? job->slot : job->due.oldest;
}

/*
 * Are there slots that are to be skipped?
 */
bool
agenda_has_skipped(const AgendaJob *job)
{
	return job->state != SLOT_WAITING && job->due.skipped.count != 0;
}

/*
 * Notes in the ledger that slots are skipped, and finds out what comes next.
 */
void
agenda_skip(AgendaJob *job, TimestampTz now)
{
	ledger_pass_over(job->id, &job->due.skipped, SLOT_SKIPPED,
					 "nobody could start it in time, and missed_runs of the job is skip");
	job->state = SLOT_SKIPPED;
	job->slot = job->due.skipped.last;
	agenda_plan(job, now);
}

/*
 * Notes in the ledger which slots the next run catches up for.
 */
void
agenda_catch_up(const AgendaJob *job)
{
	SlotAttempt attempt = agenda_attempt(job);
	const char *reason = psprintf("the run of slot %s catches up for it",
								  timestamptz_to_str(attempt.slot));

	if (agenda_is_retry(job))
		return;
	if (job->state == SLOT_WAITING && job->policy == MISSED_COALESCE)
		ledger_give_up(job->id, job->slot, reason);
	if (job->due.coalesced.count != 0)
		ledger_pass_over(job->id, &job->due.coalesced, SLOT_MISSED, reason);
}

/*
 * The slots that are due and not in the ledger.
 */
SlotRange
agenda_waiting(const AgendaJob *job, TimestampTz now)
{
	return slots_between(&job->schedule, job->tz, Max(job->slot, job->scheduled_from), now);
}
