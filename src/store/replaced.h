/*-------------------------------------------------------------------------
 *
 * replaced.h
 *	  Results of a definition that means something else now.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_REPLACED_H
#define BATCHAGG_REPLACED_H

#include "plan/rollup.h"

extern void replaced_forget(const Rollup *rollup, const char *before);

#endif							/* BATCHAGG_REPLACED_H */
