/*-------------------------------------------------------------------------
 *
 * draft.c
 *	  Relations under examination: whether they can be read, and by which columns.
 *
 * A draft is a relation under examination: the metrics asked of it, what
 * their mappings say, and the relation itself.  Columns are found in a fixed
 * order: what the definition names, else what a mapping names, else the names that
 * this file knows.  A name means the column of exactly that name, else the only one that is equal when
 * case is ignored and '.' taken for '_'.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "parser/parse_relation.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "model/names.h"
#include "model/suggest.h"
#include "source/coltype.h"
#include "source/draft.h"
#include "source/sourcehint.h"

/* Names of the two columns of a row layout that need no mapping. */
static const struct
{
	const char *name;
	const char *value;
}			row_columns[] = {
	{"metric_name", "metric_value"},
	{"udc_config_name", "udc_config_value"},
	{"name", "value"}
};

/* Names of time columns that need no mapping, best first. */
static const char *const time_columns[] = {"timestamp", "time", "ts"};

/* How many columns a hint lists at most. */
#define MAX_COLUMNS_LISTED 40

void
draft_problem(Draft *draft, int sqlerrcode, char *message, char *detail, char *hint)
{
	draft->failed = true;
	problem_report(draft->problems, sqlerrcode, draft->definition_id, false, message, detail,
				   hint);
}

const char *
column_name(const Draft *draft, AttrNumber column)
{
	return NameStr(TupleDescAttr(RelationGetDescr(draft->rel), column - 1)->attname);
}

Oid
column_type(const Draft *draft, AttrNumber column)
{
	return TupleDescAttr(RelationGetDescr(draft->rel), column - 1)->atttypid;
}

/* The columns whose type `accepts` (NULL: any), as a list for a hint. */
static char *
list_columns(const Draft *draft, bool (*accepts) (Oid typid))
{
	StringInfoData list;
	int			n = 0;

	initStringInfo(&list);
	for (AttrNumber column = 1; column <= RelationGetNumberOfAttributes(draft->rel); column++)
	{
		if (draft->folded[column - 1] == NULL ||
			(accepts && !accepts(column_type(draft, column))))
			continue;
		if (++n > MAX_COLUMNS_LISTED)
		{
			appendStringInfoString(&list, ", ...");
			break;
		}
		appendStringInfo(&list, "%s%s", n > 1 ? ", " : "",
						 quote_identifier(column_name(draft, column)));
	}
	return n > 0 ? list.data : pstrdup("none");
}

/*
 * The column that `name` means, InvalidAttrNumber if none.  Where several are
 * equal but for case and dots it is the first, and *other the second of them.
 */
AttrNumber
match_column(const Draft *draft, const char *name, AttrNumber *other)
{
	int			ncolumns = RelationGetNumberOfAttributes(draft->rel);
	AttrNumber	found = InvalidAttrNumber;
	char	   *folded = name_fold(name);

	*other = InvalidAttrNumber;
	for (AttrNumber column = 1; column <= ncolumns; column++)
		if (draft->folded[column - 1] && strcmp(column_name(draft, column), name) == 0)
			return column;

	for (AttrNumber column = 1; column <= ncolumns; column++)
	{
		if (draft->folded[column - 1] == NULL || strcmp(draft->folded[column - 1], folded) != 0)
			continue;
		if (found != InvalidAttrNumber)
		{
			*other = column;
			break;
		}
		found = column;
	}
	return found;
}

/* The same, where an ambiguous name is a problem. */
static AttrNumber
find_column(Draft *draft, const char *name)
{
	AttrNumber	other;
	AttrNumber	column = match_column(draft, name, &other);

	if (other != InvalidAttrNumber)
		draft_problem(draft, ERRCODE_AMBIGUOUS_COLUMN,
					  psprintf("name \"%s\" could mean several columns of source \"%s\"",
							   name, draft->name),
					  psprintf("Columns \"%s\" and \"%s\" differ from it by case or dots only.",
							   column_name(draft, column), column_name(draft, other)),
					  "Write the name exactly as the column's.");
	return column;
}

/*
 * The column that a mapping, or the definition, names in its `field`; a problem if there
 * is none.
 */
