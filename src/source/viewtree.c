/*-------------------------------------------------------------------------
 *
 * viewtree.c
 *	  What a view reads, through views.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "source/viewtree.h"

typedef struct ViewTree
{
	bool		(*is_it) (Oid relid);
	List	   *seen;			/* oids of views */
	Oid			found;
} ViewTree;

static bool
tree_walker(Node *node, void *arg)
{
	ViewTree   *tree = arg;
	Oid			relid;
	Relation	view;
	bool		found;

	if (node == NULL)
		return false;
	check_stack_depth();
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, tree_walker, tree, QTW_EXAMINE_RTES_BEFORE);
	if (!IsA(node, RangeTblEntry))
		return expression_tree_walker(node, tree_walker, tree);
	relid = ((RangeTblEntry *) node)->relid;
	if (((RangeTblEntry *) node)->rtekind != RTE_RELATION || list_member_oid(tree->seen, relid))
		return false;
	if (tree->is_it(relid))
	{
		tree->found = relid;
		return true;
	}
	if (get_rel_relkind(relid) != RELKIND_VIEW)
		return false;
	tree->seen = lappend_oid(tree->seen, relid);
	view = table_open(relid, AccessShareLock);
	found = tree_walker((Node *) get_view_query(view), tree);
	table_close(view, AccessShareLock);
	return found;
}

/*
 * The first relation for which is_it() is true, of `relid` and all that it reads as a
 * view; InvalidOid where it is true for none.
 */
Oid
view_tree_find(Oid relid, bool (*is_it) (Oid relid))
{
	ViewTree	tree = {.is_it = is_it};
	RangeTblEntry entry = {.type = T_RangeTblEntry,.rtekind = RTE_RELATION,.relid = relid};

	(void) tree_walker((Node *) &entry, &tree);
	return tree.found;
}
