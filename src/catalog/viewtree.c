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
	bool		(*is_it) (Oid relid);	/* NULL: no relation is looked for */
	bool		(*is_called) (Oid function);	/* NULL: no function is */
	List	   *seen;			/* oids of views */
	Oid			found;
} ViewTree;

/* Is a table's partition or child, however far below it, what is looked for? */
static bool
is_in_child(ViewTree *tree, Oid relid)
{
	ListCell   *lc;

	if (!tree->is_it || !has_subclass(relid))
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

/* Is a function that is called what is looked for? */
static bool
is_call(Oid function, void *arg)
{
	ViewTree   *tree = arg;

	if (!tree->is_called(function))
		return false;
	tree->found = function;
	return true;
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
	if (tree->is_called && check_functions_in_node(node, is_call, tree))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, tree_walker, tree, QTW_EXAMINE_RTES_BEFORE);
	if (!IsA(node, RangeTblEntry))
		return expression_tree_walker(node, tree_walker, tree);
	relid = ((RangeTblEntry *) node)->relid;
	if (((RangeTblEntry *) node)->rtekind != RTE_RELATION || list_member_oid(tree->seen, relid))
		return false;
	if (tree->is_it && tree->is_it(relid))
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

/* Looks for something in `relid` and all that it reads as a view. */
static Oid
find(ViewTree *tree, Oid relid)
{
	RangeTblEntry entry = {
		.type = T_RangeTblEntry,.rtekind = RTE_RELATION,.relid = relid,.inh = true
	};

	(void) tree_walker((Node *) &entry, tree);
	return tree->found;
}

/*
 * The first relation for which is_it() is true, of `relid` and all that it reads as a
 * view; InvalidOid where it is true for none.
 */
Oid
view_tree_find(Oid relid, bool (*is_it) (Oid relid))
{
	ViewTree	tree = {.is_it = is_it};

	return find(&tree, relid);
}

/*
 * Likewise the first function that the views call, behind operators, casts and
 * aggregates too.
 */
Oid
view_tree_find_call(Oid relid, bool (*is_called) (Oid function))
{
	ViewTree	tree = {.is_called = is_called};

	return find(&tree, relid);
}
