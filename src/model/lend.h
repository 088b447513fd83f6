/*-------------------------------------------------------------------------
 *
 * lend.h
 *	  Views over our tables and views lend their owner's rights.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_LEND_H
#define BATCHAGG_LEND_H

extern void lend_install(void);

#endif							/* BATCHAGG_LEND_H */
