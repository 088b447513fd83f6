/*-------------------------------------------------------------------------
 *
 * settle.h
 *	  What became of slots that workers had, and of those that get no run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SETTLE_H
#define BATCHAGG_SETTLE_H

#include "slots/agenda.h"

extern void settle_reconsider(AgendaJob *job);
extern void settle_ended(Agenda *agenda, TimestampTz now);
extern bool settle_skipped(Agenda *agenda, TimestampTz now);

#endif							/* BATCHAGG_SETTLE_H */
