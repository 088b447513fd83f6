/*-------------------------------------------------------------------------
 *
 * source.c
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
 * A relation under examination is a "draft": the metrics asked of it, what
 * their mappings say, and the relation itself.  Columns are found in a fixed
 * order: what the definition names, else what a mapping names, else the names that
 * this file knows.  A name means the column of exactly that name, else the only one that is equal when
 * case is ignored and '.' taken for '_'.
 *
 * Everything is looked up anew for each run, so a source that was changed or
 * dropped since the job was made comes out as a problem here, before anything
 * is read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_relation.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog/filter.h"
#include "catalog/meaning.h"
#include "catalog/names.h"
#include "catalog/problem.h"
#include "catalog/reading.h"
#include "catalog/source.h"
#include "catalog/sourcehint.h"
#include "catalog/store.h"
#include "catalog/suggest.h"
#include "catalog/textmap.h"
#include "catalog/viewtree.h"
#include "settings.h"

/* A metric asked of a relation. */
typedef struct Request
{
	JobMetric  *metric;			/* NULL when a mapping alone is checked */
	const char *metric_name;
	const SourceMapping *mapping;	/* or NULL */
} Request;

/* A relation under examination. */
typedef struct Draft
{
	char	   *written;		/* its name where we have it from */
	char	   *name;			/* qualified and quoted; NULL: not found */
	bool		looked_up;
	Oid			relid;			/* InvalidOid: there is none, or it was not looked up */
	Relation	rel;			/* NULL: not open */
	char	  **folded;			/* column names as name_fold() has
								 * them; NULL: no such column any more */
	List	   *requests;		/* of Request */
	SourceMapping merged;		/* what the mappings say, taken together, but for what the
								 * definition says itself */
	List	   *passed_over;	/* of SourceMapping: as the entity has the metric */
	Oid			reader;			/* whose privileges count */
	const Definition *definition;	/* NULL when a mapping alone is checked */
	int			definition_id;
	Problems   *problems;
	bool		failed;			/* a problem was reported that rules it out */
} Draft;

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

/*----------
 * Types
 *----------
 */

/*
 * Can values of this type, or of the type its domain is over, be aggregated?
 * Numbers as they are, booleans as 0 and 1, intervals as seconds.
 */
bool
source_value_type_ok(Oid typid)
{
	switch (getBaseType(typid))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case BOOLOID:
		case INTERVALOID:
			return true;
		default:
			return false;
	}
}

/*
 * The id of a source's entity that has this text.  ERROR where the type of ids
 * does not accept it.
 */
Datum
source_id_from_text(const Source *source, const char *text, int length)
{
	Oid			input;
	Oid			io_param;

	getTypeInputInfo(getBaseType(get_atttype(source->relid, source->id_column)),
					 &input, &io_param);
	return OidInputFunctionCall(input, pnstrdup(text, length), io_param, -1);
}

/*
 * The definitions and names of sources (a list of Source), as arrays for a
 * statement's arguments.
 */
void
sources_as_arrays(const List *sources, Datum *definition_ids, Datum *names)
{
	List	   *texts = NIL;
	List	   *ids = NIL;
	ListCell   *lc;

	foreach(lc, sources)
	{
		const Source *source = lfirst(lc);

		texts = lappend(texts, (char *) source->name);
		ids = lappend_int(ids, source->definition->id);
	}
	*definition_ids = store_int_array(ids);
	*names = store_text_array(texts);
}

static bool
time_type_ok(Oid typid)
{
	switch (getBaseType(typid))
	{
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case DATEOID:
			return true;
		default:
			return false;
	}
}

static bool
name_type_ok(Oid typid)
{
	Oid			base = getBaseType(typid);

	return TypeCategory(base) == TYPCATEGORY_STRING || type_is_enum(base);
}

/*----------
 * Columns of a draft
 *----------
 */

static void
draft_problem(Draft *draft, int sqlerrcode, char *message, char *detail, char *hint)
{
	draft->failed = true;
	problem_report(draft->problems, sqlerrcode, draft->definition_id, false, message, detail,
				   hint);
}

static const char *
column_name(const Draft *draft, AttrNumber column)
{
	return NameStr(TupleDescAttr(RelationGetDescr(draft->rel), column - 1)->attname);
}

static Oid
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
static AttrNumber
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
static AttrNumber
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
	require_type(draft, column, source_value_type_ok, "metric",
				 psprintf("Metrics have a numeric type, boolean (taken as 0 and 1) or interval "
						  "(taken as seconds).%s", hint_conversion(draft->rel, column, false)));
}

