/*-------------------------------------------------------------------------
 *
 * mapping.c
 *	  Mappings (metricsandtables): to which relation a metric leads.
 *
 * A mapping sends a job to a relation, and reading a view runs the functions in
 * it with the rights of the job's owner.  So a job is led by mappings of its own
 * owner, and by those of superusers, who need no trick to get at anybody's
 * rights; never by those of other roles, even of roles that the owner is a
 * member of.  The owner's own mappings of a metric take precedence.
 *
 * A metric may be in several tables.  Then the definition says which, by its
 * entity: first the relation that the entity was when the definition was made,
 * then the only table that it names with or without the schema.  Else it is the
 * only one of them that there is: a mapping to a table that does not exist, yet
 * or any more, leads nobody who has another one.
 *
 * An entity that is a relation with the metric comes before all of that: who
 * resolves sources (source.c) asks here only for mappings to that relation then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "model/ext.h"
#include "model/mapping.h"
#include "model/names.h"
#include "model/textmap.h"

/* Mappings of a metric that count alike. */
typedef struct MappingSet
{
	List	   *list;			/* of SourceMapping, one a table */
	textmap_hash *by_table;		/* by table_name; NULL: not needed yet */
	textmap_hash *by_name;		/* by the table's name in lower case, with and without its schema;
								 * several of one name are `ambiguous` */
} MappingSet;

struct MetricMappings
{
	MappingSet	own;			/* of the job's owner */
	MappingSet	others;			/* superusers' */
};

struct Mappings
{
	textmap_hash *metrics;		/* MetricMappings, by the folded name */
};

/* What a name leads to that several mappings have. */
static SourceMapping ambiguous;

/*----------
 * Loading
 *----------
 */

/* Adds a mapping to those of its metric, unless there is one to the same table. */
static void
add_mapping(Mappings *mappings, SourceMapping *mapping, bool own)
{
	char	   *folded = name_fold(mapping->metric_name);
	MetricMappings *metric = textmap_get(mappings->metrics, folded);
	MappingSet *set;

	if (metric == NULL)
	{
		metric = palloc0(sizeof(MetricMappings));
		textmap_put(mappings->metrics, folded, metric);
	}
	set = own ? &metric->own : &metric->others;
	if (set->list == NIL ||
		strcmp(((SourceMapping *) llast(set->list))->table_name, mapping->table_name) != 0)
		set->list = lappend(set->list, mapping);
}

static SourceMapping *
make_mapping(char **row)
{
	SourceMapping *mapping = palloc(sizeof(SourceMapping));

	mapping->metric_name = row[0];
	mapping->table_name = row[1];
	mapping->layout = row[2];
	mapping->id_column = row[3];
	mapping->time_column = row[4];
	mapping->metric_column = row[5];
	mapping->name_column = row[6];
	mapping->value_column = row[7];
	mapping->owner = atooid(row[8]);
	return mapping;
}

/* The mappings that may lead the job, as the table has them: a list of SourceMapping. */
static List *
read_mappings(const Job *job)
{
	const Oid	types[] = {OIDOID, TEXTARRAYOID};
	Datum		values[] = {ObjectIdGetDatum(job->owner), 0};
	List	   *names = NIL;
	List	   *mappings = NIL;
	ListCell   *lc;

	foreach(lc, job->metrics)
		names = lappend(names, name_fold(((JobMetric *) lfirst(lc))->name));
	values[1] = ext_text_array(names);
	foreach(lc, ext_query(false,
						  psprintf("SELECT metricname, tablename, layout, id_column, "
								   "time_column, metric_column, name_column, "
								   "value_column, owner::oid FROM %s "
								   "WHERE " NAME_FOLDED_SQL("metricname") " IN "
								   "(SELECT unnest($2)) AND (owner = $1 OR owner IN "
								   "(SELECT oid FROM pg_roles WHERE rolsuper)) "
								   "ORDER BY tablename COLLATE \"C\", owner = $1 DESC, owner",
								   ext_table("metricsandtables")),
						  lengthof(types), types, values))
		mappings = lappend(mappings, make_mapping(lfirst(lc)));
	return mappings;
}

