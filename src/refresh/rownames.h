/*-------------------------------------------------------------------------
 *
 * rownames.h
 *	  Row layout: by which name the rows of a source have each metric.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ROWNAMES_H
#define BATCHAGG_ROWNAMES_H

#include "refresh/refresh.h"

/* What a run knows of the names in its sources. */
typedef struct RowNames RowNames;

extern RowNames *row_names_create(const List *sources, bool repeats, bool tells);
extern bool row_names_choose(RowNames *run, Refresh *refresh);

#endif							/* BATCHAGG_ROWNAMES_H */
