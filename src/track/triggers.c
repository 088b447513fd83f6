/*-------------------------------------------------------------------------
 *
 * triggers.c
 *	  The triggers of tracked tables.
 *
 * There are three, for inserts, updates and deletes, each for each row and always
 * enabled, so that a replica's apply process fires them, too.  Their conditions note
 * the row and are false: an event is never queued.  PostgreSQL makes copies of them
 * for the partitions that there are and that come.
 *
 * They are ordinary triggers of the table's owner, which a dump brings along; and as
 * he can do to them what he likes, tracking_settle() looks at them each time.  They go
 * when the extension does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/prs2lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "model/ext.h"
#include "model/names.h"
#include "track/triggers.h"

#define TRIGGERS 3

static const struct
{
	const char *name;
	const char *event;
	int16		type;
}			triggers[TRIGGERS] = {
	{"batchagg_mark_insert", "INSERT", TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT},
	{"batchagg_mark_update", "UPDATE", TRIGGER_TYPE_ROW | TRIGGER_TYPE_UPDATE},
	{"batchagg_mark_delete", "DELETE", TRIGGER_TYPE_ROW | TRIGGER_TYPE_DELETE}
};

/*----------
 * Commands
 *----------
 */

void
track_command(const char *sql)
{
	ExtScope	scope;

	ext_enter(&scope, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "SPI_execute failed: %s", sql);
	SPI_finish();
	ext_leave(&scope);
}

/* A table's name, qualified and quoted; its number where it has just been dropped. */
char *
track_table_name(Oid relid)
{
	char	   *schema = get_namespace_name(get_rel_namespace(relid));
	char	   *name = get_rel_name(relid);

	return schema && name ? name_qualified(schema, name) : psprintf("%u", relid);
}

/*----------
 * Finding them
 *----------
 */

/* Which of the triggers has this name; -1: none. */
static int
trigger_number(const char *name)
{
	for (int i = 0; i < TRIGGERS; i++)
		if (strcmp(triggers[i].name, name) == 0)
			return i;
	return -1;
}

/* The triggers of a table that have our names, by number, NULL where there is none. */
static void
find_triggers(Relation pg_trigger, Oid relid, HeapTuple found[TRIGGERS])
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			number;

	memset(found, 0, TRIGGERS * sizeof(HeapTuple));
	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_trigger, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		number = trigger_number(NameStr(((Form_pg_trigger) GETSTRUCT(tuple))->tgname));
		if (number >= 0)
			found[number] = heap_copytuple(tuple);
	}
	systable_endscan(scan);
}

/* Does the trigger have our function? */
static bool
is_ours(HeapTuple tuple)
{
	Oid			function = ((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid;
	char	   *name = get_func_name(function);

	return name && strcmp(name, "batchagg_mark") == 0 &&
		get_func_namespace(function) == ext_info()->schema;
}

/*----------
 * Making them
 *----------
 */

/* "pg_catalog.batchagg_note(7, NEW.ts, NEW.user_id)" */
static char *
note_call(const Tracking *tracking, const char *row, bool unstamped)
{
	StringInfoData call;

	initStringInfo(&call);
	appendStringInfo(&call, "pg_catalog.%s(%d", unstamped ? "batchagg_note_unstamped" :
					 "batchagg_note", tracking->id);
	if (unstamped)
		appendStringInfo(&call, ", %s.%s", row, quote_identifier(tracking->xid_column));
	appendStringInfo(&call, ", %s.%s", row, quote_identifier(tracking->time_column));
	if (tracking->id_column)
		appendStringInfo(&call, ", %s.%s", row, quote_identifier(tracking->id_column));
	appendStringInfoChar(&call, ')');
	return call.data;
}

static char *
trigger_condition(const Tracking *tracking, int16 type)
{
	if (TRIGGER_FOR_INSERT(type))
		return note_call(tracking, "NEW", tracking->mode == TRACK_SNAPSHOT);
	if (TRIGGER_FOR_DELETE(type))
		return note_call(tracking, "OLD", false);
	return psprintf("%s OR %s", note_call(tracking, "OLD", false),
					note_call(tracking, "NEW", false));
}

/* Has DROP EXTENSION drop the trigger, instead of being refused. */
static void
depend_on_extension(Oid trigger)
{
	ObjectAddress object = {TriggerRelationId, trigger, 0};
	ObjectAddress extension = {ExtensionRelationId, get_extension_oid("batchagg", false), 0};

	recordDependencyOn(&object, &extension, DEPENDENCY_AUTO_EXTENSION);
}

/* A trigger of the same name that somebody else made is not to be lost. */
static void
require_names(Oid relid)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	HeapTuple	found[TRIGGERS];

	find_triggers(pg_trigger, relid, found);
	for (int i = 0; i < TRIGGERS; i++)
		if (found[i] && !is_ours(found[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("trigger \"%s\" for table \"%s\" already exists", triggers[i].name,
							track_table_name(relid)),
					 errdetail("It is not one of batchagg's."),
					 errhint("Rename the existing trigger.")));
	table_close(pg_trigger, AccessShareLock);
}

/*
 * Makes the triggers, or makes them anew.  The table's lock is one that keeps others
 * from writing.
 */
void
triggers_create(const Tracking *tracking, Oid relid)
{
	char	   *table = track_table_name(relid);

	require_names(relid);
	for (int i = 0; i < TRIGGERS; i++)
	{
		track_command(psprintf("CREATE OR REPLACE TRIGGER %s AFTER %s ON %s FOR EACH ROW "
							   "WHEN (%s) EXECUTE FUNCTION %s()",
							   triggers[i].name, triggers[i].event, table,
							   trigger_condition(tracking, triggers[i].type),
							   ext_table("batchagg_mark")));
		track_command(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", table,
							   triggers[i].name));
		depend_on_extension(get_trigger_oid(relid, triggers[i].name, false));
	}
}

/*
 * Drops them, as far as there are any.
 */
void
triggers_drop(const char *table, Oid relid)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	HeapTuple	found[TRIGGERS];

	find_triggers(pg_trigger, relid, found);
	table_close(pg_trigger, AccessShareLock);
	for (int i = 0; i < TRIGGERS; i++)
		if (found[i] && is_ours(found[i]))
			track_command(psprintf("DROP TRIGGER %s ON %s", triggers[i].name, table));
}

