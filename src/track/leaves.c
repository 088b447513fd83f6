/*-------------------------------------------------------------------------
 *
 * leaves.c
 *	  Whether the marks of a source tell all its changes.
 *
 * Triggers see rows that are inserted, changed and deleted.  They do not see
 * TRUNCATE, a partition that is attached or detached, or what was written while a
 * trigger was disabled.  So each run looks at the source's leaves, the tables that
 * its rows are in, and compares them with what the last one found: each has a token,
 * made of all that such a thing must change.
 *
 *	- the table and its file: TRUNCATE and all that rewrites a table give it a
 *	  new one;
 *	- the columns: a new one may go by the old one's name;
 *	- its triggers: see triggers_state().
 *
 * A token never comes back.  What came or went since is marked with the times that
 * it can hold, and the new tokens are kept for the next time.
 *
 * Tokens are read with the run's snapshot.  That they are those of a moment ago does
 * not matter: who sees a token in batchagg_leaves sees the mark as well that was
 * written with it, and what was changed since is found by the next run.  If two runs
 * find the same change, both mark it, and one of them writes the tokens; nobody waits.
 *
 * A run that may not rely on marks leaves a mark of everything, and the next one with
 * it reads all once more: rows of a foreign partition, say, may have been read that are
 * there no more.
 *
 * The column of transaction ids (mode snapshot) needs no default to be relied on:
 * rows that were inserted without their transaction's id are marked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "track/marks.h"
#include "track/notes.h"
#include "track/tracking.h"
#include "track/triggers.h"

/* Columns of batchagg_leaves, counted from 1. */
enum
{
	LEAVES_SOURCE_ID = 1,
	LEAVES_TOKEN,
	LEAVES_LOW,
	LEAVES_HIGH,
	LEAVES_COLUMNS = LEAVES_HIGH
};

typedef struct Leaf
{
	char	   *token;
	Oid			relid;			/* InvalidOid: it is one of batchagg_leaves */
	int64		low;			/* the times that it may hold */
	int64		high;
} Leaf;

static int
compare_leaves(const ListCell *a, const ListCell *b)
{
	return strcmp(((Leaf *) lfirst(a))->token, ((Leaf *) lfirst(b))->token);
}

/*----------
 * What there is now
 *----------
 */

/* Appends a column's number to a token.  Returns NULL, or what is wrong. */
static const char *
add_column(Oid relid, const char *column, StringInfo token)
{
	AttrNumber	number = column ? get_attnum(relid, column) : InvalidAttrNumber;

	if (column && number == InvalidAttrNumber)
		return psprintf("column \"%s\" of table \"%s\" does not exist", column,
						track_table_name(relid));
	appendStringInfo(token, " %d", number);
	return NULL;
}

/* A table's part of its token.  Returns NULL, or why its changes cannot be tracked. */
static const char *
add_table(Form_pg_class class, StringInfo token)
{
	if (class->relkind == RELKIND_FOREIGN_TABLE)
		return psprintf("partition \"%s\" is a foreign table", track_table_name(class->oid));
	if (class->relpersistence != RELPERSISTENCE_PERMANENT)
		return psprintf("table \"%s\" is unlogged", track_table_name(class->oid));
	appendStringInfo(token, "%u %u", class->oid, class->relfilenode);
	return NULL;
}

/*
 * Adds table `relid` to *leaves, if it has rows itself.  Returns NULL, or why its
 * changes cannot be tracked.
 */
