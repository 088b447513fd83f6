/*-------------------------------------------------------------------------
 *
 * dispatch.h
 *	  Gives jobs that are due to workers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_DISPATCH_H
#define BATCHAGG_DISPATCH_H

#include "slots/agenda.h"

extern void dispatch(Agenda *agenda, TimestampTz now, bool *more, bool *reload);

#endif							/* BATCHAGG_DISPATCH_H */
