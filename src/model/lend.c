/*-------------------------------------------------------------------------
 *
 * lend.c
 *	  Views over our tables and views lend their owner's rights.
 *
 * In PostgreSQL, whoever may read a view reads what the view's owner may.  Two things
 * would keep our tables from that.  Their policies ask for current_user, who is the
 * reader of the view.  And our own views are security_invoker: PostgreSQL reads them as
 * the current user, even within another view.
 *
 * So a hook changes each query before it is planned:
 *
 * - One of our views within another view is expanded anew, with the rights of that
 *	 view's owner, row-level security included.
 * - Where one of our tables is read or written with the rights of a view's owner,
 *	 current_user in the table's policies becomes that owner.  The conditions of the
 *	 view itself are left alone.
 * - The planner replaces some calls of SQL functions by the function's query.  That is
 *	 done first, so that views in the function are changed too.
 *
 * Whatever is read without a view in between stays as it is.
 *
 * The hook is there once the library is loaded, which has to be before the first query
 * on our tables is planned, on servers that do not preload it too.  So the tables whose
 * policies ask for current_user have an access method of ours, heap by another name:
 * PostgreSQL calls its handler, which is in the library, when it opens such a table to
 * add the policies to a query.
 *
 * One query escapes that: if the library is not preloaded, and a session meets our
 * tables for the first time within a function that the planner replaces, views in it
 * are read with the rights of the function's caller, that once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteDefine.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rowsecurity.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "model/ext.h"
#include "model/lend.h"

static planner_hook_type previous_hook = NULL;

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
expand_for(Relation view, Oid lender)
{
	Query	   *query = copyObject(get_view_query(view));

	AcquireRewriteLocks(query, true, false);
	setRuleCheckAsUser((Node *) query, lender);
	query = linitial_node(Query, QueryRewrite(query));
	(void) lend_call_walker((Node *) query, &lender);
	return query;
}

/*
 * Expands a subquery anew, where it is one of our views in a view of somebody.
 * Views with rows to be locked are left to PostgreSQL, which refuses those of ours.
 */
static void
lend_to_view(Query *query, RangeTblEntry *rte)
{
	RangeTblEntry *entry = view_entry(rte);
	Oid			lender = entry ? check_as_user(query, entry) : InvalidOid;
	Relation	view;

	if (!OidIsValid(lender) || rte->subquery->rowMarks != NIL)
		return;
	view = table_open(entry->relid, AccessShareLock);
	if (RelationHasSecurityInvoker(view) && ext_owns(entry->relid))
	{
		rte->subquery = expand_for(view, lender);
		query->hasRowSecurity |= rte->subquery->hasRowSecurity;
#if PG_VERSION_NUM < 160000
		/* The right to read the view itself is still to be checked. */
		linitial(rte->subquery->rtable) = entry;
#endif
	}
	table_close(view, NoLock);
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

/*
 * The number of conditions on a table's rows that are its policies'.  Behind them are
 * those of security_barrier views that the table is written through.
 */
static int
count_policies(Query *query, RangeTblEntry *rte, int index)
{
	List	   *conditions;
	List	   *checks;
	bool		has_policies;
	bool		has_sublinks;

	if (index != query->resultRelation)
		return list_length(rte->securityQuals);
	get_row_security_policies(query, rte, index, &conditions, &checks, &has_policies, &has_sublinks);
	return list_length(conditions);
}

/*
 * Is it a table of another access method than PostgreSQL's?  Only then its policies ask
 * for current_user, if it is ours, which takes longer to find out.
 */
static bool
is_other_heap(RangeTblEntry *rte)
{
	Relation	table;
	bool		is_other;

	if (rte->relkind != RELKIND_RELATION)
		return false;
	table = table_open(rte->relid, NoLock);
	is_other = table->rd_rel->relam != HEAP_TABLE_AM_OID;
	table_close(table, NoLock);
	return is_other;
}

/* Has the policies of one of our tables ask for the owner of the view that it is in. */
static void
lend_to_table(Query *query, RangeTblEntry *rte, int index)
{
	Oid			lender = check_as_user(query, rte);
	int			npolicies;
	ListCell   *lc;

	if (!OidIsValid(lender) || !query->hasRowSecurity || !is_other_heap(rte) || !ext_owns(rte->relid))
		return;
	npolicies = count_policies(query, rte, index);
	for (int i = 0; i < npolicies; i++)
		(void) lend_condition_walker(list_nth(rte->securityQuals, i), &lender);
	if (index != query->resultRelation)
		return;
	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *check = lfirst_node(WithCheckOption, lc);

		if (check->kind != WCO_VIEW_CHECK)
			(void) lend_condition_walker(check->qual, &lender);
	}
}

/*
 * Puts the query of a function in SQL in place of its call, where the planner would.
 * What the plan depends on by that is noted in `root`, as the planner notes it.
 */
static void
inline_function(RangeTblEntry *rte, PlannerInfo *root)
{
	FuncExpr   *call = (FuncExpr *) linitial_node(RangeTblFunction, rte->functions)->funcexpr;
	HeapTuple	function;
	bool		is_sql;

	if (!IsA(call, FuncExpr))
		return;
	function = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
	if (!HeapTupleIsValid(function))
		elog(ERROR, "cache lookup failed for function %u", call->funcid);
	is_sql = ((Form_pg_proc) GETSTRUCT(function))->prolang == SQLlanguageId;
	if (is_sql)
		call->args = expand_function_arguments(call->args, false, call->funcresulttype, function);
	ReleaseSysCache(function);
	rte->subquery = is_sql ? inline_set_returning_function(root, rte) : NULL;
	if (rte->subquery == NULL)
		return;
	rte->rtekind = RTE_SUBQUERY;
	rte->security_barrier = false;
	rte->funcordinality = false;
}

/* Does that to all relations of a query, and to those of the queries in it. */
static void
lend_to_query(Query *query, PlannerInfo *root)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_FUNCTION && rte->functions != NIL)
			inline_function(rte, root);
		else if (rte->rtekind == RTE_SUBQUERY)
			lend_to_view(query, rte);
		else if (rte->rtekind == RTE_RELATION)
			lend_to_table(query, rte, foreach_current_index(lc) + 1);
	}

	/* Expressions are looked at only if there are queries in them. */
	if (query->hasSubLinks)
	{
		(void) query_tree_walker(query, lend_walker, root, 0);
		return;
	}
	foreach(lc, query->rtable)
		(void) lend_walker((Node *) lfirst_node(RangeTblEntry, lc)->subquery, root);
	foreach(lc, query->cteList)
		(void) lend_walker(lfirst_node(CommonTableExpr, lc)->ctequery, root);
}

static bool
lend_walker(Node *node, void *root)
{
	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, lend_walker, root);
	lend_to_query((Query *) node, root);
	return false;
}

/* The hook; the planner's own work follows it. */
static PlannedStmt *
plan(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	PlannerGlobal *glob = makeNode(PlannerGlobal);
	PlannerInfo *root = makeNode(PlannerInfo);
	PlannedStmt *statement;

	root->glob = glob;
	lend_to_query(parse, root);
	statement = (previous_hook ? previous_hook : standard_planner)
		(parse, query_string, cursor_options, params);
	statement->invalItems = list_concat(statement->invalItems, glob->invalItems);
	statement->dependsOnRole |= glob->dependsOnRole;
	return statement;
}

/*
 * Puts the hook in place.  For _PG_init().
 */
void
lend_install(void)
{
	previous_hook = planner_hook;
	planner_hook = plan;
	ResetPlanCache();			/* plans of this session that were made without */
}