/*----------
 * Are they as they should be?
 *----------
 */

static char *
trigger_problem(int number, Oid relid, const char *problem)
{
	return psprintf("trigger \"%s\" of table \"%s\" %s", triggers[number].name,
					track_table_name(relid), problem);
}

/*
 * Appends to a leaf's token what tells its triggers from any others that may come:
 * whatever is done to a trigger writes its row anew.  Returns NULL, or what keeps one
 * from firing.  Cheap, as it is done for each leaf in each run.
 */
const char *
triggers_state(Relation pg_trigger, Oid relid, StringInfo token)
{
	HeapTuple	found[TRIGGERS];

	find_triggers(pg_trigger, relid, found);
	for (int i = 0; i < TRIGGERS; i++)
	{
		Form_pg_trigger trigger;

		if (found[i] == NULL)
			return trigger_problem(i, relid, "is missing");
		trigger = (Form_pg_trigger) GETSTRUCT(found[i]);
		if (trigger->tgenabled == TRIGGER_DISABLED)
			return trigger_problem(i, relid, "is disabled");
		if (trigger->tgenabled != TRIGGER_FIRES_ALWAYS)
			return trigger_problem(i, relid, "is not enabled always");
		appendStringInfo(token, " %u:%u", trigger->oid,
						 HeapTupleHeaderGetRawXmin(found[i]->t_data));
		heap_freetuple(found[i]);
	}
	return NULL;
}

/* Is this the call of a function of ours, with the source's number and these columns? */
static bool
is_note(Node *node, const char *function, int32 source_id, int row, const AttrNumber *columns)
{
	FuncExpr   *call = (FuncExpr *) node;
	Const	   *number;
	ListCell   *lc;
	char	   *name;

	if (!IsA(node, FuncExpr) || call->args == NIL)
		return false;
	name = get_func_name(call->funcid);
	if (name == NULL || strcmp(name, function) != 0 ||
		get_func_namespace(call->funcid) != PG_CATALOG_NAMESPACE)
		return false;
	number = linitial(call->args);
	if (!IsA(number, Const) || number->constisnull || number->consttype != INT4OID ||
		DatumGetInt32(number->constvalue) != source_id)
		return false;
	for_each_from(lc, call->args, 1)
	{
		Var		   *var = lfirst(lc);

		if (!IsA(var, Var) || var->varno != row || var->varattno != *columns++)
			return false;
	}
	return *columns == InvalidAttrNumber;
}

/* Does a trigger's condition note what it should? */
static bool
condition_ok(const Tracking *tracking, Oid relid, int16 type, Node *condition)
{
	AttrNumber	columns[] = {
		tracking->xid_column ? get_attnum(relid, tracking->xid_column) : InvalidAttrNumber,
		get_attnum(relid, tracking->time_column),
		tracking->id_column ? get_attnum(relid, tracking->id_column) : InvalidAttrNumber,
		InvalidAttrNumber
	};
	List	   *either;

	if (TRIGGER_FOR_INSERT(type) && tracking->mode == TRACK_SNAPSHOT)
		return is_note(condition, "batchagg_note_unstamped", tracking->id, PRS2_NEW_VARNO, columns);
	if (TRIGGER_FOR_INSERT(type))
		return is_note(condition, "batchagg_note", tracking->id, PRS2_NEW_VARNO, columns + 1);
	if (TRIGGER_FOR_DELETE(type))
		return is_note(condition, "batchagg_note", tracking->id, PRS2_OLD_VARNO, columns + 1);

	if (!is_orclause(condition))
		return false;
	either = ((BoolExpr *) condition)->args;
	return list_length(either) == 2 &&
		is_note(linitial(either), "batchagg_note", tracking->id, PRS2_OLD_VARNO, columns + 1) &&
		is_note(lsecond(either), "batchagg_note", tracking->id, PRS2_NEW_VARNO, columns + 1);
}

static bool
trigger_ok(const Tracking *tracking, Oid relid, Relation pg_trigger, HeapTuple tuple, int number)
{
	Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);
	bool		isnull;
	Datum		condition = heap_getattr(tuple, Anum_pg_trigger_tgqual,
										 RelationGetDescr(pg_trigger), &isnull);

	return trigger->tgtype == triggers[number].type && trigger->tgattr.dim1 == 0 && !isnull &&
		condition_ok(tracking, relid, trigger->tgtype,
					 stringToNode(TextDatumGetCString(condition)));
}

/*
 * Whether the triggers of a leaf, whose state was good, are those that
 * triggers_create() makes.  Returns NULL, or what is wrong.
 */
const char *
triggers_check(const Tracking *tracking, Oid relid)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	HeapTuple	found[TRIGGERS];
	const char *problem = NULL;

	find_triggers(pg_trigger, relid, found);
	for (int i = 0; i < TRIGGERS && problem == NULL; i++)
		if (found[i] == NULL || !trigger_ok(tracking, relid, pg_trigger, found[i], i))
			problem = trigger_problem(i, relid, "is not as batchagg_track_source() makes it");
	table_close(pg_trigger, AccessShareLock);
	return problem;
}
