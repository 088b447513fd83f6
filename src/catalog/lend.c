/*-------------------------------------------------------------------------
 *
 * lend.c
 *	  Views over our tables and views lend their owner's rights.
 *
 * Who may read a view reads what the view's owner may: so PostgreSQL has it.  Two
 * things would keep our tables from it.  Their policies ask for current_user, who
 * is whoever reads the view.  And our own views run with the rights of who reads
 * them (security_invoker); PostgreSQL takes that to be the session's user, even
 * where another view stands between.
 *
 * So each query is looked at before it is planned:
 *
 * - One of our views in another view is expanded anew, for that view's owner: as if
 *	 its query stood there.  Then row-level security is the owner's, and there is
 *	 none where it does not bind the owner.
 * - In the policies of our tables that are read, or written, for the owner of a
 *	 view, current_user becomes that owner.
 *
 * What is read directly is left alone.  A query that has no views is looked at by
 * its range table only.
 *
 * For this the library must be loaded before the query is planned, also in a session
 * that has not called one of our functions, on a server that does not preload it.
 * The tables whose policies ask for current_user have a table access method of ours,
 * which is heap by another name: PostgreSQL calls its handler, and loads the
 * library, when it opens such a table for the first time, which is before it plans.
 *
 * A function in SQL that the planner puts in place of its call is not looked at:
 * our views in another view are then read with the rights of who calls it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteDefine.h"
#include "rewrite/rewriteHandler.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog/lend.h"
#include "catalog/store.h"

static planner_hook_type previous_hook = NULL;

/* Our views that run with the rights of who reads them. */
static const char *const invoker_views[] = {
	"ruleexecutionresults", "batchagg_jobs", "batchagg_slots", "batchagg_stats"
};

static bool lend_walker(Node *node, void *context);

/* The role that a relation of a query is read as; InvalidOid: the current user. */
static Oid
check_as_user(Query *query, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	return rte->perminfoindex == 0 ? InvalidOid :
		getRTEPermissionInfo(query->rteperminfos, rte)->checkAsUser;
#else
	return rte->checkAsUser;
#endif
}

/*
 * The entry of a view that has become a subquery: what is left of the relation, as
 * far as rights are concerned.  NULL where it was no view.
 */
static RangeTblEntry *
view_entry(RangeTblEntry *subquery)
{
#if PG_VERSION_NUM >= 160000
	return OidIsValid(subquery->relid) ? subquery : NULL;
#else
	RangeTblEntry *first = subquery->subquery->rtable == NIL ? NULL :
		linitial(subquery->subquery->rtable);

	return first && first->rtekind == RTE_RELATION && first->relkind == RELKIND_VIEW ? first : NULL;
#endif
}

static bool
is_invoker_view(Oid relid)
{
	const char *name = get_rel_name(relid);

	for (int i = 0; name != NULL && i < lengthof(invoker_views); i++)
		if (strcmp(name, invoker_views[i]) == 0)
			return store_owns(relid);
	return false;
}

static Const *
role_constant(Oid role)
{
	return makeConst(OIDOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(role), false, true);
}

/*
 * Has the function in our views that tells of slots look as `lender`: by an argument
 * that it is declared without, so that no other call can have it.
 */
static bool
lend_call_walker(Node *node, void *lender)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, lend_call_walker, lender, 0);
	if (IsA(node, FuncExpr))
	{
		FuncExpr   *call = (FuncExpr *) node;

		if (strcmp(get_func_name(call->funcid), "batchagg_expected_slots") == 0)
			call->args = list_make1(role_constant(*(Oid *) lender));
	}
	return expression_tree_walker(node, lend_call_walker, lender);
}

/* The query of one of our views, rewritten as if `lender` read what it reads. */
static Query *
expand_for(Oid view, Oid lender)
{
	Relation	rel = table_open(view, AccessShareLock);
	Query	   *query = copyObject(get_view_query(rel));

	table_close(rel, NoLock);
	AcquireRewriteLocks(query, true, false);
	setRuleCheckAsUser((Node *) query, lender);
	query = linitial_node(Query, QueryRewrite(query));
	(void) lend_call_walker((Node *) query, &lender);
	return query;
}

/* Expands a subquery anew, where it is one of our views in a view of somebody. */
static void
lend_to_view(Query *query, RangeTblEntry *rte)
{
	RangeTblEntry *view = view_entry(rte);
	Oid			lender = view ? check_as_user(query, view) : InvalidOid;
	Query	   *expanded;

	if (!OidIsValid(lender) || rte->subquery->rowMarks != NIL || !is_invoker_view(view->relid))
		return;
	expanded = expand_for(view->relid, lender);
#if PG_VERSION_NUM < 160000
	/* The right to read the view itself is still to be checked. */
	linitial(expanded->rtable) = view;
#endif
	rte->subquery = expanded;
	query->hasRowSecurity |= expanded->hasRowSecurity;
}

/* In conditions of policies, makes `lender` of current_user. */
static bool
lend_condition_walker(Node *node, void *lender)
{
	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == F_PG_HAS_ROLE_NAME_OID_TEXT)
	{
		FuncExpr   *call = (FuncExpr *) node;
		Node	   *who = linitial(call->args);

		if (IsA(who, SQLValueFunction) && ((SQLValueFunction *) who)->op == SVFOP_CURRENT_USER)
		{
			call->funcid = F_PG_HAS_ROLE_OID_OID_TEXT;
			linitial(call->args) = role_constant(*(Oid *) lender);
		}
	}
	return expression_tree_walker(node, lend_condition_walker, lender);
}

/* Has the policies of one of our tables ask for the owner of the view that it is in. */
static void
lend_to_table(Query *query, RangeTblEntry *rte, bool is_target)
{
	Oid			lender = check_as_user(query, rte);
	ListCell   *lc;

	if (!OidIsValid(lender) || !query->hasRowSecurity || !store_owns(rte->relid))
		return;
	(void) lend_condition_walker((Node *) rte->securityQuals, &lender);
	if (!is_target)
		return;
	foreach(lc, query->withCheckOptions)
		(void) lend_condition_walker(((WithCheckOption *) lfirst(lc))->qual, &lender);
}

/* Does that to all relations of a query, and to those of the queries in it. */
static void
lend_to_query(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_SUBQUERY)
			lend_to_view(query, rte);
		else if (rte->rtekind == RTE_RELATION)
			lend_to_table(query, rte, foreach_current_index(lc) + 1 == query->resultRelation);
	}

	/* Expressions are looked at only if there are queries in them. */
	if (query->hasSubLinks)
	{
		(void) query_tree_walker(query, lend_walker, NULL, 0);
		return;
	}
	foreach(lc, query->rtable)
		(void) lend_walker((Node *) lfirst_node(RangeTblEntry, lc)->subquery, NULL);
	foreach(lc, query->cteList)
		(void) lend_walker(lfirst_node(CommonTableExpr, lc)->ctequery, NULL);
}

static bool
lend_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, lend_walker, context);
	lend_to_query((Query *) node);
	return false;
}

static PlannedStmt *
plan(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	lend_to_query(parse);
	return (previous_hook ? previous_hook : standard_planner)
		(parse, query_string, cursor_options, params);
}

/*
 * Puts the hook in place.  For _PG_init().
 */
void
lend_install(void)
{
	previous_hook = planner_hook;
	planner_hook = plan;
}
