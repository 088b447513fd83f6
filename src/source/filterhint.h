/*-------------------------------------------------------------------------
 *
 * filterhint.h
 *	  What to write instead, where a filter was refused.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_FILTERHINT_H
#define BATCHAGG_FILTERHINT_H

#include "parser/parse_node.h"

extern const char filter_needs_view[];
extern char *filter_hint(const char *filter, const ErrorData *error);
extern char *filter_column_hint(ParseState *pstate, const char *name);
extern const char *filter_column_but_for_case(ParseState *pstate, const char *name);
extern char *filter_without_where(const char *filter);

#endif							/* BATCHAGG_FILTERHINT_H */
