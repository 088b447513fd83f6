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
 * microseconds; so there is no queue to be kept in order.  All that is done for
 * each job, whether it is due or not, takes the same time however many of its slots
 * wait, and the tables are read by one statement for all jobs: who has thousands of
 * jobs, or has them wait for years of slots, must not keep the others' from starting.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "model/events.h"
#include "model/ext.h"
#include "model/names.h"
#include "model/together.h"
#include "settings.h"
#include "slots/agenda.h"
#include "slots/clock.h"
#include "slots/retry.h"
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
	JOB_UPDATED_AT,
	JOB_SCHEDULE,				/* of the row of batchagg_events, if there is one */
	JOB_TIMEZONE
};

/* An event's schedule, read once for all of its jobs. */
typedef struct EventSchedule
{
	uint64		hash;			/* of the name */
	const char *name;
	bool		known;
	CronSchedule schedule;
	pg_tz	   *tz;
} EventSchedule;

static uint64
text_hash(const char *text)
{
	return text ? hash_bytes_extended((const unsigned char *) text, strlen(text), 0) : 0;
}

/* Reads the schedule of a job's event. */
static void
read_schedule(char **row, EventSchedule *event)
{
	EventMeaning meaning;

	event->name = row[JOB_EVENT];
	event->known = event_meaning(row[JOB_EVENT], row[JOB_SCHEDULE], row[JOB_TIMEZONE], &meaning) &&
		cron_parse(meaning.cron, &event->schedule) == NULL &&
		zone_parse(meaning.timezone[0] != '\0' ? meaning.timezone : batchagg_timezone,
				   &event->tz) == NULL;
}

/* The schedule of a job's event, from `events` or put there. */
static const EventSchedule *
event_schedule(HTAB *events, char **row)
{
	uint64		hash = text_hash(row[JOB_EVENT]);
	bool		found;
	EventSchedule *event = hash_search(events, &hash, HASH_ENTER, &found);

	if (!found || strcmp(event->name, row[JOB_EVENT]) != 0)
		read_schedule(row, event);
	return event;
}

static MissedPolicy
read_policy(const char *name)
{
	if (strcmp(name, "each") == 0)
		return MISSED_EACH;
	return strcmp(name, "skip") == 0 ? MISSED_SKIP : MISSED_COALESCE;
}

/*
 * One job from its row.  False where its event has no meaning.
 *
 * A scheduled_from to come is somebody's wish, unless it was the time when the
 * row was written: then the clock has gone back behind both.
 */