static void
require_time_type(Draft *draft, AttrNumber column)
{
	if (column == InvalidAttrNumber)
		return;
	require_type(draft, column, time_type_ok, "time",
				 psprintf("Times have the type timestamp with time zone, timestamp without time "
						  "zone or date.%s", hint_conversion(draft->rel, column, true)));
}

/*----------
 * Making a draft
 *----------
 */

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

static void
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
static bool
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

/* The same, where it is a problem that it cannot be a source. */
static bool
draft_open(Draft *draft)
{
	if (draft_try_open(draft))
		return true;
	draft_problem(draft, ERRCODE_WRONG_OBJECT_TYPE,
				  psprintf("\"%s\" cannot be a source", draft->name),
				  "It is not a table, view, materialized view or foreign table.", NULL);
	return false;
}

static void
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
static bool
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

/* Finds and opens the draft's relation.  Returns whether it could. */
static bool
draft_find(Draft *draft)
{
	if (draft_look_up(draft))
		return draft_open(draft);
	if (!draft->failed)
		report_missing(draft);
	return false;
}

/*----------
 * Layout and columns
 *----------
 */

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
								   list_columns(draft, source_value_type_ok),
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
static void
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
			require_type(draft, source->name_column, name_type_ok, "metric name",
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

/* Finds the entity's id: none where one group holds all entities. */
static AttrNumber
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
		if (draft->folded[column - 1] == NULL || !time_type_ok(column_type(draft, column)))
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
	char	   *candidates = list_columns(draft, time_type_ok);

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
static AttrNumber
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
		if (column != InvalidAttrNumber && time_type_ok(column_type(draft, column)))
			return column;
	}

	column = only_time_column(draft);
	if (column == InvalidAttrNumber)
		report_no_time(draft);
	return column;
}

/*----------
 * Privileges
 *----------
 */

/* Reports a problem unless the reader may read all the columns. */
static void
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

/* The same for all columns that a source needs. */
static void
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

/*----------
 * Drafts of a definition
 *----------
 */

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
		if (entity->folded[column - 1] != NULL && time_type_ok(column_type(entity, column)))
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
	if (column == InvalidAttrNumber || !source_value_type_ok(column_type(entity, column)))
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

/*----------
 * Sources
 *----------
 */

/*
 * Warns of an id that makes every row a group of its own, and tells of a column that
 * is called as what results are to be per.
 */
static void
warn_of_unique_id(Draft *draft, AttrNumber id_column)
{
	const char *focal_entity = draft->definition->focal_entity;
	AttrNumber	other;
	AttrNumber	called = match_column(draft, focal_entity, &other);
	Bitmapset  *key = RelationGetIndexAttrBitmap(draft->rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);

	if (id_column == InvalidAttrNumber || bms_num_members(key) != 1 ||
		!bms_is_member(id_column - FirstLowInvalidHeapAttributeNumber, key))
		return;
	problem_report(draft->problems, ERRCODE_WARNING, draft->definition_id, true,
				   psprintf("id column \"%s\" is the primary key of source \"%s\"",
							column_name(draft, id_column), draft->name),
				   called == InvalidAttrNumber || called == id_column ?
				   "Every row is a group of its own." :
				   psprintf("Every row is a group of its own. Column \"%s\" is called like the "
							"focal entity.", column_name(draft, called)),
				   "Specify the column of the focal entity as id_column in batchjob_definitions.");
}

/* Reports a setting that this session has and the reader has not, where one is asked for. */
static void
report_setting(Draft *draft, const SessionCall *call)
{
	const char *reader = GetUserNameFromId(draft->reader, true);

	if (reading_can_fix(draft->reader, call->setting))
		return;
	draft_problem(draft, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				  psprintf("setting \"%s\" is not known to sessions of role \"%s\"", call->setting,
						   reader),
				  psprintf("In %s, it is used. This session has it, but a job is not read with that.",
						   call->where),
				  psprintf("ALTER ROLE %s SET %s TO its value, or run the job in a session without it.",
						   quote_identifier(reader), call->setting));
}

/* What is to be said of a call whose result depends on the session. */
static char *
session_call_text(const SessionCall *call)
{
	return psprintf(call->is_certain ? "In %s, %s is used." :
					"A function that %s calls has the word %s in its text.", call->where,
					call->setting ? psprintf("setting \"%s\"", call->setting) : call->function);
}

static char *
session_call_hint(const SessionCall *call)
{
	return call->tells_who ?
		"While a job is run, current_user is its owner: use that instead." :
		"A job reads its sources with the settings that a new session of its owner "
		"has, whoever runs it. ALTER ROLE ... SET changes them.";
}

/*
 * Reports that what a relation has depends on who runs the job: a problem where its
 * query says so and nothing can fix it, else a warning for who validates the job.
 */
