/*-------------------------------------------------------------------------
 *
 * tracking.c
 *	  Sources whose changes are tracked.
 *
 * There are two who look a source up.  A run does by name, and with its snapshot,
 * so that what it knows of the source fits the marks that it sees.
 *
 * A writer does by the number that the table's triggers have, at the first row of
 * each transaction; so these are kept for the session, until the table is altered
 * or renamed, or the source is tracked in another way.  He may be anybody, and the
 * library may be newer than the SQL objects for a while: so he finds our tables by
 * the extension's schema alone, and needs no rights on them.
 *
 * batchagg_note() can be called by all, and marks cost time: whoever could leave
 * them for any source could have all runs read everything.  So they are only taken
 * from transactions that hold the lock of a writer on the table or one of its
 * partitions.  Nobody gets that without the right to write there, and whoever writes
 * has it, through views, functions and foreign keys too.  The tables are those that go
 * by the source's name, and those that the last run saw there: a table that has another
 * name for a while is marked all the same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "model/ext.h"
#include "model/names.h"
#include "track/tracking.h"

/* Columns of batchagg_sources. */
enum
{
	SOURCES_ID = 1,
	SOURCES_SOURCE,
	SOURCES_MODE,
	SOURCES_TIME_COLUMN,
	SOURCES_ID_COLUMN,
	SOURCES_XID_COLUMN
};

/* Columns of batchagg_leaves, as far as they are needed here. */
enum
{
	LEAVES_SOURCE_ID = 1,
	LEAVES_TOKEN
};

/* As batchagg_sources.mode has them. */
static const char *const mode_names[] = {"log", "snapshot"};

const char *
tracking_mode_name(TrackMode mode)
{
	return mode_names[mode];
}

/*----------
 * Rows of batchagg_sources
 *----------
 */

