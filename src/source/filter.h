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

#include "model/problem.h"

/* Parses `filter` alone: ERROR where it is not one plain expression. */
extern Node *filter_parse(const char *filter);

/*
 * Parses and analyses `filter` in pstate, whose namespace holds the source
 * alone.  Returns a boolean expression, collations assigned.  ERROR, with the
 * filter's text and position, where it is not allowed.
 */
extern Node *filter_transform(ParseState *pstate, const char *filter);

/* Where warnings about a filter go, and of which definition it is; 0: not known. */
typedef struct FilterWarnings
{
	Problems   *problems;
	int32		definition_id;
} FilterWarnings;

/*
 * The same, of the columns of a relation alone.  `warnings` get those of strings that
 * were probably meant to be columns; NULL: nobody is warned.
 */
extern Node *filter_of_relation(Relation rel, const char *filter, const FilterWarnings *warnings);

#endif							/* BATCHAGG_FILTER_H */
