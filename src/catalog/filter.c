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
#include "utils/lsyscache.h"

#include "catalog/filter.h"

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
			 parser_errposition(pstate, location)));
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
	return expression;
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
	ParseState *pstate = make_parsestate(NULL);
	ErrorContextCallback context;
	Node	   *expression;

	pstate->p_sourcetext = filter;
	push_error_context(&context, filter);
	expression = parse_expression(pstate, filter);
	error_context_stack = context.previous;
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

/*
 * Parser hook: a double-quoted word that is no column is a string.  Runs ahead
 * of PostgreSQL's own resolution, so that a word which happens to be the name
 * of the source does not become its whole row.
 */
static Node *
quoted_word_hook(ParseState *pstate, ColumnRef *ref)
{
	const char *word = pstate->p_sourcetext + ref->location;

	if (list_length(ref->fields) != 1 || ref->location < 0 || *word != '"')
		return NULL;
	if (colNameToVar(pstate, strVal(linitial(ref->fields)), false, ref->location))
		return NULL;
	return (Node *) makeConst(UNKNOWNOID, -1, InvalidOid, -2,
							  CStringGetDatum(quoted_word(word)), false, false);
}

static bool
is_volatile(Oid function, void *context)
{
	return func_volatile(function) == PROVOLATILE_VOLATILE;
}

/* Refuses analysed nodes whose value is not settled by the row and the snapshot. */
static bool
check_analysed_walker(Node *node, void *context)
{
	ParseState *pstate = context;

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
	return expression_tree_walker(node, check_analysed_walker, context);
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
	const char *saved_text = pstate->p_sourcetext;
	PreParseColumnRefHook saved_hook = pstate->p_pre_columnref_hook;
	ErrorContextCallback context;
	Node	   *expression;

	pstate->p_sourcetext = filter;
	pstate->p_pre_columnref_hook = quoted_word_hook;
	push_error_context(&context, filter);

	expression = parse_expression(pstate, filter);
	expression = transformExpr(pstate, expression, EXPR_KIND_WHERE);
	expression = coerce_to_boolean(pstate, expression, "resource_filter");
	assign_expr_collations(pstate, expression);
	check_analysed_walker(expression, pstate);

	error_context_stack = context.previous;
	pstate->p_pre_columnref_hook = saved_hook;
	pstate->p_sourcetext = saved_text;
	return expression;
}

/*
 * Parses and analyses `filter` as filter_transform() does, over the columns of
 * relation `rel`, which is locked, as range table entry 1.
 */
Node *
filter_of_relation(Relation rel, const char *filter)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node	   *expression;

	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, true, false);
	addNSItemToQuery(pstate, item, true, true, true);
	expression = filter_transform(pstate, filter);
	free_parsestate(pstate);
	return expression;
}
