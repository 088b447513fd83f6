/*-------------------------------------------------------------------------
 *
 * bulk.h
 *	  The values of a group that are too many for the memory, sorted in a file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_BULK_H
#define BATCHAGG_BULK_H

#include "stats/quantile.h"

typedef struct Bulk Bulk;

extern Bulk *bulk_create(Size memory);
extern void bulk_add(Bulk *bulk, const void *values, bool wide, uint32 n);
extern const SortedValues *bulk_sort(Bulk *bulk);
extern void bulk_clear(Bulk *bulk);
extern void bulk_free(Bulk *bulk);

#endif							/* BATCHAGG_BULK_H */