AttrNumber
find_named_column(Draft *draft, const char *name, const char *field, bool by_definition)
{
	AttrNumber	column = find_column(draft, name);

	if (column == InvalidAttrNumber)
		draft_problem(draft, ERRCODE_UNDEFINED_COLUMN,
					  psprintf("column \"%s\" of source \"%s\" does not exist", name,
							   draft->name),
					  psprintf("It is named as %s in %s.", field,
							   by_definition ? "batchjob_definitions" : "metricsandtables"),
					  psprintf("Columns of the source: %s.%s", list_columns(draft, NULL),
							   hint_column_near(draft->rel, name)));
	return column;
}

/* Reports a problem if the column's type is not one that `accepts` takes. */
static void
require_type(Draft *draft, AttrNumber column, bool (*accepts) (Oid typid), const char *role,
			 char *hint)
{
	if (accepts(column_type(draft, column)))
		return;
	draft_problem(draft, ERRCODE_DATATYPE_MISMATCH,
				  psprintf("column \"%s\" of source \"%s\" cannot be a %s",
						   column_name(draft, column), draft->name, role),
				  psprintf("Its type is %s.", format_type_be(column_type(draft, column))),
				  hint);
}

static void
require_value_type(Draft *draft, AttrNumber column)
{
	if (column == InvalidAttrNumber)
		return;
	require_type(draft, column, type_is_value, "metric",
				 psprintf("Metrics have a numeric type, boolean (taken as 0 and 1) or interval "
						  "(taken as seconds).%s", hint_conversion(draft->rel, column, false)));
}

static void
require_time_type(Draft *draft, AttrNumber column)
{
	if (column == InvalidAttrNumber)
		return;
	require_type(draft, column, type_is_time, "time",
				 psprintf("Times have the type timestamp with time zone, timestamp without time "
						  "zone or date.%s", hint_conversion(draft->rel, column, true)));
}

/*
 * Takes over what a mapping says of the columns that all metrics of a relation
 * share.  `was` is where it is kept; a contradiction is a problem.
 */
static void
merge_field(Draft *draft, char **was, char *is, const char *field)
{
	if (is == NULL)
		return;
	if (*was == NULL)
		*was = is;
	else if (strcmp(*was, is) != 0)
		draft_problem(draft, ERRCODE_CARDINALITY_VIOLATION,
					  psprintf("mappings of source \"%s\" contradict each other", draft->name),
					  psprintf("In metricsandtables, %s is \"%s\" for one metric and \"%s\" for "
							   "another.", field, *was, is),
					  "Metrics of one table are read together, with the same columns.");
}

void
merge_mappings(Draft *draft)
{
	const Definition *definition = draft->definition;
	ListCell   *lc;

	foreach(lc, draft->requests)
	{
		const SourceMapping *mapping = ((Request *) lfirst(lc))->mapping;

		if (mapping == NULL)
			continue;
		merge_field(draft, &draft->merged.layout, mapping->layout, "layout");
		if (definition == NULL || definition->id_column == NULL)
			merge_field(draft, &draft->merged.id_column, mapping->id_column, "id_column");
		if (definition == NULL || definition->time_column == NULL)
			merge_field(draft, &draft->merged.time_column, mapping->time_column, "time_column");
		merge_field(draft, &draft->merged.name_column, mapping->name_column, "name_column");
		merge_field(draft, &draft->merged.value_column, mapping->value_column, "value_column");
		if (mapping->layout == NULL && mapping->metric_column)
			merge_field(draft, &draft->merged.layout, "column", "layout");
		else if (mapping->layout == NULL && (mapping->name_column || mapping->value_column))
			merge_field(draft, &draft->merged.layout, "row", "layout");
	}
}

/*
 * Opens the relation, whose lock is held, unless it is open.  Returns false where it
 * is of a kind that cannot be a source.
 */
bool
draft_try_open(Draft *draft)
{
	TupleDesc	desc;

	if (draft->rel)
		return true;
	switch (get_rel_relkind(draft->relid))
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
		case RELKIND_FOREIGN_TABLE:
			break;
		default:
			return false;
	}

	draft->rel = relation_open(draft->relid, NoLock);
	desc = RelationGetDescr(draft->rel);
	draft->folded = palloc0(sizeof(char *) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			draft->folded[i] = name_fold(NameStr(TupleDescAttr(desc, i)->attname));
	return true;
}

