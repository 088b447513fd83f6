/*-------------------------------------------------------------------------
 *
 * filter.c
 *	  resource_filter: one SQL boolean expression over the source's columns.
 *
 * A filter is text that a user wrote, and it never becomes part of an SQL
 * text of ours.  PostgreSQL's own parser turns it into one expression, by the
 * grammar that it has for an expression of PL/pgSQL, and its analysis resolves
 * that against the source alone.  The result is an expression tree, which the
 * engine puts into the query that it plans.
 *
 * What that grammar takes is more than an expression (it goes on with FROM,
 * WHERE and the rest of a SELECT), so anything but one plain column of output
 * is refused.  Then the raw tree is looked through for what is no value of one
 * row: subqueries, parameters, "*".  Aggregates, window and set-returning
 * functions are refused by PostgreSQL's analysis, as they are in WHERE.  The
 * analysed tree, last, is looked through for functions that are volatile, and
 * for whole rows and system columns, which a view or foreign table does not
 * have.
 *
 * A word in double quotes is an identifier to SQL.  Filters written for other
 * systems use it for strings (status = "active"), so such a word that is no
 * column of the source is taken for a string constant.  Its text is read from
 * the filter itself, because the parser has cut the identifier to 63 bytes.
 *
 * Errors of the parser and the analysis get hints that fit filters
 * (filterhint.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/attnum.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "model/problem.h"
#include "model/reading.h"
#include "source/filter.h"
#include "source/filterhint.h"
#include "source/meaning.h"

/*
 * Makes errors show the filter: a position in it is a position in a query of
 * our own (LINE 1: ...), not in the statement that the client sent.
 */
static void
filter_error_callback(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) arg);
	}
	errcontext("resource_filter");
}

static void
push_error_context(ErrorContextCallback *context, const char *filter)
{
	context->previous = error_context_stack;
	context->callback = filter_error_callback;
	context->arg = (void *) filter;
	error_context_stack = context;
}

static void
refuse(ParseState *pstate, const char *what, int location)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a filter cannot contain %s", what),
			 errdetail("A filter is an expression over the columns of one row of the source."),
			 errhint("%s", filter_needs_view),
			 parser_errposition(pstate, location)));
}

/* Is this the word NULL? */
static bool
is_null_word(const Node *node)
{
	return node && IsA(node, A_Const) && ((const A_Const *) node)->isnull;
}

/* Refuses a comparison with the word NULL, which is never true. */
static void
check_comparison(ParseState *pstate, const A_Expr *comparison)
{
	const char *name = strVal(linitial(comparison->name));
	bool		equal = strcmp(name, "=") == 0;

	if (comparison->kind != AEXPR_OP || list_length(comparison->name) != 1 ||
		(!equal && strcmp(name, "<>") != 0))
		return;
	if (!is_null_word(comparison->lexpr) && !is_null_word(comparison->rexpr))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("a filter cannot compare with NULL by %s", name),
			 errdetail("The result is always NULL, so no row would pass."),
			 errhint("Write %s instead.", equal ? "IS NULL" : "IS NOT NULL"),
			 parser_errposition(pstate, comparison->location)));
}

/*
 * Looks for such comparisons among the conditions that AND, OR and NOT combine.
 * Elsewhere, as in coalesce(a = NULL, true), the filter makes something of the NULL.
 */
static void
check_conditions(ParseState *pstate, const Node *node)
{
	ListCell   *lc;

	if (IsA(node, A_Expr))
		check_comparison(pstate, (const A_Expr *) node);
	if (!IsA(node, BoolExpr))
		return;
	foreach(lc, ((const BoolExpr *) node)->args)
		check_conditions(pstate, lfirst(lc));
}

/*
 * Refuses raw nodes that are no value of one row.  "*" must not get as far as
 * the analysis, which does not expect it in an expression.
 */
static bool
check_raw_walker(Node *node, void *context)
{
	ParseState *pstate = context;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_SubLink:
			refuse(pstate, "a subquery", ((SubLink *) node)->location);
			break;
		case T_ParamRef:
			refuse(pstate, "a parameter", ((ParamRef *) node)->location);
			break;
		case T_ColumnRef:
			if (IsA(llast(((ColumnRef *) node)->fields), A_Star))
				refuse(pstate, "a whole row", ((ColumnRef *) node)->location);
			break;
		default:
			break;
	}
	return raw_expression_tree_walker(node, check_raw_walker, context);
}

