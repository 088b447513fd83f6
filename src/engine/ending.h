/*-------------------------------------------------------------------------
 *
 * ending.h
 *	  Code in a source does not end the session that runs the job.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ENDING_H
#define BATCHAGG_ENDING_H

extern void ending_install(void);

#endif							/* BATCHAGG_ENDING_H */
