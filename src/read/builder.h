/*-------------------------------------------------------------------------
 *
 * builder.h
 *	  The query of a scan while it is built.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_BUILDER_H
#define BATCHAGG_BUILDER_H

#include "parser/parse_node.h"

/* A query being built. */
typedef struct Builder
{
	ParseState *pstate;
	ParseNamespaceItem *source;
	List	   *columns;		/* of TargetEntry */
} Builder;

extern Node *builder_named_column(const Builder *builder,
								  ParseNamespaceItem *item, const char *name);
extern Node *builder_column(const Builder *builder, AttrNumber column);
extern int	builder_add(Builder *builder, Node *expr, const char *name);
extern int	builder_add_column(Builder *builder, AttrNumber column, const char *name);
extern Node *builder_compare(const Builder *builder, const char *operator,
							 Node *left, Node *right);
extern Node *builder_all_of(List *conditions);
extern Node *builder_any_of(List *conditions);

#endif							/* BATCHAGG_BUILDER_H */
