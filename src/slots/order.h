/*-------------------------------------------------------------------------
 *
 * order.h
 *	  Jobs that read results run after those that write them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ORDER_H
#define BATCHAGG_ORDER_H

#include "slots/agenda.h"

/* Jobs in the order in which they are to run; see order.c. */
typedef struct JobOrder JobOrder;

extern JobOrder *order_load(const int32 *ids, const Oid *owners, int n);
extern void order_agenda(Agenda *agenda);
extern void order_sort(const JobOrder *order, int32 *ids, int n);
extern bool order_has_rank(const JobOrder *order, const AgendaJob *job);
extern const AgendaJob *order_blocker(const JobOrder *order, const Agenda *agenda,
									  const AgendaJob *job, bool *trusted);

#endif							/* BATCHAGG_ORDER_H */
