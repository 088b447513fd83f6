/*-------------------------------------------------------------------------
 *
 * sourcehint.h
 *	  What to do where a source does not have what a job needs, for hints.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SOURCEHINT_H
#define BATCHAGG_SOURCEHINT_H

#include "access/attnum.h"
#include "utils/relcache.h"

extern char *hint_column_near(Relation rel, const char *name);
extern char *hint_row_layout(Relation rel);
extern char *hint_no_time(Relation rel);
extern char *hint_id_candidate(Relation rel, const char *focal_entity);
extern char *hint_conversion(Relation rel, AttrNumber column, bool to_time);

#endif							/* BATCHAGG_SOURCEHINT_H */