static const char *
add_leaf(const Tracking *tracking, Relation pg_trigger, Oid relid, List **leaves)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Leaf	   *leaf;
	StringInfoData token;
	const char *problem = NULL;

	/* Dropped in the meantime? */
	if (!HeapTupleIsValid(tuple))
		return NULL;
	initStringInfo(&token);
	if (((Form_pg_class) GETSTRUCT(tuple))->relkind != RELKIND_PARTITIONED_TABLE)
	{
		problem = add_table((Form_pg_class) GETSTRUCT(tuple), &token);
		if (problem == NULL)
			problem = add_column(relid, tracking->time_column, &token);
		if (problem == NULL)
			problem = add_column(relid, tracking->id_column, &token);
		if (problem == NULL)
			problem = add_column(relid, tracking->xid_column, &token);
		if (problem == NULL)
			problem = triggers_state(pg_trigger, relid, &token);

		leaf = palloc0(sizeof(Leaf));
		leaf->token = token.data;
		leaf->relid = relid;
		*leaves = lappend(*leaves, leaf);
	}
	ReleaseSysCache(tuple);
	return problem;
}

/*
 * The source's leaves, by token, without their times.  *problem is NULL, or why
 * changes of one of them cannot be tracked.
 */
static List *
leaves_now(const Tracking *tracking, Oid relid, const char **problem)
{
	List	   *tables = find_all_inheritors(relid, NoLock, NULL);
	List	   *leaves = NIL;
	Relation	pg_trigger;
	ListCell   *lc;

	*problem = NULL;
	if (list_length(tables) > 1 && get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
	{
		*problem = psprintf("table \"%s\" has inheritance children", track_table_name(relid));
		return NIL;
	}
	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	foreach(lc, tables)
	{
		CHECK_FOR_INTERRUPTS();
		*problem = add_leaf(tracking, pg_trigger, lfirst_oid(lc), &leaves);
		if (*problem)
			break;
	}
	table_close(pg_trigger, AccessShareLock);
	list_sort(leaves, compare_leaves);
	return leaves;
}

/*----------
 * Which times a leaf may hold
 *----------
 */

/* Are partitions made by ranges of the time, in its usual order? */
static bool
partitioned_by_time(const Tracking *tracking, Relation rel)
{
	PartitionKey key = RelationGetPartitionKey(rel);
	Oid			usual;

	if (key == NULL || key->strategy != PARTITION_STRATEGY_RANGE ||
		key->partattrs[0] != get_attnum(RelationGetRelid(rel), tracking->time_column))
		return false;
	usual = GetDefaultOpClass(key->parttypid[0], BTREE_AM_OID);
	return OidIsValid(usual) && get_opclass_family(usual) == key->partopfamily[0];
}

/* The bound of a table that is a partition. */
static PartitionBoundSpec *
partition_bound(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	PartitionBoundSpec *bound = NULL;
	Datum		value;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	value = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relpartbound, &isnull);
	if (!isnull)
		bound = stringToNode(TextDatumGetCString(value));
	ReleaseSysCache(tuple);
	return bound;
}

/* The time of the first column of one end of a range. */
static int64
bound_time(List *datums)
{
	PartitionRangeDatum *datum = linitial(datums);
	Const	   *value;

	if (datum->kind == PARTITION_RANGE_DATUM_MINVALUE)
		return DT_NOBEGIN;
	if (datum->kind == PARTITION_RANGE_DATUM_MAXVALUE)
		return DT_NOEND;
	value = castNode(Const, datum->value);
	return note_time(getBaseType(value->consttype), value->constvalue);
}

/* The partition of `root` that a leaf is, or is in. */
static Oid
outermost_partition(Oid root, Oid leaf)
{
	Oid			outermost = leaf;
	ListCell   *lc;

	foreach(lc, get_partition_ancestors(leaf))
	{
		if (lfirst_oid(lc) == root)
			return outermost;
		outermost = lfirst_oid(lc);
	}
	return InvalidOid;
}

/* Sets the times of leaves that came. */
static void
set_ranges(const Tracking *tracking, Oid relid, List *leaves)
{
	Relation	root = table_open(relid, NoLock);
	bool		by_time = partitioned_by_time(tracking, root);
	ListCell   *lc;

	foreach(lc, leaves)
	{
		Leaf	   *leaf = lfirst(lc);
		Oid			partition = by_time ? outermost_partition(relid, leaf->relid) : InvalidOid;
		PartitionBoundSpec *bound = OidIsValid(partition) ? partition_bound(partition) : NULL;

		leaf->low = DT_NOBEGIN;
		leaf->high = DT_NOEND;
		if (bound && !bound->is_default)
		{
			leaf->low = bound_time(bound->lowerdatums);
			leaf->high = bound_time(bound->upperdatums);
		}
	}
	table_close(root, NoLock);
}

