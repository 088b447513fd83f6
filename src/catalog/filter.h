/*-------------------------------------------------------------------------
 *
 * filter.h
 *	  resource_filter: one SQL boolean expression over the source's columns,
 *	  parsed and analysed by PostgreSQL, never spliced into SQL text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_FILTER_H
#define BATCHAGG_FILTER_H

#include "parser/parse_node.h"

/* Parses `filter` alone: ERROR where it is not one plain expression. */
extern Node *filter_parse(const char *filter);

/*
 * Parses and analyses `filter` in pstate, whose namespace holds the source
 * alone.  Returns a boolean expression, collations assigned.  ERROR, with the
 * filter's text and position, where it is not allowed.
 */
extern Node *filter_transform(ParseState *pstate, const char *filter);

/*
 * The same, of the columns of a relation alone.  With `warn`, a WARNING where a
 * string was probably meant to be a column.
 */
extern Node *filter_of_relation(Relation rel, const char *filter, bool warn);

#endif							/* BATCHAGG_FILTER_H */
