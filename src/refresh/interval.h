/*-------------------------------------------------------------------------
 *
 * interval.h
 *	  Times that are an interval away, as far as there is time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_INTERVAL_H
#define BATCHAGG_INTERVAL_H

#include "datatype/timestamp.h"

extern Timestamp time_plus(Timestamp t, const Interval *interval);
extern Timestamp time_minus(Timestamp t, const Interval *interval);

#endif							/* BATCHAGG_INTERVAL_H */
