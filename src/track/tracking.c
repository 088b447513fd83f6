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
 * the schema of the function that he has called, and needs no rights on them.
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
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog/names.h"
#include "catalog/store.h"
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
	return find_source(store_relid("batchagg_sources"), GetActiveSnapshot(), &key);
}

/*----------
 * What a session remembers for its writers
 *----------
 */

typedef struct Writable
{
	int32		id;
	Oid			relid;			/* InvalidOid: there is no table of that name */
	Oid			locked;			/* or one of its partitions, locked the last time */
} Writable;

static struct
{
	Oid			schema;			/* the extension's */
	Oid			sources_relid;	/* InvalidOid: not known */
	Oid			marks_relid;
	HTAB	   *sources;		/* of Writable */
	uint64		changes;		/* how often all was forgotten */
	bool		registered;
} known;

static void
forget(void)
{
	if (known.sources != NULL)
		hash_destroy(known.sources);
	known.sources = NULL;
	known.sources_relid = known.marks_relid = InvalidOid;
	known.changes++;
}

/* A relation was changed: is it one of ours, or a source? */
static void
relation_changed(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS i;
	Writable   *source;
	bool		matters = !OidIsValid(relid) || relid == known.sources_relid ||
		relid == known.marks_relid;

	if (known.sources != NULL)
	{
		hash_seq_init(&i, known.sources);
		while ((source = hash_seq_search(&i)) != NULL)
			matters |= source->relid == relid;
	}
	if (matters)
		forget();
}

static void
schema_changed(Datum arg, int cache, uint32 hash)
{
	forget();
}

/* Looks up our tables, where they are not known.  Returns whether they are there. */
static bool
know_tables(void)
{
	if (!known.registered)
	{
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
		known.registered = true;
	}
	while (!OidIsValid(known.sources_relid) || !OidIsValid(known.marks_relid))
	{
		uint64		changes = known.changes;
		Oid			sources = get_relname_relid("batchagg_sources", known.schema);
		Oid			marks = get_relname_relid("batchagg_marks", known.schema);

		/* Looking one up may have us forget what we know of the other. */
		if (changes != known.changes)
			continue;
		if (!OidIsValid(sources) || !OidIsValid(marks))
			return false;
		known.sources_relid = sources;
		known.marks_relid = marks;
	}
	return true;
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

static Writable *
know_source(int32 id, Oid relid)
{
	HASHCTL		control = {.keysize = sizeof(int32),.entrysize = sizeof(Writable)};
	Writable   *source;

	if (known.sources == NULL)
		known.sources = hash_create("batchagg tracked sources", 16, &control,
									HASH_ELEM | HASH_BLOBS);
	source = hash_search(known.sources, &id, HASH_ENTER, NULL);
	source->relid = source->locked = relid;
	return source;
}

/* Source `id`, looked up where it is not known; NULL where there is none. */
static Writable *
find_writable(int32 id)
{
	Writable   *source;
	Tracking   *tracking;
	Snapshot	snapshot;
	ScanKeyData key;
	uint64		changes;
	Oid			relid;

	source = known.sources ? hash_search(known.sources, &id, HASH_FIND, NULL) : NULL;
	if (source != NULL)
		return source;

	/* What is looked up may be out of date by the end: then once more. */
	ScanKeyInit(&key, SOURCES_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	do
	{
		if (!know_tables())
			return NULL;
		changes = known.changes;
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		tracking = find_source(known.sources_relid, snapshot, &key);
		UnregisterSnapshot(snapshot);
		relid = tracking ? relid_of(tracking->source) : InvalidOid;
	} while (changes != known.changes);
	return tracking ? know_source(id, relid) : NULL;
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
	Writable   *source;
	Oid			locked;

	if (schema != known.schema)
		forget();
	known.schema = schema;
	source = find_writable(id);
	if (source == NULL || is_locked(source->relid) || is_locked(source->locked))
		return source != NULL;

	/* Looking at tables may have us forget the source. */
	locked = find_locked(id, source->relid);
	source = find_writable(id);
	if (source != NULL && OidIsValid(locked))
		source->locked = locked;
	return OidIsValid(locked);
}

/*
 * batchagg_marks, for the marks of a source of which tracking_writing() was true in
 * this transaction; InvalidOid where the source or the table has gone since.
 */
Oid
tracking_marks_relid(int32 id)
{
	return find_writable(id) && know_tables() ? known.marks_relid : InvalidOid;
}

/*
 * Has all sessions look up sources anew, once this transaction commits.
 */
void
tracking_changed(void)
{
	CacheInvalidateRelcacheByRelid(store_relid("batchagg_sources"));
}
