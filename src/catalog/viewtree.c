/*-------------------------------------------------------------------------
 *
 * viewtree.c
 *	  What a view reads, through views, and what a table's rows are in: its partitions
 *	  and children.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog/viewtree.h"

typedef struct ViewTree
{
	bool		(*is_it) (Oid relid);
	List	   *seen;			/* oids of views */
	Oid			found;
} ViewTree;

/* Is a table's partition or child, however far below it, what is looked for? */
static bool
is_in_child(ViewTree *tree, Oid relid)
{
	ListCell   *lc;

	if (!has_subclass(relid))
		return false;
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		if (tree->is_it(lfirst_oid(lc)))
		{
			tree->found = lfirst_oid(lc);
			return true;
		}
	}
	return false;
}

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
		return ((RangeTblEntry *) node)->inh && is_in_child(tree, relid);
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
	RangeTblEntry entry = {.type = T_RangeTblEntry,.rtekind = RTE_RELATION,.relid = relid,.inh = true};

	(void) tree_walker((Node *) &entry, &tree);
	return tree.found;
}
