/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  What time it is, for slots.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_CLOCK_H
#define BATCHAGG_CLOCK_H

#include "datatype/timestamp.h"

extern TimestampTz (*clock_now) (void);

#endif							/* BATCHAGG_CLOCK_H */