/*
 * The expression of a parsed filter; ERROR where there is more than one, or
 * anything beside it.
 */
static Node *
only_expression(ParseState *pstate, List *parsed)
{
	SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);
	ResTarget  *target;
	char	   *condition = filter_without_where(pstate->p_sourcetext);

	if (select->targetList == NIL && condition)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("filter begins with WHERE"),
				 errhint("Write the condition alone: %s", condition)));
	if (select->targetList == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("filter is empty"),
				 errhint("Leave resource_filter NULL to read all rows.")));
	target = linitial_node(ResTarget, select->targetList);

	if (list_length(select->targetList) != 1 || target->name != NULL ||
		select->distinctClause != NIL || select->fromClause != NIL ||
		select->whereClause != NULL || select->groupClause != NIL ||
		select->havingClause != NULL || select->windowClause != NIL ||
		select->sortClause != NIL || select->limitOffset != NULL ||
		select->limitCount != NULL || select->lockingClause != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a filter must be one expression"),
				 errdetail("It is what could stand alone after WHERE."),
				 parser_errposition(pstate, target->location)));
	return target->val;
}

/* filter_parse(), with the error context in place. */
static Node *
parse_expression(ParseState *pstate, const char *filter)
{
	Node	   *expression = only_expression(pstate,
											 raw_parser(filter, RAW_PARSE_PLPGSQL_EXPR));

	check_raw_walker(expression, pstate);
	check_conditions(pstate, expression);
	return expression;
}

/*
 * To be called where an error of the parser or the analysis is caught: raises it
 * again, with a hint that fits filters if there is one.
 */
static void
rethrow_with_hint(const char *filter, MemoryContext context)
{
	ErrorData  *error;
	char	   *hint;

	if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION &&
		ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
		PG_RE_THROW();
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	hint = filter_hint(filter, error);
	if (hint)
		error->hint = hint;
	ReThrowError(error);
}

/*
 * Parses `filter` alone.  Returns its raw expression tree, for the checks that
 * need no source.  ERROR, with the filter's text and a position, where it is
 * not one plain expression: a syntax error, a second expression or statement,
 * a subquery, a parameter.
 */
Node *
filter_parse(const char *filter)
{
	MemoryContext caller = CurrentMemoryContext;
	ParseState *pstate = make_parsestate(NULL);
	ErrorContextCallback context;
	Node	   *volatile expression = NULL;
	int			guc_level = NewGUCNestLevel();

	reading_fix_grammar();
	pstate->p_sourcetext = filter;
	push_error_context(&context, filter);
	PG_TRY();
	{
		expression = parse_expression(pstate, filter);
	}
	PG_CATCH();
	{
		rethrow_with_hint(filter, caller);
	}
	PG_END_TRY();
	error_context_stack = context.previous;
	AtEOXact_GUC(false, guc_level);
	free_parsestate(pstate);
	return expression;
}

/*
 * The text of the double-quoted word that stands at `word`, which the parser
 * has accepted as such.
 */
static char *
quoted_word(const char *word)
{
	char	   *text = palloc(strlen(word));
	char	   *end = text;

	for (word++; *word != '"' || word[1] == '"'; word++)
	{
		if (*word == '"')
			word++;
		*end++ = *word;
	}
	*end = '\0';
	return text;
}

/* Warns who only checks a filter. */
static void
warn(ParseState *pstate, char *message, char *detail, char *hint)
{
	const FilterWarnings *warnings = pstate->p_ref_hook_state;

	problem_report(warnings->problems, ERRCODE_WARNING, warnings->definition_id, true, message,
				   detail, hint);
}

/*
 * Warns of a double-quoted word that is a string, but is called like a column but
 * for case.  Who only checks a filter is warned, and has set p_ref_hook_state.
 */
