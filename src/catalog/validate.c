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

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "catalog/events.h"
#include "catalog/filter.h"
#include "catalog/source.h"
#include "catalog/validate.h"

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
} FilterCheck;

static void
check_filter_caught(void *arg)
{
	const FilterCheck *check = arg;

	if (OidIsValid(check->relid))
		source_check_filter(check->relid, check->definition->filter, check->definition->timezone,
							check->owner);
	else
		(void) filter_parse(check->definition->filter);
}

/* Collects the problems of a definition with its sources, as the owner. */
static void
validate_definition(Job *job, Definition *definition, Problems *problems)
{
	FilterCheck check = {.definition = definition, .owner = job->owner};
	List	   *sources = source_resolve(job, definition, problems);
	ListCell   *lc;

	if (definition->filter && sources == NIL)
		(void) problem_catch(problems, definition->id, check_filter_caught, &check);
	foreach(lc, sources)
	{
		check.relid = ((Source *) lfirst(lc))->relid;
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

/* Adds a source, with its columns. */
static void
append_source(StringInfo text, const Source *source)
{
	ListCell   *lc;

	appendStringInfo(text, "%d: %s, %d, %d, %d, %d, %d", source->definition->id, source->name,
					 source->layout, source->id_column, source->time_column, source->name_column,
					 source->value_column);
	foreach(lc, source->metrics)
	{
		const SourceMetric *metric = lfirst(lc);

		appendStringInfo(text, ", %s %d", metric->metric->name, metric->column);
	}
	appendStringInfoChar(text, '\n');
}

/*
 * A text that tells whether a job reads the same tables and columns as before; where
 * it cannot be told what it reads, nothing of that is in the text.
 */
char *
job_sources_text(Job *job)
{
	Problems	ignored = {.collect = true};
	StringInfoData text;
	Caller		caller;
	ListCell   *lc;

	initStringInfo(&text);
	if (job->owner_name == NULL)
		return text.data;
	become_owner(job, &caller);
	foreach(lc, job->definitions)
	{
		List	   *sources = source_resolve(job, lfirst(lc), &ignored);
		ListCell   *lc2;

		foreach(lc2, sources)
			append_source(&text, lfirst(lc2));
		sources_close(sources);
	}
	become_caller(&caller);
	return text.data;
}
