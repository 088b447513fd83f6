/*-------------------------------------------------------------------------
 *
 * order.c
 *	  Jobs that read results run after those that write them.
 *
 * A job reads results where one of its sources is RuleExecutionResults, a view over what
 * runs write, or a table with a policy that reads it.  It may see those of the owners whose rights it has: its own
 * owner's, and those that views lend.  Of RuleExecutionResults itself it reads the
 * rows of its metrics' names; what a view leaves of them is not known here, so it is
 * taken to read all.
 *
 * At a slot, such a job waits for the jobs whose results it may read, until they are
 * done with their slots up to this one.  Jobs that read each other's results, as two
 * that both read RuleExecutionResults for the same metric, stand in a ring: there the
 * one with the lower number comes first.  So each job that reads results has a rank,
 * and waits for those of a lower rank only.
 *
 * Waiting has an end (scheduler.c), as the others may fail, or have years of slots to
 * catch up with.  It costs no result: what was not there yet is read at the next slot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "model/ext.h"
#include "model/names.h"
#include "model/together.h"
#include "slots/order.h"

/* Rings are looked for among so many jobs that read results; more go by their numbers. */
#define MAX_RANKED 100

/* What a job reads and writes, as far as it matters to the order. */
typedef struct OrderedJob
{
	int32		id;
	Oid			owner;
	int			rank;			/* 0: it reads no results */
	bool		reads_all;		/* results of any name */
	List	   *roles;			/* whose rights it reads results with; NIL: it reads none */
	int			nnames;
	int32	   *names;			/* hashes of its metrics' names, in order */
} OrderedJob;

struct JobOrder
{
	OrderedJob *jobs;			/* by id */
	int			n;
};

/*
 * The query for jobs that read results: $1 are jobs, $2 the tables that runs write, $3
 * is RuleExecutionResults; %1$s to %4$s are batch_jobs, batchjob_definitions,
 * batchjob_metrics and metricsandtables.  All relations that may be a source are looked
 * at.  Role 0 is the job's owner.
 */
static const char readers_sql[] =
"WITH RECURSIVE reads (relid, role) AS (SELECT unnest($2), 0::oid UNION "
"SELECT c.oid, x.role FROM reads JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass "
"AND d.refobjid = relid AND d.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass) "
"LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid "
"LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid "
"JOIN pg_class c ON c.oid = coalesce(r.ev_class, p.polrelid), "
"LATERAL (VALUES (reads.role), (CASE WHEN p.oid IS NOT NULL OR EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o "
"WHERE o.option_name = 'security_invoker' AND o.option_value::boolean) THEN 0::oid ELSE c.relowner END)) x (role)), "
"names AS (SELECT relid, role, name FROM reads JOIN pg_class c ON c.oid = relid "
"JOIN pg_namespace n ON n.oid = c.relnamespace, "
"LATERAL (VALUES (lower(format('%%I.%%I', n.nspname, c.relname))), (lower(quote_ident(c.relname)))) v (name)), "
"sources AS (SELECT d.job_id, coalesce(d.source_table, d.entity) AS name, EXISTS (SELECT FROM %3$s b "
"JOIN pg_attribute a ON a.attrelid = $3 AND lower(a.attname) = " NAME_FOLDED_SQL("b.metric_name") " "
"WHERE b.job_id = d.job_id) AS opaque FROM %2$s d WHERE d.job_id = ANY ($1) "
"UNION SELECT j.id, m.tablename, true FROM %1$s j JOIN %3$s b ON b.job_id = j.id JOIN %4$s m "
"ON " NAME_FOLDED_SQL("m.metricname") " = " NAME_FOLDED_SQL("b.metric_name") " "
"AND (m.owner = j.owner OR m.owner::oid IN (SELECT oid FROM pg_roles WHERE rolsuper)) "
"WHERE j.id = ANY ($1)) "
"SELECT s.job_id, bool_or(s.opaque OR n.relid <> $3), string_agg(DISTINCT n.role::text, ' ') "
"FROM sources s JOIN names n ON n.name = lower(s.name) GROUP BY 1";