static void
warn_of_case(ParseState *pstate, const char *word)
{
	const char *column = filter_column_but_for_case(pstate, word);

	if (pstate->p_ref_hook_state == NULL || column == NULL)
		return;
	warn(pstate, psprintf("\"%s\" is taken as a string, not as column \"%s\"", word, column),
		 "In double quotes the name of a column must be written exactly.",
		 psprintf("Write %s if you mean the column, or '%s' if you mean the string.",
				  quote_identifier(column), word));
}

/*
 * Parser hook: a double-quoted word that is no column is a string.  Runs ahead
 * of PostgreSQL's own resolution, so that a word which happens to be the name
 * of the source does not become its whole row.
 */
static Node *
quoted_word_hook(ParseState *pstate, ColumnRef *ref)
{
	const char *word = pstate->p_sourcetext + ref->location;
	Const	   *string;

	if (list_length(ref->fields) != 1 || ref->location < 0 || *word != '"')
		return NULL;
	if (colNameToVar(pstate, strVal(linitial(ref->fields)), false, ref->location))
		return NULL;
	warn_of_case(pstate, strVal(linitial(ref->fields)));
	string = makeConst(UNKNOWNOID, -1, InvalidOid, -2, CStringGetDatum(quoted_word(word)), false,
					   false);
	string->location = ref->location;
	return (Node *) string;
}

/*
 * Parser hook: a name that is no column is refused with a hint of our own.
 */
static Node *
missing_column_hook(ParseState *pstate, ColumnRef *ref, Node *found)
{
	const char *name = strVal(linitial(ref->fields));

	if (found == NULL && list_length(ref->fields) == 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" does not exist", name),
				 errhint("%s", filter_column_hint(pstate, name)),
				 parser_errposition(pstate, ref->location)));
	return NULL;
}

/* The word in double quotes that a raw node is, if it is no column; NULL: it is none. */
static const char *
quoted_string(ParseState *pstate, Node *node)
{
	ColumnRef  *ref = (ColumnRef *) node;

	if (node == NULL || !IsA(node, ColumnRef) || list_length(ref->fields) != 1 ||
		ref->location < 0 || pstate->p_sourcetext[ref->location] != '"' ||
		colNameToVar(pstate, strVal(linitial(ref->fields)), false, ref->location) != NULL)
		return NULL;
	return strVal(linitial(ref->fields));
}

/* What raw expressions refer to. */
typedef struct References
{
	ParseState *pstate;
	bool		to_columns;
	const char *word;			/* the first one in double quotes that is no column; NULL: none */
} References;

static bool
references_walker(Node *node, void *context)
{
	References *references = context;
	const char *word;

	if (node == NULL)
		return false;
	if (!IsA(node, ColumnRef))
		return raw_expression_tree_walker(node, references_walker, context);
	word = quoted_string(references->pstate, node);
	if (word == NULL)
		references->to_columns = true;
	else if (references->word == NULL)
		references->word = word;
	return false;
}

/*
 * The quoted word, none of the columns, that raw expressions refer to, if they refer to
 * no column; or NULL.
 */
static const char *
constant_word(ParseState *pstate, Node *first, Node *second)
{
	References	references = {.pstate = pstate};

	references_walker(first, &references);
	references_walker(second, &references);
	return references.to_columns ? NULL : references.word;
}

/* Does a raw expression compare two values? */
static bool
is_comparison(const A_Expr *expression)
{
	return expression->lexpr != NULL &&
		(expression->kind != AEXPR_OP || strchr("=<>!~", *strVal(llast(expression->name))) != NULL);
}

static void
warn_of_string(ParseState *pstate, const char *word, const char *what)
{
	if (word != NULL && filter_column_but_for_case(pstate, word) == NULL)
		warn(pstate, psprintf("\"%s\" is no column, and is %s", word, what),
			 "The result is the same for all rows.", filter_column_hint(pstate, word));
}

/*
 * Warns of comparisons that are the same for all rows because a quoted word was meant to
 * be a column, and is none.
 */
static bool
warn_of_strings_walker(Node *node, void *context)
{
	ParseState *pstate = context;

	if (node == NULL)
		return false;
	if (IsA(node, A_Expr) && is_comparison((A_Expr *) node))
		warn_of_string(pstate,
					   constant_word(pstate, ((A_Expr *) node)->lexpr, ((A_Expr *) node)->rexpr),
					   "compared as a string with a constant");
	if (IsA(node, NullTest))
		warn_of_string(pstate, constant_word(pstate, (Node *) ((NullTest *) node)->arg, NULL),
					   "taken as a string, which is not NULL");
	return raw_expression_tree_walker(node, warn_of_strings_walker, context);
}

