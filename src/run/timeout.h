/*-------------------------------------------------------------------------
 *
 * timeout.h
 *	  How long a run may take.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_RUN_TIMEOUT_H
#define BATCHAGG_RUN_TIMEOUT_H

extern void timeout_begin(void);
extern void timeout_start(int seconds);
extern bool timeout_end(void);

#endif							/* BATCHAGG_RUN_TIMEOUT_H */