/*
 * The same, where it is a problem that it cannot be a source.
 */
bool
draft_open(Draft *draft)
{
	if (draft_try_open(draft))
		return true;
	draft_problem(draft, ERRCODE_WRONG_OBJECT_TYPE,
				  psprintf("\"%s\" cannot be a source", draft->name),
				  "It is not a table, view, materialized view or foreign table.", NULL);
	return false;
}

void
draft_close(Draft *draft)
{
	relation_close(draft->rel, NoLock);
	draft->rel = NULL;
}

/* A name to look up where errors may have to be caught (problem_catch). */
typedef struct Lookup
{
	const char *written;
	char	   *qualified;
	Oid			relid;
} Lookup;

static void
lookup(void *arg)
{
	Lookup	   *it = arg;

	it->relid = name_lookup(it->written, &it->qualified);
}

/*
 * Looks the draft's relation up, once.  Returns false where there is none, or has
 * reported a problem that it may not be looked up.
 */
bool
draft_look_up(Draft *draft)
{
	Lookup		it = {.written = draft->written};

	if (!draft->looked_up)
	{
		draft->looked_up = true;
		if (!problem_catch(draft->problems, draft->definition_id, lookup, &it))
			draft->failed = true;
		draft->relid = it.relid;
		draft->name = it.qualified;
	}
	return OidIsValid(draft->relid);
}

static void
report_missing(Draft *draft)
{
	Request    *request = linitial(draft->requests);
	bool		mapped = request->mapping != NULL;
	char	   *meant = suggest_relation(draft->written);

	draft_problem(draft, ERRCODE_UNDEFINED_TABLE,
				  psprintf("source \"%s\" does not exist", draft->written),
				  psprintf(mapped ? "Metric \"%s\" is mapped to it in metricsandtables." :
						   "It is the definition's entity, and metric \"%s\" has no mapping.",
						   request->metric_name),
				  psprintf("%s%s%s", mapped ? "It was dropped, renamed, or never created." :
						   "Map the metric to its table in metricsandtables, or set the "
						   "definition's entity to the table.",
						   meant ? psprintf(" Perhaps you meant %s.", meant) : "",
						   draft->problems->if_missing ? draft->problems->if_missing : ""));
}

/*
 * Finds and opens the draft's relation.  Returns whether it could.
 */
bool
draft_find(Draft *draft)
{
	if (draft_look_up(draft))
		return draft_open(draft);
	if (!draft->failed)
		report_missing(draft);
	return false;
}

/* What the column of a request is called. */
static const char *
request_column(const Request *request)
{
	if (request->mapping && request->mapping->metric_column)
		return request->mapping->metric_column;
	return request->metric_name;
}

/*
 * Finds the name and value columns of a row layout.  Returns false where
 * either is missing.  What a mapping names must be there, which is a problem
 * else.
 */
static bool
find_row_columns(Draft *draft, AttrNumber *name_column, AttrNumber *value_column)
{
	const SourceMapping *merged = &draft->merged;

	*name_column = merged->name_column ?
		find_named_column(draft, merged->name_column, "name_column", false) : InvalidAttrNumber;
	*value_column = merged->value_column ?
		find_named_column(draft, merged->value_column, "value_column", false) : InvalidAttrNumber;
	if (draft->failed)
		return false;

	for (int i = 0; i < lengthof(row_columns); i++)
	{
		AttrNumber	name = *name_column;
		AttrNumber	value = *value_column;

		if (name == InvalidAttrNumber)
			name = find_column(draft, row_columns[i].name);
		if (value == InvalidAttrNumber)
			value = find_column(draft, row_columns[i].value);
		if (name != InvalidAttrNumber && value != InvalidAttrNumber)
		{
			*name_column = name;
			*value_column = value;
			return true;
		}
	}
	return false;
}

/* Is any of the metrics a column? */
static bool
any_metric_column(const Draft *draft)
{
	AttrNumber	other;
	ListCell   *lc;

	foreach(lc, draft->requests)
		if (match_column(draft, request_column(lfirst(lc)), &other) != InvalidAttrNumber)
			return true;
	return false;
}

/*
 * The metrics as columns, of SourceMetric; those that are none are problems.
 */
