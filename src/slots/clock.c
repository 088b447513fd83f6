/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  What time it is, for slots.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "slots/clock.h"

/* Tests have a clock of their own, which the service knows (service/shared.c). */
TimestampTz (*clock_now) (void) = GetCurrentTimestamp;