static void
report_session_calls(Draft *draft)
{
	ListCell   *lc;

	foreach(lc, meaning_session_calls(draft->rel))
	{
		const SessionCall *call = lfirst(lc);
		bool		is_problem = call->tells_who && call->is_certain;

		if (call->setting != NULL && !call->tells_who)
		{
			report_setting(draft, call);
			continue;
		}
		if (!is_problem && !draft->problems->collect)
			continue;
		draft->failed |= is_problem;
		problem_report(draft->problems, is_problem ? ERRCODE_FEATURE_NOT_SUPPORTED : ERRCODE_WARNING,
					   draft->definition_id, !is_problem,
					   psprintf("the rows of source \"%s\" depend on the session that reads them",
								draft->name),
					   session_call_text(call), session_call_hint(call));
	}
}

static bool
is_of_no_superuser(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		result = HeapTupleIsValid(tuple) &&
		!superuser_arg(((Form_pg_class) GETSTRUCT(tuple))->relowner);

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

static bool
is_function_of_no_superuser(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		result = HeapTupleIsValid(tuple) &&
		!superuser_arg(((Form_pg_proc) GETSTRUCT(tuple))->proowner);

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

/* The name of what a source is, reads or calls and no superuser owns, for a message; or NULL. */
static const char *
stranger_of(Oid relid)
{
	Oid			stranger = view_tree_find(relid, is_of_no_superuser);

	if (OidIsValid(stranger))
		return psprintf("\"%s\"", get_rel_name(stranger));
	stranger = view_tree_find_call(relid, is_function_of_no_superuser);
	return OidIsValid(stranger) ? psprintf("function \"%s\"", get_func_name(stranger)) : NULL;
}

/*
 * A superuser who reads what another role owns, or calls, runs what that role puts in its
 * place: a view that calls a function.  That is a problem where it shall not be; else validation
 * tells of it.
 */
static void
check_trust(Draft *draft)
{
	const char *stranger;
	char	   *message;
	char	   *detail;

	if (!superuser_arg(draft->reader) ||
		!(batchagg_restrict_superuser_jobs || draft->problems->collect))
		return;
	stranger = stranger_of(RelationGetRelid(draft->rel));
	if (stranger == NULL)
		return;
	message = psprintf("a superuser's job reads source \"%s\", which another role can change",
					   draft->name);
	detail = psprintf("No superuser owns %s: its owner can have code run as superuser.", stranger);
	if (batchagg_restrict_superuser_jobs)
		draft_problem(draft, ERRCODE_INSUFFICIENT_PRIVILEGE, message, detail,
					  "Give the job to the role that owns the source. The setting "
					  "\"batchagg.restrict_superuser_jobs\" is on.");
	else
		problem_report(draft->problems, ERRCODE_WARNING, draft->definition_id, true, message, detail,
					   "Give the job to the role that owns the source.");
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

/*
 * Closes the relations of sources that source_resolve() has left open.
 */
void
sources_close(List *sources)
{
	ListCell   *lc;

	foreach(lc, sources)
		relation_close(((Source *) lfirst(lc))->rel, NoLock);
}

static void
check_column(const Source *source, AttrNumber column)
{
	if (column != InvalidAttrNumber &&
		TupleDescAttr(RelationGetDescr(source->rel), column - 1)->attisdropped)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("a column of source \"%s\" was dropped while the job was running",
						source->name)));
}

/*
 * ERROR where a column of a source is not there any more.  PostgreSQL does not let a
 * column of an open relation be dropped, but for one that goes with its type.
 */
void
source_check_columns(const Source *source)
{
	ListCell   *lc;

	check_column(source, source->id_column);
	check_column(source, source->time_column);
	check_column(source, source->name_column);
	check_column(source, source->value_column);
	foreach(lc, source->metrics)
		check_column(source, ((SourceMetric *) lfirst(lc))->column);
}

/*----------
 * Checks for triggers and validation
 *----------
 */

/*
 * Checks a row of metricsandtables against its table, which must be there: the
 * columns it names, the metric, and that role `reader` may read these.  What
 * depends on a definition (the id where none is named, the time) is left to
 * source_resolve().  ERROR at the first problem.
 */
void
source_check_mapping(const SourceMapping *mapping, Oid reader)
{
	Problems	raise = {.collect = false};
	Request		request = {.metric_name = mapping->metric_name, .mapping = mapping};
	Draft		draft = {
		.written = mapping->table_name,
		.requests = list_make1(&request),
		.reader = reader,
		.problems = &raise
	};
	Source		source = {0};

	if (!draft_find(&draft))
		return;
	merge_mappings(&draft);
	resolve_layout(&draft, &source);
	if (mapping->id_column)
		source.id_column = find_named_column(&draft, mapping->id_column, "id_column", false);
	if (mapping->time_column)
		source.time_column = resolve_time(&draft);
	require_source_privileges(&draft, &source);
	draft_close(&draft);
}

/*
 * Warns of functions that an analysed filter calls, and whose results depend on the
 * session.  Those that it names itself have been refused.
 */
static void
warn_of_session_calls(Node *filter, const FilterWarnings *warnings, const char *source)
{
	ListCell   *lc;

	foreach(lc, meaning_filter_session_calls(filter))
	{
		const SessionCall *call = lfirst(lc);

		/* Who asks for a setting also calls current_setting(). */
		if (call->setting != NULL && !call->tells_who)
			continue;
		problem_report(warnings->problems, ERRCODE_WARNING, warnings->definition_id, true,
					   psprintf("which rows of source \"%s\" the filter lets pass depends on the session",
								source),
					   session_call_text(call), session_call_hint(call));
	}
}

/*
 * Checks a filter against relation `relid`, which is locked, as it will be read
 * in a run: by role `reader`, in the time zone of the definition.  ERROR where
 * the filter is not allowed there; `warnings` where it is probably not what was meant.
 */
void
source_check_filter(Oid relid, const char *filter, const char *timezone, Oid reader,
					const FilterWarnings *warnings)
{
	Problems	raise = {.collect = false};
	Draft		draft = {.reader = reader, .problems = &raise, .relid = relid};
	Node	   *analysed;
	Bitmapset  *used = NULL;
	AttrNumber *columns;
	int			n = 0;
	int			member = -1;
	int			guc_level;

	draft.name = name_qualified(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
	if (!draft_open(&draft))
		return;

	guc_level = NewGUCNestLevel();
	reading_fix_settings(reader, timezone);
	analysed = filter_of_relation(draft.rel, filter, warnings);
	pull_varattnos(analysed, 1, &used);
	AtEOXact_GUC(false, guc_level);
	warn_of_session_calls(analysed, warnings, draft.name);
	if (bms_is_empty(used))
		problem_report(warnings->problems, ERRCODE_WARNING, warnings->definition_id, true,
					   psprintf("filter refers to no column of source \"%s\"", draft.name),
					   "Its result is the same for all rows.", NULL);

	columns = palloc(sizeof(AttrNumber) * (bms_num_members(used) + 1));
	while ((member = bms_next_member(used, member)) >= 0)
		columns[n++] = member + FirstLowInvalidHeapAttributeNumber;
	require_privileges(&draft, columns, n);
	draft_close(&draft);
}

/*----------
 * Columns, for who tracks changes
 *----------
 */

/* A draft of a table, with what is wrong with it left aside. */
static bool
open_silently(Draft *draft, Problems *ignored, Oid relid)
{
	ignored->collect = true;
	draft->problems = ignored;
	draft->name = get_rel_name(relid);
	draft->relid = relid;
	return draft_open(draft);
}

/*
 * Is each group of `coarse` made of whole groups of `fine`, but for what horizons
 * cut off?
 */
bool
source_nests(const Source *fine, const Source *coarse)
{
	const Definition *f = fine->definition;
	const Definition *c = coarse->definition;

	return fine->relid == coarse->relid && fine->layout == coarse->layout &&
		fine->id_column == coarse->id_column && fine->time_column == coarse->time_column &&
		fine->name_column == coarse->name_column && fine->value_column == coarse->value_column &&
		granularity_nests(&f->granularity, &c->granularity) &&
		strcmp(f->timezone, c->timezone) == 0 &&
		strcmp(f->filter ? f->filter : "", c->filter ? c->filter : "") == 0;
}

/*
 * The column of relation `relid` that is the time, where mappings have `mapped` (or
 * NULL) as time_column; InvalidAttrNumber where there is none, or several could be.
 */
AttrNumber
source_find_time(Oid relid, char *mapped)
{
	Problems	ignored = {0};
	Draft		draft = {.merged = {.time_column = mapped}};
	AttrNumber	column;

	if (!open_silently(&draft, &ignored, relid))
		return InvalidAttrNumber;
	column = resolve_time(&draft);
	draft_close(&draft);
	return draft.failed ? InvalidAttrNumber : column;
}

/*
 * Likewise the column that is the id of a focal entity.
 */
AttrNumber
source_find_id(Oid relid, char *mapped, const char *focal_entity)
{
	Problems	ignored = {0};
	Draft		draft = {.merged = {.id_column = mapped}};
	AttrNumber	column;

	if (!open_silently(&draft, &ignored, relid))
		return InvalidAttrNumber;
	column = resolve_id(&draft, focal_entity);
	draft_close(&draft);
	return draft.failed ? InvalidAttrNumber : column;
}
