/*-------------------------------------------------------------------------
 *
 * events.h
 *	  What an event name means in this database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_EVENTS_H
#define BATCHAGG_EVENTS_H

#include "model/problem.h"
#include "time/event.h"

extern bool event_meaning(const char *name, const char *schedule, const char *timezone,
						  EventMeaning *result);
extern bool event_lookup(const char *name, EventMeaning *result);
extern void event_require(const char *name, EventMeaning *result);
extern void event_report_unknown(const char *name, Problems *problems);

#endif							/* BATCHAGG_EVENTS_H */
