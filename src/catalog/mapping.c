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
 * then the only table that it names with or without the schema.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "catalog/mapping.h"
#include "catalog/names.h"
#include "catalog/store.h"

/* A mapping that is not in the table yet, as a row of it; see mappings_load(). */
static char **
row_of_new(const SourceMapping *mapping)
{
	char	   *row[] = {
		mapping->metric_name, mapping->table_name, mapping->layout, mapping->id_column,
		mapping->time_column, mapping->metric_column, mapping->name_column,
		mapping->value_column, "t"
	};

	return memcpy(palloc(sizeof(row)), row, sizeof(row));
}

/*
 * Loads the mappings that may lead the job, all its metrics', for
 * mapping_choose(), the job's new ones included.  Runs as the job's owner.  Each is
 * a `char **`: the fields of a SourceMapping in order, and whether it is the owner's
 * own.
 */
List *
mappings_load(const Job *job)
{
	const Oid	types[] = {OIDOID, TEXTARRAYOID};
	Datum		values[2];
	Datum	   *names = palloc(sizeof(Datum) * Max(list_length(job->metrics), 1));
	int			n = 0;
	List	   *rows = NIL;
	ListCell   *lc;

	foreach(lc, job->new_mappings)
		rows = lappend(rows, row_of_new(lfirst(lc)));
	foreach(lc, job->metrics)
		names[n++] = CStringGetTextDatum(name_fold(((JobMetric *) lfirst(lc))->name));
	values[0] = ObjectIdGetDatum(job->owner);
	values[1] = PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));

	return list_concat(rows,
					   store_query(false,
								   psprintf("SELECT metricname, tablename, layout, id_column, "
											"time_column, metric_column, name_column, "
											"value_column, owner = $1 FROM %s "
											"WHERE replace(lower(metricname), '.', '_') = ANY ($2) "
											"AND (owner = $1 OR owner IN "
											"(SELECT oid FROM pg_roles WHERE rolsuper)) "
											"ORDER BY tablename COLLATE \"C\", owner = $1 DESC, "
											"owner",
											store_table("metricsandtables")),
								   2, types, values));
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
	return mapping;
}

/* The mappings of one metric, one a table, and the owner's own if any is. */
static List *
metric_mappings(const JobMetric *metric, List *rows)
{
	List	   *own = NIL;
	List	   *others = NIL;
	char	   *folded = name_fold(metric->name);
	ListCell   *lc;

	foreach(lc, rows)
	{
		char	  **row = lfirst(lc);
		List	  **list = row[8][0] == 't' ? &own : &others;
		SourceMapping *before = *list == NIL ? NULL : llast(*list);

		if (strcmp(name_fold(row[0]), folded) != 0)
			continue;
		if (before == NULL || strcmp(before->table_name, row[1]) != 0)
			*list = lappend(*list, make_mapping(row));
	}
	return own != NIL ? own : others;
}

/* Does the definition's entity name this table, with or without its schema? */
static bool
entity_names_table(const char *entity, const char *table_name)
{
	RangeVar   *table = name_parse(table_name);

	if (pg_strcasecmp(entity, table_name) == 0)
		return true;
	if (table == NULL)
		return false;
	return pg_strcasecmp(entity, table->relname) == 0 ||
		(table->schemaname &&
		 pg_strcasecmp(entity, psprintf("%s.%s", table->schemaname, table->relname)) == 0);
}

/* The mapping, of several, that the definition's entity means; or NULL. */
static SourceMapping *
choose_by_entity(const Definition *definition, List *mappings)
{
	SourceMapping *chosen = NULL;
	ListCell   *lc;

	foreach(lc, mappings)
	{
		SourceMapping *mapping = lfirst(lc);

		if (definition->source_table &&
			strcmp(definition->source_table, mapping->table_name) == 0)
			return mapping;
	}
	foreach(lc, mappings)
	{
		SourceMapping *mapping = lfirst(lc);

		if (!entity_names_table(definition->entity, mapping->table_name))
			continue;
		if (chosen)
			return NULL;
		chosen = mapping;
	}
	return chosen;
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

/*
 * Sets *chosen to the mapping of a metric that leads the definition, of those
 * loaded; NULL where the metric has none.  Returns false, and has reported a
 * problem, where it has several and the definition does not tell which.
 */
bool
mapping_choose(List *loaded, const JobMetric *metric, const Definition *definition,
			   Problems *problems, SourceMapping **chosen)
{
	List	   *mappings = metric_mappings(metric, loaded);

	*chosen = list_length(mappings) == 1 ? linitial(mappings) :
		choose_by_entity(definition, mappings);
	if (*chosen == NULL && mappings != NIL)
	{
		report_ambiguous(metric, definition, mappings, problems);
		return false;
	}
	return true;
}
