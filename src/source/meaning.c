/*-------------------------------------------------------------------------
 *
 * meaning.c
 *	  What a source's columns and a filter mean, beyond their texts.
 *
 * A filter is a text, but what it says depends on much else: which column has the
 * name today, which type, how the labels of an enum are called, what a function
 * does that it calls, and so on with what that calls.  All of it can be changed
 * without a row being written.  So a definition's fingerprint has a digest of all
 * that is met on a walk which begins at the analysed filter, the columns that are
 * read, and the relation:
 *
 *	- analysed trees have columns by number, types, collations and functions by oid;
 *	- functions, by the contents of their rows of pg_proc, and what they call: of a
 *	  function written as SQL that PostgreSQL has analysed, the trees say; of the
 *	  text of any other one, each word and operator in it that is the name of
 *	  something is taken for that, and so is what a text calls without a name: casts,
 *	  and the operators that IN, LIKE and the like stand for.  That may be too much,
 *	  and then something is recomputed for nothing; names that a function puts
 *	  together are not found;
 *	- types: labels of enums, what domains, arrays, ranges and rows are made of, and
 *	  how their values are compared;
 *	- collations, by the version of the library's rules;
 *	- time zones that are named in an expression or a function's text, by their
 *	  rules, and what abbreviations of zones stand for; text search configurations,
 *	  by their dictionaries;
 *	- the job's owner, where something asks for the current user;
 *	- views, by their trees; policies; columns that are computed when they are read;
 *	  foreign tables, by their options.
 *
 * What belongs to PostgreSQL itself is walked over, as only an upgrade changes it.
 *
 * The walk is in several files: trees and relations are here, functions, the words of
 * their texts, and types in walkfunctions.c, walkwords.c and walktypes.c.
 *
 * The same walk comes by all functions whose results depend on the session (who has
 * connected, from where, with which settings).  Results must not depend on who runs
 * a job, so filters may not call these, and of views and policies people are told.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "source/meaning.h"
#include "source/walk.h"

/* Begins a walk. */
static void
walk_init(Walk *walk, StringInfo text)
{
	HASHCTL		control = {
		.keysize = sizeof(Met),.entrysize = sizeof(Met),.hcxt = CurrentMemoryContext
	};

	memset(walk, 0, sizeof(Walk));
	walk->text = text;
	walk->reader = GetUserId();
	walk->met = hash_create("batchagg walk", 64, &control,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Is this object met for the first time? */
bool
walk_meet(Walk *walk, Oid catalog, Oid object)
{
	Met			key = {catalog, object, catalog == RelationRelationId ? walk->reader : InvalidOid};
	bool		found;

	(void) hash_search(walk->met, &key, HASH_ENTER, &found);
	return !found;
}

void
walk_append_hash(Walk *walk, const void *bytes, Size length)
{
	appendStringInfo(walk->text, " " UINT64_FORMAT,
					 hash_bytes_extended(bytes, (int) length, 0));
}

/* Appends a digest of the contents of a catalogue's row. */
void
walk_append_tuple(Walk *walk, HeapTuple tuple)
{
	walk_append_hash(walk, tuple->t_data->t_bits, tuple->t_len - offsetof(HeapTupleHeaderData, t_bits));
}

/* The same of an object's row; there may be none. */
void
walk_append_row(Walk *walk, int cache, Oid object)
{
	HeapTuple	tuple = SearchSysCache1(cache, ObjectIdGetDatum(object));

	if (!HeapTupleIsValid(tuple))
		return;
	walk_append_tuple(walk, tuple);
	ReleaseSysCache(tuple);
}

/* Appends a tree, and walks through it. */
void
walk_append_tree(Walk *walk, Node *tree)
{
	char	   *text = nodeToString(tree);

	walk_append_hash(walk, text, strlen(text));
	(void) walk_node(tree, walk);
}

/* What a constant refers to. */
static void
walk_constant(Walk *walk, const Const *constant)
{
	if (constant->constisnull)
		return;
	switch (constant->consttype)
	{
		case REGCONFIGOID:
			walk_configuration(walk, DatumGetObjectId(constant->constvalue));
			break;
		case REGDICTIONARYOID:
			walk_dictionary(walk, DatumGetObjectId(constant->constvalue));
			break;
		case REGPROCOID:
		case REGPROCEDUREOID:
			walk_function(walk, DatumGetObjectId(constant->constvalue));
			break;
		default:
			break;
	}
}

/*
 * The time zone that a call takes as a text: NULL where it takes none.  PostgreSQL has
 * these calls as immutable, although an update of the zone's rules changes them.
 */
static const Node *
zone_argument(const Node *node)
{
	const FuncExpr *call = (const FuncExpr *) node;

	if (!IsA(node, FuncExpr))
		return NULL;
	switch (call->funcid)
	{
		case F_TIMEZONE_TEXT_TIMESTAMPTZ:
		case F_TIMEZONE_TEXT_TIMESTAMP:
		case F_TIMEZONE_TEXT_TIMETZ:
			return linitial(call->args);
		default:
			return NULL;
	}
}

/* What a view, or the policies of a table, are called in messages. */
static const char *
relation_text(Relation rel)
{
	return psprintf("%s %s", rel->rd_rel->relkind == RELKIND_VIEW ? "view" : "a policy of table",
					quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											   RelationGetRelationName(rel)));
}

/* Walks through the query of a view, which is read as its owner unless it says otherwise. */
static void
walk_view(Walk *walk, Relation rel)
{
	Oid			outer_reader = walk->reader;
	Oid			outer_view = walk->view;

	if (!RelationHasSecurityInvoker(rel))
		walk->reader = rel->rd_rel->relowner;
	walk->view = RelationGetRelid(rel);
	for (int i = 0; rel->rd_rules != NULL && i < rel->rd_rules->numLocks; i++)
		if (rel->rd_rules->rules[i]->event == CMD_SELECT)
			walk_append_tree(walk, (Node *) copyObject(rel->rd_rules->rules[i]->actions));
	walk->reader = outer_reader;
	walk->view = outer_view;
}

/* Does a policy that is for these roles apply to a reader? */
static bool
policy_applies(ArrayType *roles, Oid reader)
{
	const Oid  *role = (const Oid *) ARR_DATA_PTR(roles);

	for (int i = 0; i < ARR_DIMS(roles)[0]; i++)
		if (role[i] == ACL_ID_PUBLIC || has_privs_of_role(reader, role[i]))
			return true;
	return false;
}

/* Walks through the policies by which rows are hidden from the reader. */
static void
walk_policies(Walk *walk, Relation rel)
{
	ListCell   *lc;

	if (check_enable_rls(RelationGetRelid(rel), walk->reader, true) != RLS_ENABLED)
		return;
	appendStringInfoString(walk->text, " policies");
	foreach(lc, rel->rd_rsdesc->policies)
	{
		const RowSecurityPolicy *policy = lfirst(lc);

		if (policy->qual == NULL || !policy_applies(policy->roles, walk->reader))
			continue;
		appendStringInfo(walk->text, " %c %d", policy->polcmd, policy->permissive);
		walk_append_tree(walk, (Node *) copyObject(policy->qual));
	}
}

/* Walks through the columns of a table that are computed when it is read. */
static void
walk_virtual_columns(Walk *walk, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; desc->constr != NULL && i < desc->constr->num_defval; i++)
	{
		const AttrDefault *value = &desc->constr->defval[i];
		Form_pg_attribute attribute = TupleDescAttr(desc, value->adnum - 1);

		/* What is stored ('s') stays what it is, whatever becomes of the expression. */
		if (attribute->attgenerated == '\0' || attribute->attgenerated == 's')
			continue;
		appendStringInfo(walk->text, " %d", value->adnum);
		walk_append_tree(walk, stringToNode(value->adbin));
	}
}

