/*-------------------------------------------------------------------------
 *
 * doubt.h
 *	  What is doubtful about a source: its id, who can change it, what depends on the session.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_DOUBT_H
#define BATCHAGG_DOUBT_H

#include "source/draft.h"
#include "source/filter.h"

extern void warn_of_unique_id(Draft *draft, AttrNumber id_column);
extern void report_session_calls(Draft *draft);
extern void check_trust(Draft *draft);
extern void warn_of_session_calls(Node *filter, const FilterWarnings *warnings, const char *source);

#endif							/* BATCHAGG_DOUBT_H */