/* What tells a row of metricsandtables from others. */
static char *
mapping_key(const SourceMapping *mapping)
{
	return psprintf("%u %s %s", mapping->owner, quote_identifier(mapping->metric_name),
					mapping->table_name);
}

/* The mappings as they were before a change: without what it has made, with what went. */
static List *
undo_change(List *mappings, const Job *job)
{
	textmap_hash *made = textmap_create(CurrentMemoryContext,
										list_length(job->undone->made) + 1, NULL);
	List	   *before = NIL;
	ListCell   *lc;

	foreach(lc, job->undone->made)
		textmap_put(made, mapping_key(lfirst(lc)), lfirst(lc));
	foreach(lc, mappings)
		if (textmap_get(made, mapping_key(lfirst(lc))) == NULL)
			before = lappend(before, lfirst(lc));
	foreach(lc, job->undone->gone)
	{
		const SourceMapping *mapping = lfirst(lc);

		if (mapping->owner == job->owner || superuser_arg(mapping->owner))
			before = lappend(before, lfirst(lc));
	}
	return before;
}

/*
 * The mappings that may lead the job, all its metrics', the job's new ones included.
 * Runs as the job's owner.  They are read once, into the current memory context.
 */
Mappings *
mappings_load(Job *job)
{
	List	   *rows;
	ListCell   *lc;

	if (job->mappings)
		return job->mappings;
	job->mappings = palloc(sizeof(Mappings));
	job->mappings->metrics = textmap_create(CurrentMemoryContext, list_length(job->metrics) + 1,
											NULL);
	rows = read_mappings(job);
	if (job->undone)
		rows = undo_change(rows, job);
	foreach(lc, job->new_mappings)
		add_mapping(job->mappings, lfirst(lc), true);
	foreach(lc, rows)
	{
		SourceMapping *mapping = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		add_mapping(job->mappings, mapping, mapping->owner == job->owner);
	}
	return job->mappings;
}

/*
 * The mappings of a metric, for the functions below; NULL: it has none.
 */
MetricMappings *
mappings_of_metric(const Mappings *mappings, const JobMetric *metric)
{
	return textmap_get(mappings->metrics, name_fold(metric->name));
}

/*----------
 * Choosing
 *----------
 */

static char *
lower_case(const char *text)
{
	char	   *lower = pstrdup(text);

	for (char *c = lower; *c; c++)
		*c = pg_tolower((unsigned char) *c);
	return lower;
}

static void
add_name(MappingSet *set, const char *name, SourceMapping *mapping)
{
	char	   *lower = lower_case(name);
	SourceMapping *other = textmap_get(set->by_name, lower);

	textmap_put(set->by_name, lower, other && other != mapping ? &ambiguous : mapping);
}

/* Makes the maps by table and by name of a set. */
static void
index_mappings(MappingSet *set)
{
	MemoryContext context = GetMemoryChunkContext(set->list);
	MemoryContext caller = MemoryContextSwitchTo(context);
	ListCell   *lc;

	set->by_table = textmap_create(context, list_length(set->list), NULL);
	set->by_name = textmap_create(context, 3 * list_length(set->list), NULL);
	foreach(lc, set->list)
	{
		SourceMapping *mapping = lfirst(lc);
		RangeVar   *table = name_parse(mapping->table_name);

		textmap_put(set->by_table, mapping->table_name, mapping);
		add_name(set, mapping->table_name, mapping);
		if (table)
			add_name(set, table->relname, mapping);
		if (table && table->schemaname)
			add_name(set, psprintf("%s.%s", table->schemaname, table->relname), mapping);
	}
	MemoryContextSwitchTo(caller);
}

/* The mapping of a set to this table; NULL: there is none. */
static SourceMapping *
find_by_table(MappingSet *set, const char *table)
{
	if (set->list == NIL || table == NULL)
		return NULL;
	if (set->by_table == NULL)
		index_mappings(set);
	return textmap_get(set->by_table, table);
}

