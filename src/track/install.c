/*-------------------------------------------------------------------------
 *
 * install.c
 *	  Beginning and ending to track a source.
 *
 * Who owns a table decides whether its changes are tracked.  All that is done to it
 * is done with the caller's rights, so that whatever else of his runs then (event
 * triggers, say) has no others; our own tables are written with ours.
 *
 * A source that comes to be tracked, or is tracked in another way, is marked from end
 * to end: what runs have found before then is not relied on.  The lock that it takes
 * to make a trigger waits for all who are writing, so none of them goes unmarked.
 *
 * Columns that are not given are those that runs find.  The time is what definitions or
 * mappings say, or source.c finds.  The id is the one that all definitions with this source have
 * in common; where there are several, or no definitions yet, marks are of all
 * entities, which is never wrong.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "model/names.h"
#include "model/problem.h"
#include "source/source.h"
#include "source/sourcecheck.h"
#include "track/install.h"
#include "track/marks.h"
#include "track/notes.h"
#include "track/tracking.h"
#include "track/triggers.h"
#include "words/nearest.h"

#define XID_COLUMN "batchagg_xid"

/*----------
 * Which tables can be tracked
 *----------
 */

static void
refuse(Oid relid, int sqlerrcode, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(sqlerrcode),
			 errmsg("changes of \"%s\" cannot be tracked", track_table_name(relid)),
			 errdetail_internal("%s", detail),
			 hint ? errhint("%s", hint) : 0));
}

static void
check_kind(Oid relid)
{
	const char *is;

	switch (get_rel_relkind(relid))
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			return;
		case RELKIND_VIEW:
			is = "It is a view.";
			break;
		case RELKIND_MATVIEW:
			is = "It is a materialized view.";
			break;
		case RELKIND_FOREIGN_TABLE:
			is = "It is a foreign table.";
			break;
		default:
			is = "It is not a table.";
			break;
	}
	refuse(relid, ERRCODE_WRONG_OBJECT_TYPE, is,
		   "Only tables can be tracked; runs read all of other sources.");
}

/* A table that has rows, alone or as a partition. */
static void
check_storage(Oid root, Oid relid)
{
	const char *is = relid == root ? "It is" :
	psprintf("Its partition \"%s\" is", track_table_name(relid));

	if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
		refuse(root, ERRCODE_FEATURE_NOT_SUPPORTED, psprintf("%s a foreign table.", is),
			   "Rows of a foreign table change without notice.");
	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		refuse(root, ERRCODE_FEATURE_NOT_SUPPORTED, psprintf("%s a temporary table.", is),
			   "It is gone before a run could profit.");
	if (get_rel_persistence(relid) == RELPERSISTENCE_UNLOGGED)
		refuse(root, ERRCODE_FEATURE_NOT_SUPPORTED, psprintf("%s an unlogged table.", is),
			   psprintf("A crash empties it unnoticed. Use ALTER TABLE %s SET LOGGED first.",
						track_table_name(relid)));
}

static void
check_family(Oid relid)
{
	List	   *tables = find_all_inheritors(relid, NoLock, NULL);
	bool		partitioned = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE;
	ListCell   *lc;

	if (get_rel_relispartition(relid))
		refuse(relid, ERRCODE_FEATURE_NOT_SUPPORTED, "It is a partition.",
			   psprintf("Track the partitioned table \"%s\".",
						track_table_name(llast_oid(get_partition_ancestors(relid)))));
	if (!partitioned && list_length(tables) > 1)
		refuse(relid, ERRCODE_FEATURE_NOT_SUPPORTED, "It has inheritance children.",
			   "Partitions can be tracked together with their partitioned table.");
	if (!partitioned && has_superclass(relid))
		refuse(relid, ERRCODE_FEATURE_NOT_SUPPORTED, "It is an inheritance child.",
			   "Partitions can be tracked together with their partitioned table.");
	foreach(lc, tables)
		check_storage(relid, lfirst_oid(lc));
}

/* ERROR unless the changes of relation `relid`, which is locked, can be tracked. */
static void
check_table(Oid relid)
{
	check_kind(relid);
	if (relid < FirstNormalObjectId || IsCatalogNamespace(get_rel_namespace(relid)))
		refuse(relid, ERRCODE_INSUFFICIENT_PRIVILEGE, "It is a system catalog.", NULL);
	if (OidIsValid(getExtensionOfObject(RelationRelationId, relid)))
		refuse(relid, ERRCODE_FEATURE_NOT_SUPPORTED, "It belongs to an extension.",
			   "A dump would leave its triggers behind.");
	check_family(relid);
}

static void
require_owner(Oid relid)
{
	bool		owner;

#if PG_VERSION_NUM >= 160000
	owner = object_ownercheck(RelationRelationId, relid, GetUserId());
#else
	owner = pg_class_ownercheck(relid, GetUserId());
#endif
	if (!owner)
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
}

