/*-------------------------------------------------------------------------
 *
 * retry.h
 *	  Which errors pass by themselves, and how long to wait for that.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_RETRY_H
#define BATCHAGG_RETRY_H

#include "datatype/timestamp.h"

extern bool error_is_transient(int sqlerrcode);
extern int	retry_delay_of_job(int delay);
extern int64 retry_wait(int delay, int attempt);

#endif							/* BATCHAGG_RETRY_H */
