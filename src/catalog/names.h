/*-------------------------------------------------------------------------
 *
 * names.h
 *	  Names that users write for relations and columns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_NAMES_H
#define BATCHAGG_NAMES_H

#include "nodes/primnodes.h"

/* What name_fold() makes of an expression, in SQL. */
#define NAME_FOLDED_SQL(name) "replace(lower(" name "), '.', '_')"

extern char *name_fold(const char *name);
extern bool name_among(const char *name, const List *names);
extern RangeVar *name_parse(const char *written);
extern const char *name_quoted(const char *name);
extern char *name_qualified(const char *schema, const char *name);
extern char *name_to_be(const char *written);
extern Oid	name_lookup(const char *written, char **qualified);
extern bool name_exists(const char *written);

#endif							/* BATCHAGG_NAMES_H */