static int
compare_job(const void *a, const void *b)
{
	int32		first = ((const OrderedJob *) a)->id;
	int32		second = ((const OrderedJob *) b)->id;

	return first < second ? -1 : first > second;
}

static OrderedJob *
find_job(const JobOrder *order, int32 id)
{
	OrderedJob	key = {.id = id};

	return bsearch(&key, order->jobs, order->n, sizeof(OrderedJob), compare_job);
}

/* Finds the jobs that read results.  Returns how many. */
static int
read_readers(JobOrder *order, Datum ids)
{
	Oid			types[] = {INT4ARRAYOID, OIDARRAYOID, OIDOID};
	Datum		values[] = {
		ids, written_relations(), ObjectIdGetDatum(ext_relid("ruleexecutionresults"))
	};
	List	   *rows = ext_query(true,
								 psprintf(readers_sql, ext_table("batch_jobs"),
										  ext_table("batchjob_definitions"),
										  ext_table("batchjob_metrics"),
										  ext_table("metricsandtables")),
								 lengthof(types), types, values);
	ListCell   *lc;

	foreach(lc, rows)
	{
		char	  **row = lfirst(lc);
		OrderedJob *job = find_job(order, pg_strtoint32(row[0]));
		char	   *role = row[2];

		job->reads_all = row[1][0] == 't';
		while (*role != '\0')
		{
			Oid			oid = strtoul(role, &role, 10);

			job->roles = lappend_oid(job->roles, OidIsValid(oid) ? oid : job->owner);
		}
	}
	return list_length(rows);
}

/* Reads the names of the jobs' metrics. */
static void
read_names(JobOrder *order, Datum ids)
{
	Oid			types[] = {INT4ARRAYOID};
	Datum		values[] = {ids};
	ListCell   *lc;

	foreach(lc, ext_query(true,
						  psprintf("SELECT job_id, count(*), string_agg(name::text, ' ' ORDER BY name) "
								   "FROM (SELECT job_id, hashtext(" NAME_FOLDED_SQL("metric_name") ") "
								   "AS name FROM %s WHERE job_id = ANY ($1)) n GROUP BY 1",
								   ext_table("batchjob_metrics")),
						  lengthof(types), types, values))
	{
		char	  **row = lfirst(lc);
		OrderedJob *job = find_job(order, pg_strtoint32(row[0]));
		char	   *name = row[2];

		job->names = palloc(pg_strtoint32(row[1]) * sizeof(int32));
		while (*name != '\0')
			job->names[job->nnames++] = strtol(name, &name, 10);
	}
}

/* Do two jobs have a metric of the same name? */
static bool
share_name(const OrderedJob *a, const OrderedJob *b)
{
	int			i = 0;
	int			j = 0;

	while (i < a->nnames && j < b->nnames)
	{
		if (a->names[i] == b->names[j])
			return true;
		if (a->names[i] < b->names[j])
			i++;
		else
			j++;
	}
	return false;
}

/*
 * May a job read the results of another?  *trusted: it has the rights of that one's
 * owner because it is one of its roles, and not as a superuser.
 */
static bool
reads(const OrderedJob *reader, const OrderedJob *writer, bool *trusted)
{
	bool		sees = false;
	ListCell   *lc;

	*trusted = false;
	if (reader == writer || reader->roles == NIL ||
		(!reader->reads_all && !share_name(reader, writer)))
		return false;
	foreach(lc, reader->roles)
	{
		Oid			role = lfirst_oid(lc);

		sees |= has_privs_of_role(role, writer->owner);
		*trusted |= is_member_of_role_nosuper(role, writer->owner) || superuser_arg(writer->owner);
	}
	return sees;
}

/* The next of the jobs that read results: the first that reads none of the others'. */
static int
choose_next(OrderedJob **readers, int n)
{
	bool		trusted;

	for (int i = 0; i < n; i++)
	{
		bool		free = true;

		for (int j = 0; j < n && free; j++)
			free = !reads(readers[i], readers[j], &trusted);
		if (free)
			return i;
	}
	return 0;
}

