/*-------------------------------------------------------------------------
 *
 * builder.c
 *	  The query of a scan while it is built: its columns, and conditions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "utils/lsyscache.h"

#include "read/builder.h"

/*
 * A column of a table of the query, by its name, in an expression; this also asks for
 * the privilege to read it.
 */
Node *
builder_named_column(const Builder *builder, ParseNamespaceItem *item, const char *name)
{
	Node	   *column = scanNSItemForColumn(builder->pstate, item, 0, name, -1);

	if (column == NULL)
		elog(ERROR, "column \"%s\" is missing", name);
	return column;
}

/* A column of the source in an expression. */
Node *
builder_column(const Builder *builder, AttrNumber column)
{
	return builder_named_column(builder, builder->source,
								get_attname(builder->source->p_rte->relid, column, false));
}

/* Adds a column to the query and returns its number. */
int
builder_add(Builder *builder, Node *expr, const char *name)
{
	int			number = list_length(builder->columns);

	builder->columns = lappend(builder->columns,
							   makeTargetEntry((Expr *) expr, number + 1, pstrdup(name), false));
	return number;
}

/* Adds a column of the source. */
int
builder_add_column(Builder *builder, AttrNumber column, const char *name)
{
	return builder_add(builder, builder_column(builder, column), name);
}

/* left operator right, with PostgreSQL's own operator. */
Node *
builder_compare(const Builder *builder, const char *operator, Node *left, Node *right)
{
	return (Node *) make_op(builder->pstate,
							list_make2(makeString("pg_catalog"), makeString(pstrdup(operator))),
							left, right, NULL, -1);
}

Node *
builder_all_of(List *conditions)
{
	return list_length(conditions) == 1 ? linitial(conditions) :
		(Node *) makeBoolExpr(AND_EXPR, conditions, -1);
}

Node *
builder_any_of(List *conditions)
{
	return list_length(conditions) == 1 ? linitial(conditions) :
		(Node *) makeBoolExpr(OR_EXPR, conditions, -1);
}