static List *
find_metric_columns(Draft *draft)
{
	List	   *metrics = NIL;
	ListCell   *lc;

	foreach(lc, draft->requests)
	{
		Request    *request = lfirst(lc);
		SourceMetric *metric = palloc(sizeof(SourceMetric));

		metric->metric = request->metric;
		metric->row_name = request->metric_name;
		metric->column = find_column(draft, request_column(request));
		if (metric->column == InvalidAttrNumber)
			draft_problem(draft, ERRCODE_UNDEFINED_COLUMN,
						  psprintf("source \"%s\" has no column for metric \"%s\"", draft->name,
								   request->metric_name),
						  request->mapping && request->mapping->metric_column ?
						  psprintf("Column \"%s\" is named as metric_column in metricsandtables.",
								   request->mapping->metric_column) : NULL,
						  psprintf("Columns that can be metrics: %s.%s%s",
								   list_columns(draft, type_is_value),
								   hint_column_near(draft->rel, request_column(request)),
								   hint_row_layout(draft->rel)));
		require_value_type(draft, metric->column);
		metrics = lappend(metrics, metric);
	}
	return metrics;
}

/* The metrics as rows, of SourceMetric. */
static List *
make_row_metrics(const Draft *draft)
{
	List	   *metrics = NIL;
	ListCell   *lc;

	foreach(lc, draft->requests)
	{
		SourceMetric *metric = palloc(sizeof(SourceMetric));

		metric->metric = ((Request *) lfirst(lc))->metric;
		metric->row_name = ((Request *) lfirst(lc))->metric_name;
		metric->column = InvalidAttrNumber;
		metrics = lappend(metrics, metric);
	}
	return metrics;
}

/*
 * Decides the layout and finds the metrics.  Where no mapping says which, the
 * source has column layout if any of its metrics is a column.
 */
void
resolve_layout(Draft *draft, Source *source)
{
	const char *layout = draft->merged.layout;
	bool		as_rows;

	as_rows = layout ? strcmp(layout, "row") == 0 : !any_metric_column(draft);
	if (as_rows)
	{
		source->layout = LAYOUT_ROW;
		source->metrics = make_row_metrics(draft);
		if (find_row_columns(draft, &source->name_column, &source->value_column))
		{
			require_type(draft, source->name_column, type_is_name, "metric name",
						 "Names of metrics have a text type.");
			require_value_type(draft, source->value_column);
			return;
		}
		if (layout)
		{
			if (!draft->failed)
				draft_problem(draft, ERRCODE_UNDEFINED_COLUMN,
							  psprintf("source \"%s\" has no columns for metric names and values",
									   draft->name),
							  "Its layout is \"row\" in metricsandtables.",
							  psprintf("Specify name_column and value_column. Columns of the source: "
									   "%s.%s", list_columns(draft, NULL),
									   hint_row_layout(draft->rel)));
			return;
		}
		/* Neither layout: say which columns are missing. */
	}
	source->layout = LAYOUT_COLUMN;
	source->metrics = find_metric_columns(draft);
}

/*
 * Finds the entity's id: none where one group holds all entities.
 */
AttrNumber
resolve_id(Draft *draft, const char *focal_entity)
{
	const char *const usual[] = {psprintf("%s_id", focal_entity), focal_entity, "id"};

	if (strcmp(focal_entity, "*") == 0)
		return InvalidAttrNumber;
	if (draft->definition && draft->definition->id_column)
		return find_named_column(draft, draft->definition->id_column, "id_column", true);
	if (draft->merged.id_column)
		return find_named_column(draft, draft->merged.id_column, "id_column", false);

	for (int i = 0; i < lengthof(usual); i++)
	{
		AttrNumber	column = find_column(draft, usual[i]);

		if (column != InvalidAttrNumber)
			return column;
	}
	draft_problem(draft, ERRCODE_UNDEFINED_COLUMN,
				  psprintf("source \"%s\" has no id column for focal entity \"%s\"",
						   draft->name, focal_entity),
				  psprintf("It has no column \"%s\", \"%s\" or \"%s\".", usual[0], usual[1],
						   usual[2]),
				  psprintf("Specify id_column, in batchjob_definitions or as an argument of "
						   "batchagg_create_job(). Columns of the source: %s.%s",
						   list_columns(draft, NULL),
						   hint_id_candidate(draft->rel, focal_entity)));
	return InvalidAttrNumber;
}