/*
 * Locks a relation that the caller owns, and returns its name, qualified and quoted.
 * ERROR where there is none, or it is not the caller's.
 */
static char *
lock_own_relation(Oid relid, LOCKMODE mode)
{
	/* Before we wait for the lock, and maybe keep others from theirs. */
	if (get_rel_name(relid) != NULL)
		require_owner(relid);
	LockRelationOid(relid, mode);
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	require_owner(relid);
	return track_table_name(relid);
}

/*----------
 * Columns
 *----------
 */

static char *
column_name(Oid relid, AttrNumber column)
{
	return column == InvalidAttrNumber ? NULL : get_attname(relid, column, false);
}

/* The base type of a column, and its collation. */
static Oid
column_type(Oid relid, const char *column, Oid *collation)
{
	AttrNumber	number = get_attnum(relid, column);
	Oid			type;
	int32		typmod;

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", column,
						track_table_name(relid))));
	get_atttypetypmodcoll(relid, number, &type, &typmod, collation);
	return getBaseType(type);
}

/* The first column of a query's rows.  Its argument is the source's name. */
static List *
query_texts(const char *sql, const char *source)
{
	const Oid	types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(source)};
	List	   *texts = NIL;
	ListCell   *lc;

	foreach(lc, ext_query(true, sql, lengthof(types), types, values))
		texts = lappend(texts, ((char **) lfirst(lc))[0]);
	return texts;
}

/*
 * Of the definitions, d, that may read the source: %1$s to %3$s are batchjob_definitions,
 * batchjob_metrics and metricsandtables.
 */
#define READERS_SQL \
	"FROM %1$s d WHERE (d.source_table = $1 OR EXISTS (SELECT FROM %2$s m JOIN %3$s t " \
	"ON " NAME_FOLDED_SQL("t.metricname") " = " NAME_FOLDED_SQL("m.metric_name") " " \
	"WHERE m.job_id = d.job_id AND t.tablename = $1))"

/* What definitions that may read the source, and mappings to it, have in `field`. */
static List *
named_columns(const char *field, const char *source)
{
	return query_texts(psprintf("SELECT %4$s " READERS_SQL " AND %4$s IS NOT NULL "
								"UNION SELECT %4$s FROM %3$s WHERE tablename = $1 "
								"AND %4$s IS NOT NULL",
								ext_table("batchjob_definitions"),
								ext_table("batchjob_metrics"),
								ext_table("metricsandtables"), field), source);
}

static char *
find_time_column(Oid relid, const char *source)
{
	List	   *named = named_columns("time_column", source);
	AttrNumber	column = InvalidAttrNumber;

	if (list_length(named) <= 1)
		column = source_find_time(relid, named ? linitial(named) : NULL);
	if (column == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("cannot tell which column of table \"%s\" is the time", source),
				 errdetail(list_length(named) > 1 ?
						   "Definitions and mappings name several." :
						   "No definition or mapping names it, and it is not plain from names and types."),
				 errhint("Specify the time_column argument.")));
	return column_name(relid, column);
}

/* The focal entities of all definitions that may read the source. */
static List *
focal_entities(const char *source)
{
	return query_texts(psprintf("SELECT DISTINCT d.focal_entity " READERS_SQL
								" AND d.focal_entity <> '*'",
								ext_table("batchjob_definitions"),
								ext_table("batchjob_metrics"),
								ext_table("metricsandtables")), source);
}

static bool
id_column_ok(Oid relid, const char *column)
{
	Oid			collation;
	Oid			type = column_type(relid, column, &collation);

	return note_id_type_ok(type) &&
		(!OidIsValid(collation) || get_collation_isdeterministic(collation));
}

/* See the file's head; NULL where marks are of all entities. */
static char *
find_id_column(Oid relid, const char *source)
{
	List	   *named = named_columns("id_column", source);
	AttrNumber	common = InvalidAttrNumber;
	char	   *name;
	ListCell   *lc;

	if (list_length(named) > 1)
		return NULL;
	foreach(lc, focal_entities(source))
	{
		AttrNumber	column = source_find_id(relid, named ? linitial(named) : NULL, lfirst(lc));

		if (column == InvalidAttrNumber || (common != InvalidAttrNumber && column != common))
			return NULL;
		common = column;
	}
	name = column_name(relid, common);
	return name && id_column_ok(relid, name) ? name : NULL;
}

static void
check_time_column(Oid relid, const char *column)
{
	Oid			collation;
	Oid			type = column_type(relid, column, &collation);

	if (!note_time_type_ok(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" cannot be a time", column,
						track_table_name(relid)),
				 errdetail("Its type is %s.", format_type_be(type)),
				 errhint("Times have the type timestamp with time zone, timestamp without time zone "
						 "or date.")));
}

