/*-------------------------------------------------------------------------
 *
 * wanted.h
 *	  Which of the rows that a scan meets its rollups want.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_WANTED_H
#define BATCHAGG_WANTED_H

#include "plan/rollup.h"

typedef struct Wanted Wanted;

extern Wanted *wanted_create(const Rollup *rollup);
extern bool wanted_row(Wanted *wanted, TimestampTz bucket, Datum id);

#endif							/* BATCHAGG_WANTED_H */
