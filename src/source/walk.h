/*-------------------------------------------------------------------------
 *
 * walk.h
 *	  The walk through what a source's columns and a filter mean.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_WALK_H
#define BATCHAGG_WALK_H

#include "access/htup.h"
#include "lib/stringinfo.h"
#include "nodes/primnodes.h"
#include "utils/hsearch.h"

/* What has been met, so that nothing is walked twice. */
typedef struct Met
{
	Oid			catalog;
	Oid			object;
	Oid			reader;			/* of a relation */
} Met;

/* A walk. */
typedef struct Walk
{
	StringInfo	text;			/* what there is of meaning so far */
	HTAB	   *met;
	List	   *calls;			/* of SessionCall */
	Oid			reader;			/* as whom relations are read */
	Oid			view;			/* whose query is walked through */
	const char *where;			/* what is walked through, for people */
	bool		guessing;		/* through the words of a function's text */
	bool		thorough;		/* what texts call without a name is walked through, too */
} Walk;

extern bool walk_meet(Walk *walk, Oid catalog, Oid object);
extern bool walk_node(Node *node, void *context);
extern void walk_append_hash(Walk *walk, const void *bytes, Size length);
extern void walk_append_row(Walk *walk, int cache, Oid object);
extern void walk_append_tree(Walk *walk, Node *tree);
extern void walk_append_tuple(Walk *walk, HeapTuple tuple);
extern void walk_collation(Walk *walk, Oid collation);
extern void walk_configuration(Walk *walk, Oid configuration);
extern void walk_dictionary(Walk *walk, Oid dictionary);
extern void walk_function(Walk *walk, Oid function);
extern void walk_owner(Walk *walk);
extern void walk_setting_call(Walk *walk, const FuncExpr *call);
extern void walk_type(Walk *walk, Oid type);
extern void walk_value_function(Walk *walk, const SQLValueFunction *function);
extern void walk_words(Walk *walk, const char *text);
extern void walk_zone(Walk *walk, const char *name);

#endif							/* BATCHAGG_WALK_H */