static void
check_id_column(Oid relid, const char *column)
{
	Oid			collation;
	Oid			type = column_type(relid, column, &collation);

	if (!note_id_type_ok(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("entities cannot be marked by column \"%s\" of table \"%s\"", column,
						track_table_name(relid)),
				 errdetail("Its type is %s.", format_type_be(type)),
				 errhint("Types that can are smallint, integer, bigint, text, character varying and uuid.")));
	if (!id_column_ok(relid, column))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("entities cannot be marked by column \"%s\" of table \"%s\"", column,
						track_table_name(relid)),
				 errdetail("Its collation \"%s\" is not deterministic: ids that differ can be equal.",
						   get_collation_name(collation))));
}

/*----------
 * The column of transaction ids
 *----------
 */

/* Has the table an index whose first column is this one? */
static bool
has_index(Oid relid, const char *column)
{
	Relation	rel = table_open(relid, NoLock);
	AttrNumber	number = get_attnum(relid, column);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));

		if (!HeapTupleIsValid(tuple))
			continue;
		found |= ((Form_pg_index) GETSTRUCT(tuple))->indkey.values[0] == number;
		ReleaseSysCache(tuple);
	}
	table_close(rel, NoLock);
	return found;
}

/*
 * Makes sure that the table has the column, and that rows get their transaction's id
 * there.  Rows that are there already have NULL, so the table is not written anew.
 */
static void
prepare_xid_column(Oid relid, const char *table)
{
	Oid			collation;
	Oid			type;

	if (get_attnum(relid, XID_COLUMN) == InvalidAttrNumber)
	{
		track_command(psprintf("ALTER TABLE %s ADD COLUMN %s xid8", table, XID_COLUMN));
		ereport(NOTICE,
				(errmsg("column \"%s\" has been added to table \"%s\"", XID_COLUMN, text_for_client(table)),
				 errdetail("From now on these fail: COPY into it without a list of columns; and with "
						   "tables that lack the column INSERT ... SELECT * of its rows, ATTACH "
						   "PARTITION, and subscriptions."),
				 errhint("List the columns, and add the column to the other tables; or use mode "
						 "\"log\", which adds none.")));
	}
	type = column_type(relid, XID_COLUMN, &collation);
	if (type != XID8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" cannot hold transaction ids", XID_COLUMN, table),
				 errdetail("Its type is %s, not xid8.", format_type_be(type)),
				 errhint("Rename the existing column \"%s\".", XID_COLUMN)));
	track_command(psprintf("ALTER TABLE %s ALTER COLUMN %s SET DEFAULT pg_catalog.pg_current_xact_id()",
						   table, XID_COLUMN));
	if (!has_index(relid, XID_COLUMN))
		ereport(NOTICE,
				(errmsg("table \"%s\" has no index on column \"%s\"", text_for_client(table), XID_COLUMN),
				 errhint("Runs find new rows by it: CREATE INDEX ON %s (%s).", text_for_client(table),
						 XID_COLUMN)));
}

/*----------
 * Rows of our tables
 *----------
 */

/* Removes all that is kept of a source, but for its row. */
static void
forget_marks(int32 source_id)
{
	const Oid	types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(source_id)};

	leaves_forget(source_id);
	ext_query(true, psprintf("DELETE FROM %s WHERE source_id = $1", ext_table("batchagg_marks")),
			  lengthof(types), types, values);
}

static int32
delete_source(const char *where, const char *source)
{
	ListCell   *lc;
	int32		source_id = 0;

	foreach(lc, query_texts(psprintf("DELETE FROM %s s WHERE %s RETURNING source_id",
									 ext_table("batchagg_sources"), where), source))
	{
		source_id = pg_strtoint32(lfirst(lc));
		forget_marks(source_id);
	}
	return source_id;
}

/* Removes sources whose tables were dropped or renamed. */
static void
delete_lost_sources(const char *source)
{
	(void) delete_source("source <> $1 AND NOT EXISTS (SELECT FROM pg_class c "
						 "JOIN pg_namespace n ON n.oid = c.relnamespace "
						 "WHERE format('%I.%I', n.nspname, c.relname) = source)", source);
}