/*----------
 * Rows of batchagg_leaves
 *----------
 */

/* Calls `visit` for each of a source's rows that a snapshot sees. */
static void
scan_leaves(Relation rel, int32 source_id, Snapshot snapshot,
			void (*visit) (Relation rel, HeapTuple tuple, void *arg), void *arg)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, LEAVES_SOURCE_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(source_id));
	scan = systable_beginscan(rel, ext_relid("batchagg_leaves_pkey"), true, snapshot, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
		visit(rel, tuple, arg);
	systable_endscan(scan);
}

static char *
token_of(Relation rel, HeapTuple tuple)
{
	bool		isnull;

	return TextDatumGetCString(heap_getattr(tuple, LEAVES_TOKEN, RelationGetDescr(rel), &isnull));
}

static void
collect_leaf(Relation rel, HeapTuple tuple, void *arg)
{
	List	  **leaves = arg;
	Leaf	   *leaf = palloc0(sizeof(Leaf));
	TupleDesc	desc = RelationGetDescr(rel);
	bool		isnull;

	leaf->token = token_of(rel, tuple);
	leaf->low = DatumGetTimestampTz(heap_getattr(tuple, LEAVES_LOW, desc, &isnull));
	leaf->high = DatumGetTimestampTz(heap_getattr(tuple, LEAVES_HIGH, desc, &isnull));
	*leaves = lappend(*leaves, leaf);
}

/* The leaves as the active snapshot sees them, by token. */
static List *
leaves_before(int32 source_id)
{
	Relation	rel = table_open(ext_relid("batchagg_leaves"), AccessShareLock);
	List	   *leaves = NIL;

	scan_leaves(rel, source_id, GetActiveSnapshot(), collect_leaf, &leaves);
	table_close(rel, AccessShareLock);
	list_sort(leaves, compare_leaves);
	return leaves;
}

static void
delete_leaf(Relation rel, HeapTuple tuple, void *arg)
{
	CatalogTupleDelete(rel, &tuple->t_self);
}

static void
insert_leaves(Relation rel, int32 source_id, List *leaves)
{
	CatalogIndexState indexes = CatalogOpenIndexes(rel);
	ListCell   *lc;

	foreach(lc, leaves)
	{
		Leaf	   *leaf = lfirst(lc);
		Datum		values[LEAVES_COLUMNS] = {
			Int32GetDatum(source_id),
			CStringGetTextDatum(leaf->token),
			TimestampTzGetDatum(leaf->low),
			TimestampTzGetDatum(leaf->high)
		};
		bool		nulls[LEAVES_COLUMNS] = {false};

		CatalogTupleInsertWithInfo(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls),
								   indexes);
	}
	CatalogCloseIndexes(indexes);
}

