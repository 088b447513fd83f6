/*-------------------------------------------------------------------------
 *
 * resolve.c
 *	  Resolving what a definition reads.
 *
 * Each metric of a job leads to a relation.  Where the definition's entity is a
 * relation that has the metric as a column, it is that one: a mapping to another table, which
 * somebody makes for another job, must not lead this one there.  An entity that was no
 * relation when the definition was written is a label, also when somebody has made a
 * relation of that name since.  Else its mapping
 * in metricsandtables says which (mapping.c), and where it has none, it is the
 * entity.  A mapping to the entity's own relation says what its columns are.
 * choose_draft() decides all that.  The metrics that lead to the same relation
 * become one source, which is read once.
 *
 * Everything is looked up anew for each run, so a source that was changed or
 * dropped since the job was made comes out as a problem here, before anything
 * is read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/rel.h"

#include "model/textmap.h"
#include "source/coltype.h"
#include "source/doubt.h"
#include "source/draft.h"
#include "source/resolve.h"

/* The resolution of a definition's sources. */
typedef struct Resolver
{
	Job		   *job;
	const Definition *definition;
	Problems   *problems;
	Mappings   *mappings;
	List	   *drafts;			/* of those asked for a metric */
	textmap_hash *by_name;		/* the same, as they are written */
	Draft	   *entity;			/* what the definition's entity is */
	bool		entity_tried;	/* the rest is known: */
	bool		entity_usable;	/* it can be a source by itself */
} Resolver;

static Draft *
make_draft(const Resolver *resolver, char *written)
{
	Draft	   *draft = palloc0(sizeof(Draft));

	draft->written = written;
	draft->reader = GetUserId();
	draft->definition = resolver->definition;
	draft->definition_id = resolver->definition->id;
	draft->problems = resolver->problems;
	return draft;
}

/* The draft of the relation written so, made where needed. */
static Draft *
named_draft(Resolver *resolver, char *written)
{
	Draft	   *draft = textmap_get(resolver->by_name, written);

	if (draft == NULL)
	{
		draft = make_draft(resolver, written);
		textmap_put(resolver->by_name, written, draft);
	}
	return draft;
}

/*
 * Can the entity be a source by itself?  Without any time it is something else, such as a
 * list of the entities.  What else it lacks is an error when it is read: another relation
 * in its place would replace its results.
 */
static bool
entity_is_usable(const Resolver *resolver)
{
	const Draft *entity = resolver->entity;

	if (resolver->definition->time_column != NULL)
		return true;
	for (AttrNumber column = 1; column <= RelationGetNumberOfAttributes(entity->rel); column++)
		if (entity->folded[column - 1] != NULL && type_is_time(column_type(entity, column)))
			return true;
	return false;
}

/*
 * Is the definition's entity a relation that has this metric as a column, without the
 * help of a mapping?  Of row layout nobody knows what it has, so there a mapping leads.
 */
static bool
entity_has(Resolver *resolver, const JobMetric *metric)
{
	Draft	   *entity = resolver->entity;
	AttrNumber	column;
	AttrNumber	other;

	if (!draft_look_up(entity) || !draft_try_open(entity))
		return false;
	column = match_column(entity, metric->name, &other);
	if (column == InvalidAttrNumber || !type_is_value(column_type(entity, column)))
		return false;
	if (!resolver->entity_tried)
		resolver->entity_usable = entity_is_usable(resolver);
	resolver->entity_tried = true;
	return resolver->entity_usable;
}

/*
 * Where an entity was a table and is gone, no mapping takes its place: nobody knows any
 * more whether it had the metric.
 */
static void
report_entity_gone(Draft *entity, const char *metric)
{
	draft_problem(entity, ERRCODE_UNDEFINED_TABLE,
				  psprintf("source \"%s\" does not exist", entity->written),
				  psprintf("It was there when the definition with this entity was written, and metric \"%s\" "
						   "is mapped to another table.", metric),
				  "Create it again, set the definition's entity to the source, or set its "
				  "entity_is_table to false: then the mapping is followed.");
}

/*
 * The draft of the relation that a metric leads to, with in *mapping what says so, or
 * says what its columns are, if there is anything; NULL, and has reported a problem,
 * where it cannot be told.
 */