static bool
read_job(char **row, HTAB *events, TimestampTz now, AgendaJob *job)
{
	const EventSchedule *event = event_schedule(events, row);

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
	job->retry_delay = row[JOB_RETRY_DELAY] ?
		retry_delay_of_job(pg_strtoint32(row[JOB_RETRY_DELAY])) : batchagg_retry_delay;
	job->scheduled_from = pg_strtoint64(row[JOB_SCHEDULED_FROM]);
	if (job->scheduled_from > now + CLOCK_TOLERANCE &&
		job->scheduled_from - CLOCK_TOLERANCE < pg_strtoint64(row[JOB_UPDATED_AT]) &&
		cron_follows_real_time(&job->schedule))
		job->scheduled_from = now - CLOCK_TOLERANCE;
	job->slot = DT_NOBEGIN;
	job->next_after = DT_NOBEGIN;
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
 * The query for what the rows of jobs say, as a number: %1$s to %4$s are batch_jobs,
 * batchjob_definitions, batchjob_metrics and metricsandtables.  Each row is taken for
 * itself, as there may be many.  As in mapping.c, mappings count that are the owner's
 * or a superuser's: others' are no change of the job.
 */
static const char meanings_sql[] =
"WITH mappings AS (SELECT " NAME_FOLDED_SQL("t.metricname") " AS name, t.owner, r.rolsuper, "
"bit_xor(hashtextextended(t::text, 0)) AS meaning "
"FROM %4$s t JOIN pg_roles r ON r.oid = t.owner GROUP BY 1, 2, 3), "
"metrics AS (SELECT m.job_id, bit_xor(hashtextextended(m::text, coalesce(t.meaning, 0))) AS meaning "
"FROM %3$s m JOIN %1$s j ON j.id = m.job_id LEFT JOIN mappings t "
"ON t.name = " NAME_FOLDED_SQL("m.metric_name") " AND (t.owner = j.owner OR t.rolsuper) "
"GROUP BY 1), "
"definitions AS (SELECT d.job_id, bit_xor(hashtextextended(d::text, 0)) AS meaning "
"FROM %2$s d GROUP BY 1) "
"SELECT j.id, hashtextextended(concat_ws(' ', j.owner::oid, j.job_timeout, d.meaning), coalesce(m.meaning, 0)) "
"FROM %1$s j LEFT JOIN definitions d ON d.job_id = j.id LEFT JOIN metrics m ON m.job_id = j.id "
"WHERE j.enable_flag";

/*
 * Reads what the jobs' rows say, to see later whether it has changed; only the
 * scheduler asks.
 */
static void
read_meanings(Agenda *agenda)
{
	ListCell   *lc;

	foreach(lc, ext_query(true,
						  psprintf(meanings_sql,
								   ext_table("batch_jobs"), ext_table("batchjob_definitions"),
								   ext_table("batchjob_metrics"), ext_table("metricsandtables")),
						  0, NULL, NULL))
	{
		char	  **row = lfirst(lc);
		AgendaJob  *job = agenda_find(agenda, pg_strtoint32(row[0]));

		if (job != NULL)
			job->meaning = (uint64) pg_strtoint64(row[1]);
	}
}

/*
 * The query for jobs: $1 is an event's name or empty, %1$s and %2$s are batch_jobs
 * and batchagg_events.  As in event_lookup(), a row for the very name comes first.
 */
static const char jobs_sql[] =
"SELECT j.id, j.owner::oid, j.event_name, j.missed_runs, j.max_retries, j.retry_delay, "
EXT_MICROSECONDS("j.scheduled_from") ", " EXT_MICROSECONDS("j.updated_at") ", "
"e.schedule, e.timezone FROM %1$s j LEFT JOIN (SELECT n.event_name, e.schedule, e.timezone, "
"row_number() OVER (PARTITION BY n.event_name ORDER BY e.event_name = n.event_name DESC, e.event_name) AS rank "
"FROM (SELECT DISTINCT event_name FROM %1$s) n JOIN %2$s e ON upper(e.event_name) = upper(n.event_name)) e "
"ON e.event_name = j.event_name AND e.rank = 1 "
"WHERE j.enable_flag AND ($1 = '' OR upper(j.event_name) = upper($1)) ORDER BY j.id";

/* A table of the events' schedules, by the hash of their names, in the current context. */
static HTAB *
make_events(void)
{
	HASHCTL		control = {.keysize = sizeof(uint64),.entrysize = sizeof(EventSchedule),
	.hcxt = CurrentMemoryContext};

	return hash_create("batchagg events", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Reads the enabled jobs, of one event or (NULL) of all, in the order of their
 * ids, and their last slots.  Jobs whose event means nothing are left out.
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
	TimestampTz now = clock_now();
	Oid			types[] = {TEXTOID};
	Datum		values[1];
	HTAB	   *events;
	List	   *rows;
	ListCell   *lc;

	agenda->context = context;
	MemoryContextSwitchTo(work);
	events = make_events();
	values[0] = CStringGetTextDatum(event_name ? event_name : "");
	rows = ext_query(as_owner,
					 psprintf(jobs_sql, ext_table("batch_jobs"), ext_table("batchagg_events")),
					 lengthof(types), types, values);

	agenda->jobs = MemoryContextAllocHuge(context, (list_length(rows) + 1) * sizeof(AgendaJob));
	foreach(lc, rows)
	{
		if (read_job(lfirst(lc), events, now, &agenda->jobs[agenda->njobs]))
			agenda->njobs++;

		/* agenda_find() relies on it. */
		Assert(agenda->njobs < 2 ||
			   agenda->jobs[agenda->njobs - 2].id < agenda->jobs[agenda->njobs - 1].id);
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
	int32	   *ids;
	Datum		values[1];
	List	   *rows;
	ListCell   *lc;

	if (n == 0)
		return;
	ids = palloc_extended(n * sizeof(int32), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		ids[i] = jobs[i]->id;
	values[0] = ext_id_array(ids, n);
	rows = ext_query(as_owner,
					 psprintf("SELECT l.state, " EXT_MICROSECONDS("l.slot") ", l.attempt, "
							  EXT_MICROSECONDS("l.not_before") ", " EXT_MICROSECONDS("l.started_at")
							  " FROM unnest($1) WITH ORDINALITY j(id, number) "
							  "LEFT JOIN LATERAL (SELECT * FROM %1$s l WHERE l.job_id = j.id "
							  "ORDER BY l.slot DESC LIMIT 1) l ON true ORDER BY j.number",
							  ext_table("batchagg_ledger")),
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

/* Up to where the slots of a job are accounted for. */
static TimestampTz
accounted_for(const AgendaJob *job)
{
	return Max(job->slot, job->scheduled_from);
}

/*
 * Finds out when something is to be done for a job: sets `next` and `ready`.
 */
void
agenda_plan(AgendaJob *job, TimestampTz now)
{
	TimestampTz accounted = accounted_for(job);

	if (job->next_after != accounted &&
		!cron_next(&job->schedule, job->tz, accounted, &job->next))
		job->next = DT_NOEND;
	job->next_after = accounted;

	if (job->state == SLOT_RUNNING || job->worker >= 0)
		job->ready = DT_NOEND;
	else if (job->state == SLOT_WAITING)
		job->ready = job->policy == MISSED_COALESCE ?
			Min(job->not_before, job->next) : job->not_before;
	else
		job->ready = job->next;
	if (job->ready != DT_NOEND)
		job->ready = Max(job->ready, job->hold_off);
}

/*
 * Finds out what is to be done for a job that is ready: sets `due`.
 */
void
agenda_decide(AgendaJob *job, TimestampTz now)
{
	slots_due(&job->schedule, job->tz, job->policy, accounted_for(job),
			  is_open(job) ? DT_NOBEGIN : job->watched_since, now, &job->due);
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
 * Since when a job that is ready has waited for its turn: since its oldest slot, or
 * since its last attempt, if that was later.  So a job with many slots comes after
 * those that have had no turn meanwhile.
 */
TimestampTz
agenda_since(const AgendaJob *job)
{
	if (job->state == SLOT_WAITING)
		return job->policy == MISSED_COALESCE ? Min(job->not_before, job->next) : job->not_before;
	return Max(job->next, job->started);
}

/*
 * Are there slots that are to be skipped?
 */
bool
agenda_has_skipped(const AgendaJob *job, TimestampTz now)
{
	return job->policy == MISSED_SKIP && !is_open(job) &&
		job->next <= Min(job->watched_since, now);
}

/*
 * Notes in the ledger that slots are skipped, and finds out what comes next.
 */
void
agenda_skip(AgendaJob *job, TimestampTz now)
{
	SlotRange	skipped;

	agenda_decide(job, now);
	skipped = slots_between(&job->schedule, job->tz, accounted_for(job), job->due.skipped_to);
	ledger_pass_over(job->id, &skipped, SLOT_SKIPPED,
					 "nobody could start it in time, and missed_runs of the job is skip");
	job->state = SLOT_SKIPPED;
	job->slot = skipped.last;
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
	if (job->due.oldest < attempt.slot)
	{
		SlotRange	coalesced = slots_between(&job->schedule, job->tz, accounted_for(job),
											  attempt.slot - 1);

		ledger_pass_over(job->id, &coalesced, SLOT_MISSED, reason);
	}
}

/*
 * The slots that are due and not in the ledger.
 */
SlotRange
agenda_waiting(const AgendaJob *job, TimestampTz now)
{
	return slots_between(&job->schedule, job->tz, Max(job->slot, job->scheduled_from), now);
}