/* The only column of a time type; InvalidAttrNumber if there is none or several. */
static AttrNumber
only_time_column(const Draft *draft)
{
	AttrNumber	found = InvalidAttrNumber;

	for (AttrNumber column = 1; column <= RelationGetNumberOfAttributes(draft->rel); column++)
	{
		if (draft->folded[column - 1] == NULL || !type_is_time(column_type(draft, column)))
			continue;
		if (found != InvalidAttrNumber)
			return InvalidAttrNumber;
		found = column;
	}
	return found;
}

/* Reports that there is no column of a time type, or that several could be meant. */
static void
report_no_time(Draft *draft)
{
	char	   *candidates = list_columns(draft, type_is_time);

	if (strcmp(candidates, "none") == 0)
		draft_problem(draft, ERRCODE_UNDEFINED_COLUMN,
					  psprintf("source \"%s\" has no time column", draft->name),
					  "None of its columns is a date or timestamp.",
					  psprintf("Results are per bucket of time, so a source needs a column of type "
							   "timestamp with time zone, timestamp without time zone or date.%s",
							   hint_no_time(draft->rel)));
	else
		draft_problem(draft, ERRCODE_UNDEFINED_COLUMN,
					  psprintf("cannot tell which column of source \"%s\" is the time",
							   draft->name),
					  psprintf("Columns of a date or timestamp type: %s.", candidates),
					  "Specify time_column, in batchjob_definitions or as an argument of "
					  "batchagg_create_job().");
}

/*
 * Finds the time column.  A column of a usual name but of another type ("time"
 * of type time) does not count.
 */
AttrNumber
resolve_time(Draft *draft)
{
	bool		by_definition = draft->definition && draft->definition->time_column;
	AttrNumber	column;

	if (by_definition || draft->merged.time_column)
	{
		column = find_named_column(draft, by_definition ? draft->definition->time_column :
								   draft->merged.time_column, "time_column", by_definition);
		require_time_type(draft, column);
		return column;
	}

	for (int i = 0; i < lengthof(time_columns); i++)
	{
		column = find_column(draft, time_columns[i]);
		if (column != InvalidAttrNumber && type_is_time(column_type(draft, column)))
			return column;
	}

	column = only_time_column(draft);
	if (column == InvalidAttrNumber)
		report_no_time(draft);
	return column;
}

/*
 * Reports a problem unless the reader may read all the columns.
 */
void
require_privileges(Draft *draft, const AttrNumber *columns, int ncolumns)
{
	Oid			relid = RelationGetRelid(draft->rel);

	if (pg_class_aclcheck(relid, draft->reader, ACL_SELECT) == ACLCHECK_OK)
		return;
	for (int i = 0; i < ncolumns; i++)
	{
		if (columns[i] == InvalidAttrNumber ||
			pg_attribute_aclcheck(relid, columns[i], draft->reader, ACL_SELECT) == ACLCHECK_OK)
			continue;
		draft_problem(draft, ERRCODE_INSUFFICIENT_PRIVILEGE,
					  psprintf("permission denied for source \"%s\"", draft->name),
					  psprintf("Role \"%s\" lacks the SELECT privilege on column \"%s\".",
							   GetUserNameFromId(draft->reader, true),
							   column_name(draft, columns[i])),
					  psprintf("A job reads its sources with the privileges of its owner: GRANT SELECT "
							   "ON %s TO %s.", draft->name,
							   quote_identifier(GetUserNameFromId(draft->reader, true))));
		return;
	}
}

/*
 * The same for all columns that a source needs.
 */
void
require_source_privileges(Draft *draft, const Source *source)
{
	AttrNumber *columns = palloc(sizeof(AttrNumber) * (list_length(source->metrics) + 4));
	int			n = 0;
	ListCell   *lc;

	columns[n++] = source->id_column;
	columns[n++] = source->time_column;
	columns[n++] = source->name_column;
	columns[n++] = source->value_column;
	foreach(lc, source->metrics)
		columns[n++] = ((SourceMetric *) lfirst(lc))->column;
	require_privileges(draft, columns, n);
}