static bool
is_volatile(Oid function, void *context)
{
	return func_volatile(function) == PROVOLATILE_VOLATILE;
}

static void
refuse_session_function(ParseState *pstate, const char *function, int location)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a filter cannot use %s", function),
			 errdetail("Its result depends on the session that runs the job."),
			 strcmp(function, "session_user") == 0 ?
			 errhint("In a filter, current_user is the owner of the job.") :
			 strcmp(function, "current_setting") == 0 ?
			 errhint("Write the value itself.") : 0,
			 parser_errposition(pstate, location)));
}

/* Refuses analysed nodes whose value is not settled by the row and the snapshot. */
static bool
check_analysed_walker(Node *node, void *context)
{
	ParseState *pstate = context;
	const char *session_function;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varattno == InvalidAttrNumber)
			refuse(pstate, "a whole row", var->location);
		if (var->varattno < 0)
			refuse(pstate, "a system column", var->location);
	}
	if (check_functions_in_node(node, is_volatile, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a filter cannot call a volatile function"),
				 errdetail("Its result could differ between two readings of the same row."),
				 parser_errposition(pstate, exprLocation(node))));
	session_function = meaning_session_function(node);
	if (session_function != NULL)
		refuse_session_function(pstate, session_function, exprLocation(node));
	return expression_tree_walker(node, check_analysed_walker, context);
}

/* filter_transform(), with hooks and error context in place. */
static Node *
analysed_expression(ParseState *pstate, const char *filter)
{
	Node	   *expression = parse_expression(pstate, filter);

	if (pstate->p_ref_hook_state != NULL)	/* who only checks a filter */
		(void) warn_of_strings_walker(expression, pstate);
	expression = transformExpr(pstate, expression, EXPR_KIND_WHERE);
	expression = coerce_to_boolean(pstate, expression, "resource_filter");
	assign_expr_collations(pstate, expression);
	check_analysed_walker(expression, pstate);
	return expression;
}

/*
 * Parses and analyses `filter` in pstate, whose namespace holds the source
 * alone.  Returns a boolean expression, collations assigned.  Names of
 * functions, operators and types are resolved in the current search_path, and
 * literals of time in the current TimeZone: the caller sets both.  ERROR, with
 * the filter's text and a position, for all that filter_parse() refuses, and
 * for an unknown column, function or operator, an aggregate, window or
 * set-returning or volatile function, a whole row or system column, or a
 * result that is not boolean.
 */
Node *
filter_transform(ParseState *pstate, const char *filter)
{
	MemoryContext caller = CurrentMemoryContext;
	const char *saved_text = pstate->p_sourcetext;
	PreParseColumnRefHook saved_hook = pstate->p_pre_columnref_hook;
	ErrorContextCallback context;
	Node	   *volatile expression = NULL;

	pstate->p_sourcetext = filter;
	pstate->p_pre_columnref_hook = quoted_word_hook;
	pstate->p_post_columnref_hook = missing_column_hook;
	push_error_context(&context, filter);
	PG_TRY();
	{
		expression = analysed_expression(pstate, filter);
	}
	PG_CATCH();
	{
		rethrow_with_hint(filter, caller);
	}
	PG_END_TRY();
	error_context_stack = context.previous;
	pstate->p_pre_columnref_hook = saved_hook;
	pstate->p_post_columnref_hook = NULL;
	pstate->p_sourcetext = saved_text;
	return expression;
}

/*
 * Parses and analyses `filter` as filter_transform() does, over the columns of
 * relation `rel`, which is locked, as range table entry 1.  `warnings` get those of
 * strings that were probably meant to be columns; NULL: nobody is warned.
 */
Node *
filter_of_relation(Relation rel, const char *filter, const FilterWarnings *warnings)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node	   *expression;

	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, true, false);
	addNSItemToQuery(pstate, item, true, true, true);
	pstate->p_ref_hook_state = (void *) warnings;
	expression = filter_transform(pstate, filter);
	free_parsestate(pstate);
	return expression;
}