static void
append_foreign_table(Walk *walk, Relation rel)
{
	HeapTuple	tuple = SearchSysCache1(FOREIGNTABLEREL, ObjectIdGetDatum(RelationGetRelid(rel)));

	if (!HeapTupleIsValid(tuple))
		return;
	walk_append_tuple(walk, tuple);
	walk_append_row(walk, FOREIGNSERVEROID, ((Form_pg_foreign_table) GETSTRUCT(tuple))->ftserver);
	ReleaseSysCache(tuple);
}

/* Walks through what decides which rows an open relation has. */
static void
walk_open_relation(Walk *walk, Relation rel)
{
	const char *outer = walk->where;

	if (!walk_meet(walk, RelationRelationId, RelationGetRelid(rel)))
		return;
	check_stack_depth();
	walk->where = relation_text(rel);
	if (rel->rd_rel->relkind == RELKIND_VIEW)
		walk_view(walk, rel);
	else if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		append_foreign_table(walk, rel);
	if (rel->rd_rel->relrowsecurity)
		walk_policies(walk, rel);
	walk_virtual_columns(walk, rel);
	walk->where = outer;
}

static void
walk_relation(Walk *walk, Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);

	walk_open_relation(walk, rel);
	relation_close(rel, NoLock);
}

static bool
walk_function_of_node(Oid function, void *context)
{
	walk_function(context, function);
	return false;
}

/* The type of an expression; of other nodes none. */
static Oid
node_type(const Node *node)
{
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_FuncExpr:
		case T_OpExpr:
		case T_FieldSelect:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_ConvertRowtypeExpr:
		case T_CoerceToDomain:
		case T_ArrayExpr:
		case T_RowExpr:
			return exprType(node);
		default:
			return InvalidOid;
	}
}

