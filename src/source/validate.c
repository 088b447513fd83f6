/*-------------------------------------------------------------------------
 *
 * validate.c
 *	  What keeps a job from running, besides what loading it finds.
 *
 * The job may be in the tables or about to be made.  Its sources are looked at with
 * the rights of its owner, in a security-restricted operation, as a run does; names
 * resolve in the caller's search_path.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "model/events.h"
#include "model/names.h"
#include "source/filter.h"
#include "source/resolve.h"
#include "source/source.h"
#include "source/sourcecheck.h"
#include "source/validate.h"

/* Who we were before we became the owner of a job. */
typedef struct Caller
{
	Oid			user;
	int			context;
} Caller;

static void
become_owner(const Job *job, Caller *caller)
{
	GetUserIdAndSecContext(&caller->user, &caller->context);
	SetUserIdAndSecContext(job->owner, caller->context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
}

static void
become_caller(const Caller *caller)
{
	SetUserIdAndSecContext(caller->user, caller->context);
}

/* A filter to be checked where errors are caught (problem_catch). */
typedef struct FilterCheck
{
	const Definition *definition;
	Oid			relid;			/* InvalidOid: the source is not known */
	Oid			owner;
	FilterWarnings warnings;
} FilterCheck;

static void
check_filter_caught(void *arg)
{
	const FilterCheck *check = arg;

	if (OidIsValid(check->relid))
		source_check_filter(check->relid, check->definition->filter, check->definition->timezone,
							check->owner, &check->warnings);
	else
		(void) filter_parse(check->definition->filter);
}

/* Warns where a job is made to read a table, but has an entity that comes before it. */
static void
warn_of_passed_over(const Job *job, const Source *source, Problems *problems)
{
	ListCell   *lc;

	foreach(lc, source->passed_over)
	{
		const SourceMapping *mapping = lfirst(lc);

		if (job->asked_table == NULL || strcmp(job->asked_table, source->name) == 0)
			continue;
		if (!name_exists(job->asked_table))
			problem_report(problems, ERRCODE_UNDEFINED_TABLE, source->definition->id, false,
						   psprintf("source \"%s\" does not exist", job->asked_table),
						   psprintf("The entity, \"%s\", has metric \"%s\" too.", source->name,
									mapping->metric_name),
						   "Leave out tablename to read the entity.");
		else
			problem_report(problems, ERRCODE_WARNING, source->definition->id, true,
						   psprintf("metric \"%s\" is read from \"%s\", not from \"%s\"",
									mapping->metric_name, source->name, job->asked_table),
						   "The entity is a relation that has the metric, which comes before mappings.",
						   "Pass the table as entity to read it.");
	}
}

/* Collects the problems of a definition with its sources, as the owner. */
static void
validate_definition(Job *job, Definition *definition, Problems *problems)
{
	FilterCheck check = {
		.definition = definition,
		.owner = job->owner,
		.warnings = {.problems = problems,.definition_id = definition->id}
	};
	List	   *sources = source_resolve(job, definition, problems);
	ListCell   *lc;

	if (definition->filter && sources == NIL)
		(void) problem_catch(problems, definition->id, check_filter_caught, &check);
	foreach(lc, sources)
	{
		check.relid = ((Source *) lfirst(lc))->relid;
		warn_of_passed_over(job, lfirst(lc), problems);
		if (definition->filter)
			(void) problem_catch(problems, definition->id, check_filter_caught, &check);
	}
	sources_close(sources);
}

/*
 * Reports that a job's event is not known.
 */
void
job_validate_event(const Job *job, Problems *problems)
{
	EventMeaning meaning;

	if (!event_lookup(job->event_name, &meaning))
		event_report_unknown(job->event_name, problems);
}

/*
 * Reports what is wrong with the sources of a job's definitions, and with filters
 * over them.  Nothing is looked at where the owner was dropped.
 */
void
job_validate_sources(Job *job, Problems *problems)
{
	Caller		caller;
	ListCell   *lc;

	if (job->owner_name == NULL)
		return;
	become_owner(job, &caller);
	foreach(lc, job->definitions)
		validate_definition(job, lfirst(lc), problems);
	become_caller(&caller);
}

/* Notes where a source has its metrics. */
static void
note_reads(textmap_hash *reads, const Source *source)
{
	ListCell   *lc;

	foreach(lc, source->metrics)
	{
		const SourceMetric *metric = lfirst(lc);

		textmap_put(reads, psprintf("%d %s", source->definition->id, metric->metric->name),
					psprintf("%s %d %d %d %d %d %d", source->name, source->layout,
							 source->id_column, source->time_column, source->name_column,
							 source->value_column, metric->column));
	}
}

/*
 * Where each definition of a job finds each metric, as texts to compare: a map from what
 * tells the two to the relation and columns.  What cannot be found is not in the map.
 */
textmap_hash *
job_reads(Job *job)
{
	textmap_hash *reads = textmap_create(CurrentMemoryContext, 32, NULL);
	Problems	ignored = {.collect = true};
	Caller		caller;
	ListCell   *lc;

	if (job->owner_name == NULL)
		return reads;
	become_owner(job, &caller);
	foreach(lc, job->definitions)
	{
		List	   *sources = source_resolve(job, lfirst(lc), &ignored);
		ListCell   *lc2;

		foreach(lc2, sources)
			note_reads(reads, lfirst(lc2));
		sources_close(sources);
	}
	become_caller(&caller);
	return reads;
}