/* Writes the source's row.  Returns its number. */
static int32
write_source(const Tracking *tracking)
{
	const Oid	types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(tracking->source),
		CStringGetTextDatum(tracking_mode_name(tracking->mode)),
		CStringGetTextDatum(tracking->time_column),
		CStringGetTextDatum(tracking->id_column ? tracking->id_column : ""),
		CStringGetTextDatum(tracking->xid_column ? tracking->xid_column : "")
	};
	List	   *rows;

	rows = ext_query(true,
					 psprintf("INSERT INTO %s (source, mode, time_column, id_column, xid_column) "
							  "VALUES ($1, $2, $3, nullif($4, ''), nullif($5, '')) "
							  "ON CONFLICT (source) DO UPDATE SET mode = excluded.mode, "
							  "time_column = excluded.time_column, id_column = excluded.id_column, "
							  "xid_column = excluded.xid_column RETURNING source_id",
							  ext_table("batchagg_sources")),
					 lengthof(types), types, values);
	return pg_strtoint32(((char **) linitial(rows))[0]);
}

/*----------
 * Beginning and end
 *----------
 */

/* What to do for a mode of runs that is none of tracking. */
static int
mode_hint(const char *mode)
{
	static const char *const known[] = {"log", "snapshot"};
	const char *meant = word_nearest(mode, known, lengthof(known));

	if (pg_strcasecmp(mode, "lookback") == 0)
		return errhint("A lookback is set in batchjob_definitions.lookback, and needs no tracking.");
	if (pg_strcasecmp(mode, "full") == 0 || pg_strcasecmp(mode, "none") == 0)
		return errhint("Call batchagg_untrack_source() to end the tracking of a table.");
	return meant ? errhint("Perhaps you meant \"%s\".", meant) : 0;
}

static TrackMode
read_mode(const char *mode)
{
	if (strcmp(mode, tracking_mode_name(TRACK_LOG)) == 0)
		return TRACK_LOG;
	if (strcmp(mode, tracking_mode_name(TRACK_SNAPSHOT)) == 0)
		return TRACK_SNAPSHOT;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown mode of tracking \"%s\"", mode),
			 errdetail("Modes are \"log\" and \"snapshot\"."),
			 mode_hint(mode)));
}

static void
not_tracked(int elevel, const char *table)
{
	ereport(elevel,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("changes of \"%s\" are not tracked", text_for_client(table))));
}

/* Marks all that is there already. */
static void
start_over(const Tracking *tracking, Oid relid)
{
	const char *problem;

	forget_marks(tracking->id);
	problem = leaves_renew(tracking, relid);
	if (problem)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("changes of \"%s\" cannot be tracked", tracking->source),
				 errdetail_internal("%s", psprintf("%s.", problem))));
	marks_write(tracking->id, DT_NOBEGIN, DT_NOEND);
}

/*
 * Tracks a table, or tracks it anew with other columns or in another mode.  Columns
 * may be NULL.  ERROR: it is not the caller's; it cannot be tracked; a column is
 * missing, or cannot be told.
 */
void
track_source(Oid relid, const char *mode, const char *time_column, const char *id_column)
{
	Tracking	tracking = {.mode = read_mode(mode)};

	/* Adding a column takes the stronger lock, which is not to be waited for later. */
	tracking.source = lock_own_relation(relid, tracking.mode == TRACK_SNAPSHOT ?
										AccessExclusiveLock : ShareRowExclusiveLock);
	check_table(relid);

	tracking.time_column = time_column ? pstrdup(time_column) :
		find_time_column(relid, tracking.source);
	check_time_column(relid, tracking.time_column);
	tracking.id_column = id_column ? pstrdup(id_column) : find_id_column(relid, tracking.source);
	if (tracking.id_column)
		check_id_column(relid, tracking.id_column);
	if (tracking.mode == TRACK_SNAPSHOT)
	{
		prepare_xid_column(relid, tracking.source);
		tracking.xid_column = XID_COLUMN;
	}

	delete_lost_sources(tracking.source);
	tracking.id = write_source(&tracking);
	triggers_create(&tracking, relid);
	start_over(&tracking, relid);
	tracking_changed();
}

/*
 * Ends the tracking of a table; with drop_column, also drops the column of transaction
 * ids.  ERROR: it is not the caller's.  NOTICE: it is not tracked.
 */
void
untrack_source(Oid relid, bool drop_column)
{
	char	   *table = lock_own_relation(relid, AccessExclusiveLock);

	triggers_drop(table, relid);
	if (delete_source("source = $1", table) == 0)
		not_tracked(NOTICE, table);
	if (drop_column && get_attnum(relid, XID_COLUMN) != InvalidAttrNumber)
		track_command(psprintf("ALTER TABLE %s DROP COLUMN %s", table, XID_COLUMN));
	tracking_changed();
}

/*
 * Does what each run does before it relies on a source's marks.  Returns NULL, or why
 * they do not tell all changes.  ERROR: it is not the caller's, or not tracked.
 */
const char *
settle_source(Oid relid)
{
	char	   *table = lock_own_relation(relid, AccessShareLock);
	Tracking   *tracking = tracking_load(table);

	if (tracking == NULL)
		not_tracked(ERROR, table);
	return tracking_settle(tracking, relid, true);
}
