/*-------------------------------------------------------------------------
 *
 * names.h
 *	  Names that users write for relations and columns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_NAMES_H
#define BATCHAGG_NAMES_H

#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

extern char *name_fold(const char *name);
extern RangeVar *name_parse(const char *written);
extern Oid	name_lookup(const char *written, char **qualified);
extern const char *name_nearest(const char *name, const List *known);

#endif							/* BATCHAGG_NAMES_H */
