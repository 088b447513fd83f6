/*-------------------------------------------------------------------------
 *
 * agenda.h
 *	  The enabled jobs of a database, and which slot of each comes next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_AGENDA_H
#define BATCHAGG_AGENDA_H

#include "slots/ledger.h"

typedef struct AgendaJob
{
	int32		id;
	Oid			owner;
	CronSchedule schedule;
	const pg_tz *tz;
	MissedPolicy policy;
	int			max_retries;
	int			retry_delay;	/* seconds */
	TimestampTz scheduled_from; /* slots before are not expected */
	uint64		sources;		/* a hash: the same for jobs that can share scans; 0: alone */
	uint64		meaning;		/* a hash of all that the job's rows say */

	/* The last slot that the ledger has. */
	SlotState	state;
	TimestampTz slot;			/* DT_NOBEGIN: none */
	int			attempt;
	TimestampTz started;		/* when the attempt was */
	TimestampTz not_before;		/* SLOT_WAITING: when the retry is due */

	/* What follows from that (agenda_plan). */
	TimestampTz next;			/* the first slot that is not accounted for; DT_NOEND: none */
	TimestampTz next_after;		/* the instant that it is the first slot after */
	TimestampTz ready;			/* when something is to be done; DT_NOEND: not now */

	/* Likewise, once something is to be done (agenda_decide). */
	DueSlots	due;

	/* The scheduler's own. */
	int			owner_turn;		/* number of its owner in turns.c */
	int32		waits_for;		/* a job whose results it reads; 0: none, as far as is known; -1:
								 * that is looked for another time */
	TimestampTz waits_since;	/* since when, for this slot of its own */
	TimestampTz waits_at;
	TimestampTz watched_since;	/* slots up to this could not be started in time */
	TimestampTz hold_off;		/* not to be started before */
	bool		changed;		/* since its last attempt began */
	int			worker;			/* number of the worker that has it; -1: none */
	uint64		token;			/* of that worker */
} AgendaJob;

typedef struct Agenda
{
	MemoryContext context;		/* everything is in */
	AgendaJob  *jobs;			/* by id */
	int			njobs;
	struct JobOrder *order;		/* set by order_agenda(); NULL: none reads results */
} Agenda;

extern Agenda *agenda_load(MemoryContext parent, bool as_owner, const char *event_name);
extern void agenda_read_ledger(AgendaJob *const *jobs, int n, bool as_owner);
extern AgendaJob *agenda_find(const Agenda *agenda, int32 id);
extern void agenda_plan(AgendaJob *job, TimestampTz now);
extern bool agenda_is_ahead(const AgendaJob *job, TimestampTz now);
extern bool agenda_is_retry(const AgendaJob *job);
extern SlotAttempt agenda_attempt(const AgendaJob *job);
extern void agenda_decide(AgendaJob *job, TimestampTz now);
extern TimestampTz agenda_since(const AgendaJob *job);
extern bool agenda_has_skipped(const AgendaJob *job, TimestampTz now);
extern void agenda_skip(AgendaJob *job, TimestampTz now);
extern void agenda_catch_up(const AgendaJob *job);
extern SlotRange agenda_waiting(const AgendaJob *job, TimestampTz now);

#endif							/* BATCHAGG_AGENDA_H */