/* The only mapping of a set whose table the entity names, with or without its schema. */
static SourceMapping *
find_by_name(MappingSet *set, const char *entity)
{
	SourceMapping *mapping;

	if (set->list == NIL)
		return NULL;
	if (set->by_name == NULL)
		index_mappings(set);
	mapping = textmap_get(set->by_name, lower_case(entity));
	return mapping == &ambiguous ? NULL : mapping;
}

/*
 * The mapping of a metric to this table, qualified and quoted, of the owner's own or
 * of superusers'; NULL: there is none.
 */
SourceMapping *
mapping_to_table(MetricMappings *mappings, const char *table, bool own)
{
	return find_by_table(own ? &mappings->own : &mappings->others, table);
}

/*
 * The first of a metric's mappings, which stands for all: for messages.
 */
SourceMapping *
mapping_first(const MetricMappings *mappings)
{
	return linitial(mappings->own.list ? mappings->own.list : mappings->others.list);
}

static void
report_ambiguous(const JobMetric *metric, const Definition *definition, List *mappings,
				 Problems *problems)
{
	StringInfoData tables;
	ListCell   *lc;

	initStringInfo(&tables);
	foreach(lc, mappings)
		appendStringInfo(&tables, "%s%s", tables.len > 0 ? ", " : "",
						 ((SourceMapping *) lfirst(lc))->table_name);
	problem_report(problems, ERRCODE_CARDINALITY_VIOLATION, definition->id, false,
				   psprintf("metric \"%s\" is mapped to several tables", metric->name),
				   psprintf("The tables are %s; the definition's entity, \"%s\", does not tell "
							"which.", tables.data, definition->entity),
				   "Set the definition's entity to the table that is meant.");
}

/* Warns of mappings that are passed over, as there are no such tables. */
static void
warn_of_missing(const Definition *definition, const List *mappings, Problems *problems)
{
	ListCell   *lc;

	foreach(lc, mappings)
	{
		const SourceMapping *mapping = lfirst(lc);

		if (!name_exists(mapping->table_name))
			problem_report(problems, ERRCODE_UNDEFINED_TABLE, definition->id, true,
						   psprintf("mapping of metric \"%s\" to table \"%s\" is not followed",
									mapping->metric_name, mapping->table_name),
						   "There is no such table, and the metric has another mapping.",
						   "Correct or delete the mapping in metricsandtables.");
	}
}

/* Those mappings whose tables there are. */
static List *
existing(const List *mappings)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, mappings)
		if (name_exists(((SourceMapping *) lfirst(lc))->table_name))
			result = lappend(result, lfirst(lc));
	return result;
}

/* The mapping of a set that the definition's entity means; NULL: it means none of them. */
static SourceMapping *
choose_by_entity(const Definition *definition, MappingSet *set)
{
	SourceMapping *chosen = find_by_table(set, definition->source_table);

	return chosen ? chosen : find_by_name(set, definition->entity);
}

/*
 * Returns the mapping of a metric that leads the definition, of those it has.  NULL,
 * and has reported a problem, where it has several and the definition does not tell
 * which.  A WARNING where one is passed over because its table does not exist.
 */
SourceMapping *
mapping_choose(MetricMappings *mappings, const JobMetric *metric, const Definition *definition,
			   Problems *problems)
{
	MappingSet *own = &mappings->own;
	MappingSet *others = &mappings->others;
	List	   *all = own->list ? own->list : others->list;
	SourceMapping *chosen;
	List	   *there;

	/* Whether a single one's table is there is found out later. */
	if (list_length(own->list) + list_length(others->list) == 1)
		return linitial(all);
	chosen = choose_by_entity(definition, own->list ? own : others);
	if (chosen)
		return chosen;

	there = existing(own->list);
	if (there == NIL)
	{
		chosen = choose_by_entity(definition, others);
		there = chosen ? list_make1(chosen) : existing(others->list);
	}
	if (list_length(there) == 1)
		warn_of_missing(definition, all, problems);
	else if (there == NIL && list_length(all) == 1)
		there = all;
	else
	{
		report_ambiguous(metric, definition, there ? there : all, problems);
		return NULL;
	}
	return linitial(there);
}