bool
walk_node(Node *node, void *context)
{
	Walk	   *walk = context;
	const Node *zone;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, walk_node, context, QTW_EXAMINE_RTES_BEFORE);
	if (IsA(node, RangeTblEntry))
	{
		const RangeTblEntry *entry = (const RangeTblEntry *) node;

		/* A view's query has the view itself, as what rules may change. */
		if (entry->rtekind == RTE_RELATION && entry->relid != walk->view)
			walk_relation(walk, entry->relid);
		return false;
	}
	if (IsA(node, Const))
		walk_constant(walk, (const Const *) node);
	if (IsA(node, SQLValueFunction))
		walk_value_function(walk, (const SQLValueFunction *) node);
	if (IsA(node, FuncExpr) && (((FuncExpr *) node)->funcid == F_CURRENT_SETTING_TEXT ||
								((FuncExpr *) node)->funcid == F_CURRENT_SETTING_TEXT_BOOL))
		walk_setting_call(walk, (const FuncExpr *) node);
	zone = zone_argument(node);
	if (zone != NULL && IsA(zone, Const) && !((const Const *) zone)->constisnull)
		walk_zone(walk, TextDatumGetCString(((const Const *) zone)->constvalue));
	walk_type(walk, node_type(node));
	walk_collation(walk, exprInputCollation(node));
	(void) check_functions_in_node(node, walk_function_of_node, context);
	return expression_tree_walker(node, walk_node, context);
}

/* Appends what a column of an open relation means, as the number of none. */
static void
append_column(Walk *walk, Relation rel, AttrNumber column)
{
	Form_pg_attribute attribute;

	appendStringInfo(walk->text, "\n%d", column);
	if (column == InvalidAttrNumber)
		return;
	attribute = TupleDescAttr(RelationGetDescr(rel), column - 1);
	appendStringInfo(walk->text, " %s %u %d %u", NameStr(attribute->attname),
					 attribute->atttypid, attribute->atttypmod, attribute->attcollation);
	walk_type(walk, attribute->atttypid);
}

/*
 * Appends to `text` what the results from an open source depend on besides its rows, and
 * besides what the definition's own row says: its columns (a list of their numbers, 0
 * for none), what decides which rows there are, and a filter analysed over it (or
 * NULL).  As the owner of the job, and where there is a filter, under the settings by
 * which it is understood.
 */
void
meaning_append(StringInfo text, Relation rel, const List *columns, Node *filter)
{
	Walk		walk;
	ListCell   *lc;

	walk_init(&walk, text);
	walk.thorough = true;
	foreach(lc, columns)
		append_column(&walk, rel, lfirst_int(lc));
	walk_open_relation(&walk, rel);
	if (filter != NULL)
	{
		appendStringInfoChar(text, '\n');
		walk_append_tree(&walk, filter);
	}
	hash_destroy(walk.met);
}

/*
 * Appends what a filter depends on besides rows, analysed over its source.  As the owner
 * of the job, under the settings by which it is understood.
 */
void
meaning_append_filter(StringInfo text, Node *filter)
{
	Walk		walk;

	walk_init(&walk, text);
	walk.thorough = true;
	walk_append_tree(&walk, filter);
	hash_destroy(walk.met);
}

static bool
zone_varies(Node *node, void *context)
{
	const Node *zone;

	if (node == NULL)
		return false;
	zone = zone_argument(node);
	return (zone != NULL && !IsA(zone, Const)) || expression_tree_walker(node, zone_varies, context);
}

/*
 * Does an analysed filter depend on nothing but the row and what meaning_append()
 * knows?
 */
bool
meaning_is_settled(Node *filter)
{
	return !contain_mutable_functions(filter) && !zone_varies(filter, NULL);
}

/*
 * The functions that an open view or table calls when the current user reads it, and
 * whose results depend on the session: a list of SessionCall.
 */
List *
meaning_session_calls(Relation rel)
{
	StringInfoData ignored;
	Walk		walk;

	if (rel->rd_rel->relkind != RELKIND_VIEW && !rel->rd_rel->relrowsecurity)
		return NIL;
	initStringInfo(&ignored);
	walk_init(&walk, &ignored);
	walk_open_relation(&walk, rel);
	hash_destroy(walk.met);
	return walk.calls;
}

/* The same of an analysed filter, for what the functions that it calls do. */
List *
meaning_filter_session_calls(Node *filter)
{
	StringInfoData ignored;
	Walk		walk;

	initStringInfo(&ignored);
	walk_init(&walk, &ignored);
	walk.where = "the filter";
	(void) walk_node(filter, &walk);
	hash_destroy(walk.met);
	return walk.calls;
}
