/*-------------------------------------------------------------------------
 *
 * viewtree.h
 *	  What a view reads, through views.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_VIEWTREE_H
#define BATCHAGG_VIEWTREE_H

extern Oid	view_tree_find(Oid relid, bool (*is_it) (Oid relid));
extern Oid	view_tree_find_call(Oid relid, bool (*is_called) (Oid function));

#endif							/* BATCHAGG_VIEWTREE_H */