/* Puts `leaves` in place of all rows that the source has by now. */
static void
replace_leaves(int32 source_id, List *leaves)
{
	Relation	rel = table_open(ext_relid("batchagg_leaves"), RowExclusiveLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

	scan_leaves(rel, source_id, snapshot, delete_leaf, NULL);
	UnregisterSnapshot(snapshot);
	insert_leaves(rel, source_id, leaves);
	table_close(rel, NoLock);
}

/*
 * Locks the source's rows of batchagg_leaves to the end of the transaction.  Returns
 * whether it has, which without `wait` it does only if nobody else holds the lock.
 */
static bool
lock_leaves(int32 source_id, bool wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ext_relid("batchagg_sources"), (uint32) source_id, 0);
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Removes the source's rows, and keeps runs from writing new ones before this
 * transaction ends.
 */
void
leaves_forget(int32 source_id)
{
	(void) lock_leaves(source_id, true);
	replace_leaves(source_id, NIL);
}

/*----------
 * Settling
 *----------
 */

/*
 * What differs: appends to *came the leaves that are in `now` only, to *went those
 * in `before` only, and sets the times of the others.
 */
static void
compare(List *now, List *before, List **came, List **went)
{
	int			i = 0;
	int			j = 0;

	while (i < list_length(now) || j < list_length(before))
	{
		Leaf	   *a = i < list_length(now) ? list_nth(now, i) : NULL;
		Leaf	   *b = j < list_length(before) ? list_nth(before, j) : NULL;
		int			order = a == NULL ? 1 : b == NULL ? -1 : strcmp(a->token, b->token);

		if (order < 0)
			*came = lappend(*came, a);
		else if (order > 0)
			*went = lappend(*went, b);
		else
		{
			a->low = b->low;
			a->high = b->high;
		}
		i += order <= 0;
		j += order >= 0;
	}
}

static int
compare_lows(const ListCell *a, const ListCell *b)
{
	int64		left = ((Leaf *) lfirst(a))->low;
	int64		right = ((Leaf *) lfirst(b))->low;

	return (left > right) - (left < right);
}

/* Marks the times of all these leaves; those that touch with one mark. */
static void
mark_leaves(int32 source_id, List *leaves)
{
	int			n = list_length(leaves);

	list_sort(leaves, compare_lows);
	for (int i = 0; i < n;)
	{
		int64		low = ((Leaf *) list_nth(leaves, i))->low;
		int64		high = low;

		for (; i < n && ((Leaf *) list_nth(leaves, i))->low <= high; i++)
			high = Max(high, ((Leaf *) list_nth(leaves, i))->high);
		marks_write(source_id, low, high);
	}
}

/* Have all of the leaves, which are new to us, the right triggers?  NULL, or what is wrong. */
static const char *
check_leaves(const Tracking *tracking, List *leaves)
{
	const char *problem = NULL;
	ListCell   *lc;

	foreach(lc, leaves)
	{
		problem = triggers_check(tracking, ((Leaf *) lfirst(lc))->relid);
		if (problem)
			break;
	}
	return problem;
}

/*
 * Has the next run take the leaves for known as they are now.  Returns NULL, or why
 * their changes cannot be tracked.
 */
const char *
leaves_renew(const Tracking *tracking, Oid relid)
{
	const char *problem;
	List	   *now = leaves_now(tracking, relid, &problem);

	if (problem == NULL)
		problem = check_leaves(tracking, now);
	if (problem)
		return problem;
	set_ranges(tracking, relid, now);
	(void) lock_leaves(tracking->id, true);
	replace_leaves(tracking->id, now);
	return NULL;
}

/*
 * Compares the leaves with those before, and marks what differs.  Returns NULL, or why
 * marks do not tell all changes.
 */
static const char *
settle(const Tracking *tracking, Oid relid, bool may_write)
{
	const char *problem;
	List	   *now = leaves_now(tracking, relid, &problem);
	List	   *came = NIL;
	List	   *went = NIL;

	if (problem)
		return problem;
	compare(now, leaves_before(tracking->id), &came, &went);
	problem = check_leaves(tracking, came);
	if (problem)
		return problem;
	if (came == NIL && went == NIL)
		return NULL;
	if (!may_write)
		return psprintf("table \"%s\" has been altered, truncated or restored since the last run",
						track_table_name(relid));

	set_ranges(tracking, relid, came);
	mark_leaves(tracking->id, list_concat_copy(came, went));
	if (lock_leaves(tracking->id, false))
		replace_leaves(tracking->id, now);
	CommandCounterIncrement();
	return NULL;
}

const char *
tracking_settle(const Tracking *tracking, Oid relid, bool may_write)
{
	const char *problem = settle(tracking, relid, may_write);

	/* What this run reads may be gone, by the next one, as unnoticed as it came. */
	if (problem && may_write)
	{
		marks_write(tracking->id, DT_NOBEGIN, DT_NOEND);
		CommandCounterIncrement();
	}
	return problem;
}
