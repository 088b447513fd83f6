/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Who may lock our tables.
 *
 * Every role may delete its own jobs.  To PostgreSQL, who may delete rows of a table
 * may LOCK it as well, and keep all others from it: their jobs, and the service.  So
 * LOCK TABLE on our tables, in modes stronger than those of INSERT, is for those who
 * have the rights of the tables' owner.  A view is locked with all that it reads.
 *
 * Some other commands take such a lock first, and then look whether the user may do
 * what is asked for.  Who is refused in the end has no lock, but while he waits for it,
 * as another session of his keeps him waiting, everybody waits behind him.  So that is
 * looked at here, before the lock: a rule, a trigger, a foreign key to one of our tables, a
 * table of which that would be a partition, or the parent, and what is done with an index.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "catalog/store.h"
#include "catalog/viewtree.h"
#include "service/guard.h"

/* ERROR where the user may not keep others from what LOCK TABLE names. */
static void
guard_lock(const LockStmt *statement)
{
	ListCell   *lc;

	if (statement->mode <= RowExclusiveLock)
		return;
	foreach(lc, statement->relations)
	{
		Oid			relid = RangeVarGetRelid(lfirst(lc), NoLock, true);

		if (OidIsValid(relid))
			relid = view_tree_find(relid, store_owns);
		if (OidIsValid(relid) && !store_is_administrator())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to lock \"%s\"", get_rel_name(relid)),
					 errdetail("Only superusers and the owner of extension batchagg may keep others "
							   "from its tables.")));
	}
}

/* Is a relation none of ours, or the user one who may do anything with those? */
static bool
is_free(Oid relid)
{
	return !store_owns(relid) || store_is_administrator();
}

/*
 * Requires a privilege on a relation, or on one of its columns, if it is ours; with
 * `privilege` 0, the rights of its owner, also where it is an index.  ERROR as PostgreSQL's.
 */
static void
require_relid(Oid relid, AclMode privilege)
{
	char		relkind = get_rel_relkind(relid);
	bool		is_index = relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX;

	if (!OidIsValid(relid) || is_free(is_index ? IndexGetRelation(relid, true) : relid))
		return;
	if (privilege != 0 &&
		(pg_class_aclcheck(relid, GetUserId(), privilege) == ACLCHECK_OK ||
		 pg_attribute_aclcheck_all(relid, GetUserId(), privilege, ACLMASK_ANY) == ACLCHECK_OK))
		return;
	aclcheck_error(privilege != 0 ? ACLCHECK_NO_PRIV : ACLCHECK_NOT_OWNER,
				   get_relkind_objtype(relkind), get_rel_name(relid));
}

static void
require(const RangeVar *relation, AclMode privilege)
{
	if (relation != NULL)
		require_relid(RangeVarGetRelid(relation, NoLock, true), privilege);
}

/* Looks at those of a list of constraints that are foreign keys. */
static void
guard_constraints(const List *constraints)
{
	ListCell   *lc;

	foreach(lc, constraints)
	{
		const Constraint *constraint = lfirst(lc);

		if (IsA(constraint, Constraint) && constraint->contype == CONSTR_FOREIGN)
			require(constraint->pktable, ACL_REFERENCES);
	}
}

/* Looks at the index, of whatever table, that a table's rows are to be told apart by. */
static void
guard_identity(const RangeVar *table, const ReplicaIdentityStmt *identity)
{
	Oid			relid = RangeVarGetRelid(table, NoLock, true);

	if (identity->name != NULL && OidIsValid(relid))
		require_relid(get_relname_relid(identity->name, get_rel_namespace(relid)), 0);
}

/*
 * Looks at foreign keys that are added, for which CREATE TABLE has become ALTER TABLE; at
 * partitions, also of indexes, that come and go; and at the identity of rows.
 */
static void
guard_alter_table(const AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		Node	   *def = lfirst_node(AlterTableCmd, lc)->def;

		if (def == NULL)
			continue;
		if (IsA(def, Constraint))
			guard_constraints(list_make1(def));
		else if (IsA(def, ColumnDef))
			guard_constraints(((ColumnDef *) def)->constraints);
		else if (IsA(def, PartitionCmd))
			require(((PartitionCmd *) def)->name, 0);
		else if (IsA(def, ReplicaIdentityStmt))
			guard_identity(statement->relation, (ReplicaIdentityStmt *) def);
	}
}

/* Looks at what a new table is a partition, or a child, of. */
static void
guard_create_table(const CreateStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->inhRelations)
		require(lfirst(lc), 0);
}

/*
 * To be called before a utility command.  ERROR where it would lock one of our tables,
 * or wait for that, and the user may not do what it is for.
 */
void
guard_command(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_LockStmt:
			guard_lock((LockStmt *) statement);
			break;
		case T_RuleStmt:
			require(((RuleStmt *) statement)->relation, 0);
			break;
		case T_CreateTrigStmt:
			require(((CreateTrigStmt *) statement)->relation, ACL_TRIGGER);
			break;
		case T_CreateStmt:
		case T_CreateForeignTableStmt:
			guard_create_table((CreateStmt *) statement);
			break;
		case T_AlterTableStmt:
			guard_alter_table((AlterTableStmt *) statement);
			break;
		default:
			break;
	}
}
