/*-------------------------------------------------------------------------
 *
 * turns.h
 *	  Whose turn it is, among jobs that are ready.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_TURNS_H
#define BATCHAGG_TURNS_H

#include "slots/agenda.h"

extern void turns_load(Agenda *agenda);
extern void turns_count(void);
extern AgendaJob *turns_next(const Agenda *agenda, TimestampTz now);
extern void turns_take(const AgendaJob *job);
extern bool turns_may_look(const AgendaJob *job);
extern void turns_hold_back(const AgendaJob *job);
extern bool turns_is_held_back(const AgendaJob *job);

#endif							/* BATCHAGG_TURNS_H */
