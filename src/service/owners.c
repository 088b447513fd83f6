/*-------------------------------------------------------------------------
 *
 * owners.c
 *	  The owners of jobs, mappings and measurements, and what becomes of them.
 *
 * To PostgreSQL an owner is a value in a column.  For a role to be an owner as it is
 * of other objects,
 *
 * - DROP ROLE has to fail.  For each of the three tables, the first row of a role
 *	 leaves an entry in pg_shdepend, as if the role had been granted privileges on
 *	 the table's column owner: on the table as a whole, its own entry would go with
 *	 the last privilege that is revoked.  The entry stays when the rows are gone, and
 *	 goes with DROP OWNED, as do privileges.  Where rows have come without one, as in
 *	 pg_upgrade or with triggers disabled, it is made up for before DROP ROLE, in the
 *	 database that they are in.
 * - REASSIGN OWNED has to give the rows to the new role.  A mapping that the new role
 *	 has itself is deleted.
 * - DROP OWNED has to delete them, and with jobs their results.
 *
 * The latter two are done by the hook on utility commands, as the owner of our
 * tables.  In a session that has not loaded the library, it is not there.  REASSIGN OWNED
 * then leaves our tables as they are.  DROP OWNED, by which PostgreSQL's manual has it
 * followed, would delete what was to be reassigned; so an event trigger makes it fail,
 * which loads the library too: repeated, both do what they should.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_shdepend.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "model/ext.h"
#include "model/names.h"
#include "service/owners.h"

#if PG_VERSION_NUM >= 170000
#define OWN_TRANSACTION (MyProc->vxid.lxid)
#else
#define OWN_TRANSACTION (MyProc->lxid)
#endif

/* The tables whose rows have owners. */
static const char *const owned_tables[] = {"batch_jobs", "metricsandtables", "batchagg_measurements"};

/* The last role that a hold was made sure of for, and where that was. */
static struct
{
	Oid			table;
	Oid			role;
	LocalTransactionId transaction;
	SubTransactionId subtransaction;
}			last_held;

/* Is the hook there, and has seen DROP OWNED? */
static bool drop_is_followed = false;