static char *
text_or_null(HeapTuple tuple, TupleDesc desc, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static Tracking *
read_source(HeapTuple tuple, TupleDesc desc)
{
	Tracking   *tracking = palloc(sizeof(Tracking));
	char	   *mode = text_or_null(tuple, desc, SOURCES_MODE);
	bool		isnull;

	tracking->id = DatumGetInt32(heap_getattr(tuple, SOURCES_ID, desc, &isnull));
	tracking->source = text_or_null(tuple, desc, SOURCES_SOURCE);
	tracking->mode = strcmp(mode, mode_names[TRACK_SNAPSHOT]) == 0 ? TRACK_SNAPSHOT : TRACK_LOG;
	tracking->time_column = text_or_null(tuple, desc, SOURCES_TIME_COLUMN);
	tracking->id_column = text_or_null(tuple, desc, SOURCES_ID_COLUMN);
	tracking->xid_column = text_or_null(tuple, desc, SOURCES_XID_COLUMN);
	return tracking;
}

/* The source that a scan key finds; they are few, so no index is used. */
static Tracking *
find_source(Oid sources_relid, Snapshot snapshot, ScanKey key)
{
	Relation	rel = table_open(sources_relid, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, snapshot, 1, key);
	HeapTuple	tuple = systable_getnext(scan);
	Tracking   *found = HeapTupleIsValid(tuple) ? read_source(tuple, RelationGetDescr(rel)) : NULL;

	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

Tracking *
tracking_load(const char *source)
{
	ScanKeyData key;

	ScanKeyInit(&key, SOURCES_SOURCE, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(source));
	return find_source(ext_relid("batchagg_sources"), GetActiveSnapshot(), &key);
}

/* Source `id`, as of now; NULL where there is none. */
static Tracking *
source_of_id(Oid sources_relid, int32 id)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Tracking   *tracking;
	ScanKeyData key;

	ScanKeyInit(&key, SOURCES_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	tracking = find_source(sources_relid, snapshot, &key);
	UnregisterSnapshot(snapshot);
	return tracking;
}

/*----------
 * What a session remembers for its writers
 *----------
 */

/* So many sources, those that were looked up last. */
#define MAX_KNOWN 256

typedef struct Writable
{
	int32		id;
	Oid			relid;			/* InvalidOid: there is no table of that name */
	Oid			locked;			/* or one of its partitions, locked the last time */
} Writable;

/* Where our tables are. */
typedef struct Tables
{
	Oid			sources;
	Oid			marks;
} Tables;

static struct
{
	Oid			schema;			/* the extension's */
	Tables		tables;			/* as they were when the last source was looked up */
	Writable	sources[MAX_KNOWN];
	int			n;
	int			next;			/* the place of the next one to be looked up */
	bool		registered;
}			known;

static void
forget(void)
{
	known.n = known.next = 0;
}

/* A relation was changed: is it one of ours, or a source? */
static void
relation_changed(Datum arg, Oid relid)
{
	bool		matters = !OidIsValid(relid) || relid == known.tables.sources ||
	relid == known.tables.marks;

	for (int i = 0; i < known.n; i++)
		matters |= known.sources[i].relid == relid;
	if (matters)
		forget();
}

static void
schema_changed(Datum arg, int cache, uint32 hash)
{
	forget();
}

static void
register_callbacks(void)
{
	if (known.registered)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
	known.registered = true;
}

/* The oid of a qualified name, for those who may lack rights on its schema, too. */
static Oid
relid_of(const char *qualified)
{
	RangeVar   *name = name_parse(qualified);
	Oid			schema = name && name->schemaname ?
	get_namespace_oid(name->schemaname, true) : InvalidOid;

	return OidIsValid(schema) ? get_relname_relid(name->relname, schema) : InvalidOid;
}

/* A source that is remembered; NULL: it is not. */
static Writable *
remembered(int32 id)
{
	for (int i = 0; i < known.n; i++)
		if (known.sources[i].id == id)
			return &known.sources[i];
	return NULL;
}

/* Remembers a source, in the place of one that has been for long where they are many. */
static void
remember(const Writable *source, const Tables *tables)
{
	known.tables = *tables;
	known.sources[known.next] = *source;
	known.n = Max(known.n, known.next + 1);
	known.next = (known.next + 1) % MAX_KNOWN;
}

/*
 * Looks source `id` up.  Returns whether there is one.
 *
 * Whatever is looked up can be out of date by the end, as each look takes in what
 * others have changed meanwhile: then all is looked up once more, as
 * RangeVarGetRelidExtended() does.  That what we remember was forgotten on the way does
 * not matter: with debug_discard_caches it always is.
 */
static bool
look_up(int32 id, Writable *source, Tables *tables)
{
	Tracking   *tracking;
	uint64		messages;

	do
	{
		messages = SharedInvalidMessageCounter;
		tables->sources = get_relname_relid("batchagg_sources", known.schema);
		tables->marks = get_relname_relid("batchagg_marks", known.schema);
		tracking = OidIsValid(tables->sources) && OidIsValid(tables->marks) ?
			source_of_id(tables->sources, id) : NULL;
		source->id = id;
		source->relid = source->locked = tracking ? relid_of(tracking->source) : InvalidOid;
	} while (messages != SharedInvalidMessageCounter);
	return tracking != NULL;
}

/* Source `id`, looked up where it is not remembered.  Returns whether there is one. */
static bool
find_writable(int32 id, Writable *source, Tables *tables)
{
	const Writable *before = remembered(id);

	if (before != NULL)
	{
		*source = *before;
		*tables = known.tables;
		return true;
	}
	register_callbacks();
	if (!look_up(id, source, tables))
		return false;
	remember(source, tables);
	return true;
}

static bool
is_locked(Oid relid)
{
	return OidIsValid(relid) && CheckRelationOidLockedByMe(relid, RowExclusiveLock, false);
}

/*
 * The tables that the last run knew to be leaves of the source: their oids begin the
 * tokens in batchagg_leaves.
 */
static List *
known_leaves(int32 id)
{
	Oid			relid = get_relname_relid("batchagg_leaves", known.schema);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	List	   *leaves = NIL;
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	ScanKeyInit(&key, LEAVES_SOURCE_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	rel = table_open(relid, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
		leaves = lappend_oid(leaves, atooid(text_or_null(tuple, RelationGetDescr(rel),
														 LEAVES_TOKEN)));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	UnregisterSnapshot(snapshot);
	return leaves;
}

/*
 * One of the source's tables that is locked for writing, of which there may be many;
 * InvalidOid if none is.
 */
static Oid
find_locked(int32 id, Oid relid)
{
	ListCell   *lc;

	if (OidIsValid(relid))
		foreach(lc, find_all_inheritors(relid, NoLock, NULL))
			if (is_locked(lfirst_oid(lc)))
				return lfirst_oid(lc);
	foreach(lc, known_leaves(id))
		if (is_locked(lfirst_oid(lc)))
			return lfirst_oid(lc);
	return InvalidOid;
}

/*
 * Is this transaction writing to source `id`, as far as locks tell?  `schema` is the
 * extension's.
 */
bool
tracking_writing(Oid schema, int32 id)
{
	Writable	source;
	Tables		tables;
	Writable   *before;
	Oid			locked;

	if (schema != known.schema)
		forget();
	known.schema = schema;
	if (!find_writable(id, &source, &tables))
		return false;
	if (is_locked(source.relid) || is_locked(source.locked))
		return true;

	/* Looking at tables may have us forget the source. */
	locked = find_locked(id, source.relid);
	before = remembered(id);
	if (before != NULL && OidIsValid(locked))
		before->locked = locked;
	return OidIsValid(locked);
}

/*
 * batchagg_marks, for the marks of a source of which tracking_writing() was true in
 * this transaction; InvalidOid where the source or the table has gone since.
 */
Oid
tracking_marks_relid(int32 id)
{
	Writable	source;
	Tables		tables;

	return find_writable(id, &source, &tables) ? tables.marks : InvalidOid;
}

/*
 * The name of source `id` in batchagg_sources, as of now; NULL where there is none.
 */
const char *
tracking_source_name(int32 id)
{
	Writable	source;
	Tables		tables;
	Tracking   *tracking;

	if (!find_writable(id, &source, &tables))
		return NULL;
	tracking = source_of_id(tables.sources, id);
	return tracking ? tracking->source : NULL;
}

/*
 * Has all sessions look up sources anew, once this transaction commits.
 */
void
tracking_changed(void)
{
	CacheInvalidateRelcacheByRelid(ext_relid("batchagg_sources"));
}