/* Gives each job that reads results its rank. */
static void
rank_readers(JobOrder *order, int nreaders)
{
	OrderedJob **readers = palloc(nreaders * sizeof(OrderedJob *));
	int			n = 0;

	for (int i = 0; i < order->n; i++)
	{
		if (order->jobs[i].roles != NIL)
			readers[n++] = &order->jobs[i];
	}
	for (int rank = 1; n > 0; rank++)
	{
		int			next = n <= MAX_RANKED ? choose_next(readers, n) : 0;

		readers[next]->rank = rank;
		memmove(&readers[next], &readers[next + 1], (n - next - 1) * sizeof(OrderedJob *));
		n--;
	}
}

/*
 * Finds out in which order jobs are to run, of these owners; in the current memory
 * context.  NULL where none of them reads results.  The caller's right to see the jobs
 * is not looked at.  In a transaction.
 */
JobOrder *
order_load(const int32 *ids, const Oid *owners, int n)
{
	JobOrder   *order = palloc(sizeof(JobOrder));
	Datum		array = ext_id_array(ids, n);
	int			readers;

	order->n = n;
	order->jobs = palloc_extended(Max(n, 1) * sizeof(OrderedJob), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < n; i++)
	{
		order->jobs[i].id = ids[i];
		order->jobs[i].owner = owners[i];
	}
	qsort(order->jobs, n, sizeof(OrderedJob), compare_job);
	readers = read_readers(order, array);
	if (readers == 0)
		return NULL;
	read_names(order, array);
	rank_readers(order, readers);
	return order;
}

/*
 * Finds out which jobs of an agenda wait for the results of others.  Likewise.
 */
void
order_agenda(Agenda *agenda)
{
	MemoryContext caller = MemoryContextSwitchTo(agenda->context);
	int32	   *ids = palloc_extended((agenda->njobs + 1) * sizeof(int32), MCXT_ALLOC_HUGE);
	Oid		   *owners = palloc_extended((agenda->njobs + 1) * sizeof(Oid), MCXT_ALLOC_HUGE);

	for (int i = 0; i < agenda->njobs; i++)
	{
		ids[i] = agenda->jobs[i].id;
		owners[i] = agenda->jobs[i].owner;
	}
	agenda->order = order_load(ids, owners, agenda->njobs);
	MemoryContextSwitchTo(caller);
}

static int
compare_rank(const void *a, const void *b, void *arg)
{
	const OrderedJob *first = find_job(arg, *(const int32 *) a);
	const OrderedJob *second = find_job(arg, *(const int32 *) b);

	if (first->rank != second->rank)
		return first->rank < second->rank ? -1 : 1;
	return compare_job(first, second);
}

/*
 * Sorts jobs into the order in which they are to run.
 */
void
order_sort(const JobOrder *order, int32 *ids, int n)
{
	qsort_arg(ids, n, sizeof(int32), compare_rank, (void *) order);
}

/* Is a job not done with its slots up to this? */
static bool
is_behind(const AgendaJob *job, TimestampTz slot)
{
	bool		open = job->state == SLOT_RUNNING || job->state == SLOT_WAITING;

	return (open && job->slot <= slot) || job->next <= slot;
}

/*
 * May a job have to wait for others at all?  It does not for another attempt at a slot.
 */
bool
order_has_rank(const JobOrder *order, const AgendaJob *job)
{
	const OrderedJob *reader = order ? find_job(order, job->id) : NULL;

	return reader != NULL && reader->rank > 0 && job->state != SLOT_WAITING;
}

/*
 * The job that another has to wait for, as it reads its results; NULL: none.  Sets
 * *trusted, see reads().
 */
const AgendaJob *
order_blocker(const JobOrder *order, const Agenda *agenda, const AgendaJob *job, bool *trusted)
{
	const OrderedJob *reader;

	if (!order_has_rank(order, job))
		return NULL;
	reader = find_job(order, job->id);
	for (int i = 0; i < agenda->njobs; i++)
	{
		const AgendaJob *other = &agenda->jobs[i];
		const OrderedJob *writer;

		if (!is_behind(other, job->next))
			continue;
		writer = find_job(order, other->id);
		if (writer != NULL && writer->rank < reader->rank && reads(reader, writer, trusted))
			return other;
	}
	return NULL;
}
