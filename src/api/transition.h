/*-------------------------------------------------------------------------
 *
 * transition.h
 *	  The rows that a statement has changed, for a trigger that is called after it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_TRANSITION_H
#define BATCHAGG_TRANSITION_H

#include "commands/trigger.h"
#include "nodes/pg_list.h"

extern const TriggerData *statement_trigger(FunctionCallInfo fcinfo);
extern List *transition_rows(const TriggerData *data, bool old);
extern char *transition_text(const TriggerData *data, HeapTuple row, const char *column);

#endif							/* BATCHAGG_TRANSITION_H */