static Draft *
choose_draft(Resolver *resolver, const JobMetric *metric, SourceMapping **mapping)
{
	MetricMappings *mappings = mappings_of_metric(resolver->mappings, metric);
	Draft	   *entity = resolver->entity;
	const char *relation;

	*mapping = NULL;
	if (mappings == NULL)
		return entity;
	relation = draft_look_up(entity) ? entity->name : resolver->definition->source_table;
	if (entity->failed)
		return NULL;
	*mapping = mapping_to_table(mappings, relation, true);
	if (*mapping == NULL && resolver->definition->entity_is_table && !draft_look_up(entity))
	{
		report_entity_gone(entity, metric->name);
		return NULL;
	}
	if (*mapping == NULL && resolver->definition->entity_is_table && entity_has(resolver, metric))
	{
		*mapping = mapping_to_table(mappings, relation, false);
		if (*mapping == NULL)
			entity->passed_over = lappend(entity->passed_over, mapping_first(mappings));
		return entity;
	}
	if (*mapping == NULL)
		*mapping = mapping_choose(mappings, metric, resolver->definition, resolver->problems);
	return *mapping ? named_draft(resolver, (*mapping)->table_name) : NULL;
}

static void
add_request(Resolver *resolver, Draft *draft, JobMetric *metric, const SourceMapping *mapping)
{
	Request    *request = palloc(sizeof(Request));

	request->metric = metric;
	request->metric_name = metric->name;
	request->mapping = mapping;
	if (draft->requests == NIL)
		resolver->drafts = lappend(resolver->drafts, draft);
	draft->requests = lappend(draft->requests, request);
}

/* The relations that the job's metrics lead to, not all of them looked up. */
static List *
make_drafts(Job *job, const Definition *definition, Problems *problems)
{
	Resolver	resolver = {
		.job = job,
		.definition = definition,
		.problems = problems,
		.mappings = mappings_load(job),
		.by_name = textmap_create(CurrentMemoryContext, 8, NULL)
	};
	ListCell   *lc;

	resolver.entity = named_draft(&resolver, definition->source_table ?
								  definition->source_table : definition->entity);
	foreach(lc, job->metrics)
	{
		JobMetric  *metric = lfirst(lc);
		SourceMapping *mapping;
		Draft	   *draft = choose_draft(&resolver, metric, &mapping);

		CHECK_FOR_INTERRUPTS();
		if (draft)
			add_request(&resolver, draft, metric, mapping);
	}
	if (resolver.entity->requests == NIL && resolver.entity->rel)
		draft_close(resolver.entity);
	return resolver.drafts;
}

/* Looks the drafts up, and makes one of those that are the same relation. */
static List *
find_drafts(List *drafts)
{
	textmap_hash *by_relation = textmap_create(CurrentMemoryContext, list_length(drafts) + 1,
											   NULL);
	List	   *found = NIL;
	ListCell   *lc;

	foreach(lc, drafts)
	{
		Draft	   *draft = lfirst(lc);
		Draft	   *same;

		CHECK_FOR_INTERRUPTS();
		if (!draft_find(draft))
			continue;
		same = textmap_get(by_relation, draft->name);
		if (same)
		{
			same->requests = list_concat(same->requests, draft->requests);
			same->passed_over = list_concat(same->passed_over, draft->passed_over);
			draft_close(draft);
			continue;
		}
		textmap_put(by_relation, draft->name, draft);
		found = lappend(found, draft);
	}
	return found;
}

static Source *
make_source(Draft *draft, Definition *definition)
{
	Source	   *source = palloc0(sizeof(Source));

	source->definition = definition;
	source->rel = draft->rel;
	source->relid = RelationGetRelid(draft->rel);
	source->name = draft->name;
	source->passed_over = draft->passed_over;
	merge_mappings(draft);
	resolve_layout(draft, source);
	source->id_column = resolve_id(draft, definition->focal_entity);
	source->time_column = resolve_time(draft);
	require_source_privileges(draft, source);
	report_session_calls(draft);
	check_trust(draft);
	if (!draft->failed)
		warn_of_unique_id(draft, source->id_column);
	return source;
}

static int
compare_requests(const ListCell *a, const ListCell *b)
{
	return strcmp(((Request *) lfirst(a))->metric_name, ((Request *) lfirst(b))->metric_name);
}

static int
compare_sources(const ListCell *a, const ListCell *b)
{
	return strcmp(((Source *) lfirst(a))->name, ((Source *) lfirst(b))->name);
}

/*
 * Resolves a definition's sources, see source.h.  Returns a list of Source.
 * Problems, raised or collected: a source, column or privilege is missing; a
 * metric is mapped to several tables; mappings contradict each other; a type
 * does not fit.
 */
List *
source_resolve(Job *job, Definition *definition, Problems *problems)
{
	List	   *drafts = find_drafts(make_drafts(job, definition, problems));
	List	   *sources = NIL;
	ListCell   *lc;

	foreach(lc, drafts)
	{
		Draft	   *draft = lfirst(lc);
		Source	   *source;

		list_sort(draft->requests, compare_requests);
		source = make_source(draft, definition);
		if (draft->failed)
			draft_close(draft);
		else
			sources = lappend(sources, source);
	}
	list_sort(sources, compare_sources);
	return sources;
}