/* Makes a scan of the entries of pg_shdepend by which we hold a role, of one database's. */
static SysScanDesc
scan_holds(Relation shdepend, Oid role)
{
	ScanKeyData key[2];

	ScanKeyInit(&key[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&key[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	return systable_beginscan(shdepend, SharedDependReferenceIndexId, true, NULL, 2, key);
}

/* Is an entry the hold of `table`? */
static bool
is_hold(HeapTuple tuple, Oid table)
{
	Form_pg_shdepend entry = (Form_pg_shdepend) GETSTRUCT(tuple);

	return entry->dbid == MyDatabaseId && entry->classid == RelationRelationId &&
		entry->objid == table && entry->objsubid == get_attnum(table, "owner") &&
		entry->deptype == SHARED_DEPENDENCY_ACL;
}

/* Rows of a role in a table are kept from coming (Exclusive) while it is dropped. */
static void
lock_hold(Oid table, Oid role, LOCKMODE mode)
{
	LockDatabaseObject(table, role, 1, mode);
}

/* Makes the entry, as GRANT does for privileges on a column. */
static void
record_hold(Oid table, Oid role)
{
	Oid		   *roles = palloc(sizeof(Oid));

	/* Freed by PostgreSQL. */
	roles[0] = role;
	updateAclDependencies(RelationRelationId, table, get_attnum(table, "owner"), InvalidOid,
						  0, NULL, 1, roles);
}

/*
 * Keeps a role from being dropped, as it has, or is about to have, rows in `table`.
 */
void
owner_hold(Oid table, Oid role)
{
	Relation	shdepend;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		held = false;

	if (last_held.table == table && last_held.role == role &&
		last_held.transaction == OWN_TRANSACTION &&
		last_held.subtransaction == GetCurrentSubTransactionId())
		return;
	lock_hold(table, role, ShareLock);
	shdepend = table_open(SharedDependRelationId, AccessShareLock);
	scan = scan_holds(shdepend, role);
	while (!held && (tuple = systable_getnext(scan)) != NULL)
		held = is_hold(tuple, table);
	systable_endscan(scan);
	table_close(shdepend, AccessShareLock);
	if (!held)
		record_hold(table, role);
	last_held.table = table;
	last_held.role = role;
	last_held.transaction = OWN_TRANSACTION;
	last_held.subtransaction = GetCurrentSubTransactionId();
}

/* Lets a role be dropped, as far as rows of `table` are concerned. */
static void
release(Oid table, Oid role)
{
	Relation	shdepend = table_open(SharedDependRelationId, RowExclusiveLock);
	SysScanDesc scan = scan_holds(shdepend, role);
	HeapTuple	tuple;

	while ((tuple = systable_getnext(scan)) != NULL)
		if (is_hold(tuple, table))
			CatalogTupleDelete(shdepend, &tuple->t_self);
	systable_endscan(scan);
	table_close(shdepend, RowExclusiveLock);
	last_held.table = InvalidOid;
}

/*
 * Runs a statement on our tables as their owner, as in a restore: rows are not checked
 * against what they refer to, which is another matter.
 */
static void
change(const char *sql, Oid role, Oid new_role)
{
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[] = {ObjectIdGetDatum(role), ObjectIdGetDatum(new_role)};
	ExtScope	scope;

	ext_enter(&scope, true);
	ext_set("search_path", "");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, lengthof(types), types, values, NULL, false, 0) < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", sql);
	SPI_finish();
	ext_leave(&scope);
}

static void
reassign(Oid role, Oid new_role)
{
	char	   *mappings = ext_table("metricsandtables");

	if (role == new_role)
		return;
	change(psprintf("DELETE FROM %s m WHERE owner = $1 AND EXISTS (SELECT FROM %s n "
					"WHERE n.owner = $2 AND n.tablename = m.tablename AND "
					NAME_FOLDED_SQL("n.metricname") " = " NAME_FOLDED_SQL("m.metricname") ")",
					mappings, mappings),
		   role, new_role);
	for (int i = 0; i < lengthof(owned_tables); i++)
		change(psprintf("UPDATE %s SET owner = $2 WHERE owner = $1",
						ext_table(owned_tables[i])),
			   role, new_role);
}

static void
drop(Oid role)
{
	for (int i = 0; i < lengthof(owned_tables); i++)
	{
		Oid			table = ext_relid(owned_tables[i]);

		lock_hold(table, role, ExclusiveLock);
		change(psprintf("DELETE FROM %s WHERE owner = $1 OR owner = $2",
						ext_table(owned_tables[i])),
			   role, role);
		release(table, role);
	}
}

/* Does DROP OWNED before PostgreSQL does, which would warn of privileges that are none. */
static void
drop_all(const DropOwnedStmt *statement)
{
	ListCell   *lc;

	drop_is_followed = true;
	foreach(lc, statement->roles)
	{
		Oid			role = get_rolespec_oid(lfirst(lc), true);

		/* Else the command will fail. */
		if (OidIsValid(role) && has_privs_of_role(GetUserId(), role))
			drop(role);
	}
	CommandCounterIncrement();
}

static void
reassign_all(const ReassignOwnedStmt *statement)
{
	Oid			new_role = get_rolespec_oid(statement->newrole, false);
	ListCell   *lc;

	foreach(lc, statement->roles)
		reassign(get_rolespec_oid(lfirst(lc), false), new_role);
}

/* Has a role rows in a table? */
static bool
has_rows(const char *table, Oid role)
{
	const Oid	types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(role)};

	return ext_query(true, psprintf("SELECT FROM %s WHERE owner = $1 LIMIT 1",
									ext_table(table)), 1, types, values) != NIL;
}

/* Has a role rows in any of the tables? */
static bool
owns_rows(Oid role)
{
	for (int i = 0; i < lengthof(owned_tables); i++)
		if (has_rows(owned_tables[i], role))
			return true;
	return false;
}

/* Sees to it that roles which have rows are held, so that DROP ROLE fails. */
static void
hold_all(const DropRoleStmt * statement)
{
	ListCell   *lc;

	foreach(lc, statement->roles)
	{
		Oid			role = get_rolespec_oid(lfirst(lc), true);

		for (int i = 0; OidIsValid(role) && i < lengthof(owned_tables); i++)
			if (has_rows(owned_tables[i], role))
				owner_hold(ext_relid(owned_tables[i]), role);
	}
	CommandCounterIncrement();
}

/*
 * To be called before a utility command, and after it, with `done`: does with rows of our
 * tables what REASSIGN OWNED, DROP OWNED and DROP ROLE do with other objects.
 */
void
owners_follow(Node *statement, bool done)
{
	NodeTag		tag = nodeTag(statement);

	if ((done ? tag != T_ReassignOwnedStmt : tag != T_DropOwnedStmt && tag != T_DropRoleStmt) ||
		XactReadOnly || !OidIsValid(get_extension_oid("batchagg", true)))
		return;
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (tag == T_ReassignOwnedStmt)
		reassign_all((ReassignOwnedStmt *) statement);
	else if (tag == T_DropOwnedStmt)
		drop_all((DropOwnedStmt *) statement);
	else if (has_createrole_privilege(GetUserId()) && ext_is_usable())
		hold_all((DropRoleStmt *) statement);
	PopActiveSnapshot();
}

/*
 * Makes a DROP OWNED fail that the hook has not seen, if roles have rows in our tables.
 */
void
owners_require_followed(const DropOwnedStmt *statement)
{
	ListCell   *lc;

	if (drop_is_followed)
		return;
	foreach(lc, statement->roles)
	{
		Oid			role = get_rolespec_oid(lfirst(lc), false);

		if (owns_rows(role))
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("role \"%s\" owns jobs, mappings or measurements of batchagg",
							GetUserNameFromId(role, false)),
					 errdetail("The library of batchagg was not loaded before, so that a REASSIGN "
							   "OWNED in this session has passed them by."),
					 errhint("It is loaded now: repeat REASSIGN OWNED, if they are to be "
							 "reassigned, and then DROP OWNED, which deletes them.")));
	}
}
