/*-------------------------------------------------------------------------
 *
 * history.c
 *	  Results that outlive the rows they were computed from.
 *
 * Old rows of a source are deleted, or their partitions dropped, and a definition
 * says keep_history.  Nobody tells us which rows were dropped because they were
 * old and which were deleted because they were wrong.  The rule goes by what can
 * be seen, the stored results and the rows that are there:
 *
 *	 1. A group that has no rows keeps its results.
 *	 2. A group that has rows is what they come to, as anywhere else,
 *	 3. unless it was cut: it has fewer values than its results were computed from,
 *		and in the bucket before its entity has results that are kept, by rule 1
 *		or this one.  Then the end of what was dropped lies in this bucket, or late
 *		rows came to a time whose rows are gone; and it keeps its results.
 *	 4. A coarser group is made of the groups of the finer definition as these
 *		rules leave them: of those that are kept, and of those that have rows.
 *		The rules then hold for it as well.
 *
 * A group without results before comes to be in any case.
 *
 * The rule has no memory.  It does not ask when the source's oldest row was seen,
 * whether a run came while the source was empty, or which run came before another:
 * the same rows and results have the same outcome in all modes.  An odd row, however
 * old, matters to its own group only.
 *
 * The one thing that is remembered is the time of the oldest row ever met
 * (rows_from), for the first bucket of all, which has none before it: it counts as
 * cut where the oldest row is a later one than it was.
 *
 * Where the user says how long rows are there at least (source_retention), nothing
 * has to be guessed: in younger buckets groups without rows go, and others are what
 * their rows come to; in older ones rule 3 holds whatever is before.  The age is
 * counted from now, as it is by who drops the rows: a slot may be run late.
 *
 * Rule 4 needs the partial states of the finer groups, so these are stored with
 * the results in every mode.  What has none, because it was stored before or its
 * metrics have changed since, is given states that come to the stored results (see
 * state_restore()).  Percentiles and `distinct` have no states: of a job that asks
 * for them coarse groups are made of rows alone, and rules 1 to 3 hold for them.
 *
 * In a run that recomputes a part of the results only, the rows of the bucket before
 * are read as well, so that rule 3 sees what it would see in a run over all rows.
 * That group has not changed since it was stored: if it has fewer values, it is kept.
 * Rows are not added to stored states, for the same reason: where they are new, the
 * group is recomputed.
 *
 * When the definition gets another zone, filter, time or id, or these mean something else
 * though they are called the same, what is stored are no results of it any more.  What can
 * be made anew is: results go where there are rows of their bucket and entity, by the
 * time that they were computed by, or finer kept groups.  The others stay as
 * they are; if they are of other buckets than the definition has now, they feed the
 * coarser one that holds their start (`mixed`).
 *
 * What made groups of rows is stored with the layout, in two ways.  As it is said, by the
 * names of columns, it can be compared wherever it has been restored.  As it is meant, by
 * the numbers of columns and all that the filter refers to, it can be only in the place
 * where it was stored; then that decides.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "catalog/layout.h"
#include "catalog/meaning.h"
#include "catalog/store.h"
#include "engine/history.h"
#include "engine/refresh.h"
#include "engine/run.h"
#include "time/zone.h"

/*----------
 * Planning
 *----------
 */

/*
 * The bucket that rows were dropped from though it is the first: of the oldest row
 * that there is, if runs have met older ones in it; DT_NOBEGIN: none.  Notes the
 * oldest row.
 */
static TimestampTz
find_cut_bucket(Refresh *refresh)
{
	const Definition *definition = refresh->source->definition;
	TimestampTz oldest = source_row_time(refresh->source, false, DT_NOBEGIN);
	TimestampTz before = refresh->rows_from;
	TimestampTz bucket;

	refresh->rows_from = Min(oldest, before);
	if (oldest == DT_NOEND || before >= oldest)
		return DT_NOBEGIN;
	bucket = bucket_start(&definition->granularity, definition->tz, oldest);
	return before >= bucket ? bucket : DT_NOBEGIN;
}

/*
 * Finds out which results of a definition outlive their rows.
 */
void
history_plan(Refresh *refresh)
{
	const Definition *definition = refresh->source->definition;

	refresh->history_before = refresh->cut_bucket = DT_NOBEGIN;
	if (!definition->keep_history)
		return;
	refresh->history_before = DT_NOEND;
	refresh->rows_from = layouts_history(definition->id, refresh->source->name, &refresh->mixed);
	if (definition->source_retention == NULL)
		refresh->cut_bucket = find_cut_bucket(refresh);
	else
		refresh->history_before =
			bucket_end(&definition->granularity, definition->tz,
					   bucket_before(definition, GetCurrentTimestamp(),
									 definition->source_retention));
}

/*
 * Do the groups of the bucket before have to be computed as well, to know which
 * entities have values in it?
 */
bool
history_looks_back(const Rollup *rollup)
{
	return rollup->refresh->history_before == DT_NOEND;
}

/*----------
 * A changed definition
 *----------
 */

/* What made groups of a source's rows. */
typedef struct Meant
{
	uint64		said;			/* a hash: columns by name, zone and filter */
	uint64		place;			/* a hash: cluster, database and relation */
	uint64		exact;			/* a hash: columns by number, and what else is meant; 0: not known */
	uint64		id_name;		/* a hash */
	uint64		id_kind;		/* a hash: the type, if it is one of a kind that prints unlike others */
	uint64		id_digest;		/* of so many labels of an enum */
	uint64		name_digest;
	int			id_labels;
	int			name_labels;
	int			id_column;
	int			time_column;
	int			time_is_local;
	char		zone[TZ_STRLEN_MAX + 1];
} Meant;

static const char meant_format[] = UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " "
UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " %d %d %d %d %d %s";

static uint64
hash_text(const char *text)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text), 0);
}

/* The name of a source's column; of none it is empty. */
static const char *
column_name(const Source *source, AttrNumber column)
{
	return column == InvalidAttrNumber ? "" : get_attname(source->relid, column, false);
}

static Oid
column_type(const Source *source, AttrNumber column)
{
	return column == InvalidAttrNumber ? InvalidOid : getBaseType(get_atttype(source->relid, column));
}

/* Numbers print like numbers, and texts like texts; other types each in a way of its own. */
static const char *
print_kind(Oid type)
{
	char		category;
	bool		preferred;

	if (!OidIsValid(type))
		return "";
	get_type_category_preferred(type, &category, &preferred);
	return category == TYPCATEGORY_NUMERIC || category == TYPCATEGORY_STRING ?
		psprintf("%c", category) : format_type_be_qualified(type);
}

/*
 * A hash of all that decides which rows of a source are in which group, but for the
 * labels of ids and names.
 */
static uint64
exact_meaning(const Source *source, const Meant *meant)
{
	const Definition *definition = source->definition;
	StringInfoData text;
	OwnerScope	scope;
	Node	   *filter = source_filter(source);

	initStringInfo(&text);
	appendStringInfo(&text, "%d %d %d %d %d %d " UINT64_FORMAT " %s " UINT64_FORMAT "\n%s\n",
					 source->layout, source->id_column, source->time_column, source->name_column,
					 source->value_column, meant->time_is_local, meant->id_kind,
					 definition->timezone, zone_digest(definition->tz),
					 definition->filter ? definition->filter : "");
	if (filter != NULL)
	{
		owner_enter(&scope, definition->job, definition->timezone);
		meaning_append_filter(&text, filter);
		owner_leave(&scope);
	}
	return hash_text(text.data);
}

/* What makes groups of a source's rows now. */
static void
find_meant(const Source *source, Meant *meant)
{
	const Definition *definition = source->definition;
	Oid			id_type = column_type(source, source->id_column);

	memset(meant, 0, sizeof(Meant));
	meant->time_is_local = column_type(source, source->time_column) != TIMESTAMPTZOID;
	meant->id_name = hash_text(column_name(source, source->id_column));
	meant->id_kind = hash_text(print_kind(id_type));
	meant->id_labels = meant->name_labels = -1;
	meant->id_digest = meaning_labels(id_type, &meant->id_labels);
	meant->name_digest = meaning_labels(column_type(source, source->name_column),
										&meant->name_labels);
	meant->id_column = source->id_column;
	meant->time_column = source->time_column;
	strlcpy(meant->zone, definition->timezone, sizeof(meant->zone));
	meant->said = hash_text(psprintf("%d %s\n%s\n%s\n%s\n%d " UINT64_FORMAT " %s\n%s", source->layout,
									 column_name(source, source->id_column),
									 column_name(source, source->time_column),
									 column_name(source, source->name_column),
									 column_name(source, source->value_column),
									 meant->time_is_local, meant->id_kind, definition->timezone,
									 definition->filter ? definition->filter : ""));
	meant->place = hash_text(psprintf(UINT64_FORMAT " %u %u", GetSystemIdentifier(), MyDatabaseId,
									  source->relid));
	if (definition->keep_history)
		meant->exact = exact_meaning(source, meant);
}

/*
 * What makes groups of a source's rows, as a text to compare: results of another
 * meaning cannot stand beside those of a definition.
 */
char *
history_meaning(const Source *source)
{
	Meant		meant;

	find_meant(source, &meant);
	return psprintf(meant_format, meant.said, meant.place, meant.exact, meant.id_name, meant.id_kind,
					meant.id_digest, meant.name_digest, meant.id_labels, meant.name_labels,
					meant.id_column, meant.time_column, meant.time_is_local, meant.zone);
}

/* Reads such a text.  Returns false where it is of another form, of an older version. */
static bool
read_meant(const char *text, Meant *meant)
{
	StaticAssertStmt(TZ_STRLEN_MAX == 255, "a time zone's name is longer than what is read of it");
	return sscanf(text, UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " "
				  UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " %d %d %d %d %d %255s",
				  &meant->said, &meant->place, &meant->exact, &meant->id_name, &meant->id_kind,
				  &meant->id_digest, &meant->name_digest, &meant->id_labels, &meant->name_labels,
				  &meant->id_column, &meant->time_column, &meant->time_is_local, meant->zone) == 13;
}

/* Are labels of an enum called as they were?  There may be more. */
static bool
labels_are_same(const Source *source, AttrNumber column, int n, uint64 digest)
{
	return n == 0 || meaning_labels(column_type(source, column), &n) == digest;
}

/* Is what is meant now the same as before, but for ids? */
static bool
means_same(const Source *source, const Meant *before, const Meant *now)
{
	if (before->place != now->place || before->exact == 0 || now->exact == 0)
		return before->said == now->said;
	return before->exact == now->exact &&
		labels_are_same(source, source->name_column, before->name_labels, before->name_digest);
}

/* Were results of another meaning of the same entities? */
static bool
entities_are_same(const Source *source, const Meant *before, const Meant *now)
{
	if (before->id_kind != now->id_kind)
		return false;
	if (before->place != now->place)
		return before->id_name == now->id_name;
	return before->id_column == now->id_column &&
		labels_are_same(source, source->id_column, before->id_labels, before->id_digest);
}

/* An array of times. */
static Datum
time_array(const TimestampTz *times, int n)
{
	Datum	   *elements = palloc(n * sizeof(Datum));
	int			i;

	for (i = 0; i < n; i++)
		elements[i] = TimestampTzGetDatum(times[i]);
	return PointerGetDatum(construct_array(elements, n, TIMESTAMPTZOID, sizeof(TimestampTz),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* The layouts of a rollup's parts. */
static Datum
layout_array(const Rollup *rollup)
{
	List	   *ids = NIL;
	int			i;

	for (i = 0; i < rollup->nparts; i++)
		ids = lappend_int(ids, rollup->parts[i].layout->id);
	return store_int_array(ids);
}

/*
 * The buckets that a rollup has results of, and where each ends at the latest: where
 * the next one begins, or it is as long as any.  The zone that they were computed in
 * is not known any more.  Returns how many there are.
 */
static int
stored_buckets(const Rollup *rollup, TimestampTz **starts, TimestampTz **ends)
{
	Oid			types[] = {INT4ARRAYOID};
	Datum		values[] = {layout_array(rollup)};
	int64		length = granularity_length(&rollup->definition->granularity) * USECS_PER_MINUTE;
	List	   *rows = store_query(true,
								   psprintf("SELECT DISTINCT " STORE_MICROSECONDS("bucket")
											" FROM %s WHERE layout_id = ANY ($1) ORDER BY 1",
											store_table("batchagg_store")),
								   lengthof(types), types, values);
	int			n = list_length(rows);
	int			i;

	*starts = palloc(n * sizeof(TimestampTz));
	*ends = palloc(n * sizeof(TimestampTz));
	for (i = 0; i < n; i++)
		(*starts)[i] = pg_strtoint64(((char **) list_nth(rows, i))[0]);
	for (i = 0; i < n; i++)
		(*ends)[i] = i + 1 < n ? Min((*starts)[i + 1], (*starts)[i] + length) :
			(*starts)[i] + length;
	return n;
}

/*
 * The text by which a source's rows have their entities, as an expression; of all, NULL.
 */
static const char *
entity_text(const Source *source)
{
	const char *id;

	if (source->id_column == InvalidAttrNumber)
		return "NULL::text";
	id = quote_identifier(get_attname(source->relid, source->id_column, false));

	/* Blanks at the end of a char(n) are none of its text. */
	return column_type(source, source->id_column) == BPCHAROID ? psprintf("%s::text", id) :
		psprintf("format('%%s', %s)", id);
}

/*
 * The groups of n buckets that the source has rows of, whatever the filter, by a time
 * that is read in a zone, as ids are that have times: texts of bucket and entity.
 * Without by_entity the buckets alone, for all entities (NULL).
 */
static List *
groups_with_rows(const Source *source, const char *time, const char *zone, Datum starts, Datum ends,
				 bool by_entity)
{
	const Definition *definition = source->definition;
	Oid			types[] = {TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID};
	Datum		values[] = {starts, ends};
	const char *entity = by_entity ? entity_text(source) : "NULL::text";
	OwnerScope	scope;
	List	   *rows;

	owner_enter(&scope, definition->job, zone);
	rows = store_query(false,
					   psprintf("SELECT DISTINCT $1[i], id FROM (SELECT width_bucket(t, $1), t, id "
								"FROM (SELECT %s, %s FROM %s) AS r (t, id)) AS r (i, t, id) "
								"WHERE i > 0 AND t < $2[i]",
								time, entity, source->name),
					   lengthof(types), types, values);
	owner_leave(&scope);
	return rows;
}

/*
 * The time by which a source's rows were in groups before, as an expression; NULL: it was
 * the same as now, in the same zone, or is not there any more.
 */
static const char *
time_before(const Source *source, const Meant *before, const Meant *now)
{
	int			column = before->place == now->place ? before->time_column : now->time_column;
	Oid			type = get_atttype(source->relid, column);

	if (column == now->time_column && strcmp(before->zone, now->zone) == 0)
		return NULL;
	/* An update of the rules may have dropped the zone. */
	if (pg_tzset(before->zone) == NULL)
		return NULL;
	type = OidIsValid(type) ? getBaseType(type) : InvalidOid;
	if (type != TIMESTAMPTZOID && (!before->time_is_local || (type != TIMESTAMPOID && type != DATEOID)))
		return NULL;
	if (type == TIMESTAMPTZOID && before->time_is_local)
		return NULL;
	return psprintf("%s::timestamptz", quote_identifier(get_attname(source->relid, column, false)));
}

/* Deletes a rollup's results of these groups. */
static void
forget_groups(const Rollup *rollup, const List *groups)
{
	Oid			types[] = {INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	int			n = list_length(groups);
	Datum	   *buckets = palloc(n * sizeof(Datum));
	Datum	   *entities = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc0(n * sizeof(bool));
	Datum		values[3];
	int			lower = 1;
	ListCell   *lc;

	foreach(lc, groups)
	{
		char	  **row = lfirst(lc);
		int			i = foreach_current_index(lc);

		buckets[i] = CStringGetTextDatum(row[0]);
		nulls[i] = row[1] == NULL;
		entities[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(row[1]);
	}
	values[0] = layout_array(rollup);
	values[1] = PointerGetDatum(construct_array(buckets, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_md_array(entities, nulls, 1, &n, &lower, TEXTOID, -1,
												   false, TYPALIGN_INT));
	store_query(true,
				psprintf("DELETE FROM %s s USING unnest($2::timestamptz[], $3) AS g (b, id) "
						 "WHERE s.layout_id = ANY ($1) AND s.bucket = b "
						 "AND coalesce(id, s.entity_id) = s.entity_id",
						 store_table("batchagg_store")),
				lengthof(types), types, values);
}

/*
 * Deletes a rollup's results that finer stored groups make anew, of the same entity
 * or of any.
 */
static void
forget_above_finer(const Rollup *rollup, Datum starts, Datum ends, bool by_entity)
{
	Oid			types[] = {INT4ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID,
	BOOLOID};
	Datum		values[] = {
		layout_array(rollup), starts, ends, layout_array(rollup->finer), BoolGetDatum(by_entity)
	};
	char	   *store = store_table("batchagg_store");

	store_query(true,
				psprintf("DELETE FROM %s s USING unnest($2, $3) AS u (b, e) "
						 "WHERE s.layout_id = ANY ($1) AND s.bucket = b AND EXISTS (SELECT FROM %s f "
						 "WHERE f.layout_id = ANY ($4) AND f.bucket >= b AND f.bucket < e "
						 "AND (f.entity_id = s.entity_id OR NOT $5))",
						 store, store),
				lengthof(types), types, values);
}

/*
 * Deletes the results of a rollup whose definition had the meaning `text`, except
 * those of groups that cannot be made anew.  The finer ones come before.
 */
void
history_forget_replaced(const Rollup *rollup, const char *text)
{
	const Source *source = rollup->source;
	Meant		before;
	Meant		now;
	bool		by_entity;
	const char *time;
	TimestampTz *starts;
	TimestampTz *ends;
	Datum		from;
	Datum		to;
	int			n;

	if (!read_meant(text, &before))
		return;
	find_meant(source, &now);
	by_entity = entities_are_same(source, &before, &now);
	if (by_entity && means_same(source, &before, &now))
		return;
	n = stored_buckets(rollup, &starts, &ends);
	if (n == 0)
		return;
	from = time_array(starts, n);
	to = time_array(ends, n);
	rollup->refresh->mixed = true;
	if (rollup->finer != NULL && rollup_stores_history(rollup->finer))
		forget_above_finer(rollup, from, to, by_entity);
	time = time_before(source, &before, &now);
	if (time != NULL)
		forget_groups(rollup, groups_with_rows(source, time, before.zone, from, to, by_entity));
	forget_groups(rollup, groups_with_rows(source, source_time(source),
										   rollup->definition->timezone, from, to, by_entity));
}

/*----------
 * Presence
 *----------
 */

/* A group with rows, of an entity. */
typedef struct EntityGroup
{
	TimestampTz bucket;			/* DT_NOBEGIN: there is none */
	int64		count;			/* of values */
	bool		stored;			/* this run has stored it, or */
	bool		kept;			/* has kept what was */
} EntityGroup;

/* The last two groups of an entity, which is known by a hash of its text. */
typedef struct EntityPresence
{
	uint64		hash;
	char		status;			/* of the hash table */
	EntityGroup last;
	EntityGroup before;
} EntityPresence;

#define SH_PREFIX entities
#define SH_ELEMENT_TYPE EntityPresence
#define SH_KEY_TYPE uint64
#define SH_KEY hash
#define SH_HASH_KEY(table, key) ((uint32) ((key) ^ ((key) >> 32)))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct Presence
{
	const Definition *definition;
	entities_hash *entities;
	EntityPresence *noted;		/* the entity of the last group, until the next one */
};

/*
 * No groups, in the current memory context.
 */
Presence *
presence_create(const Definition *definition)
{
	Presence   *presence = palloc0(sizeof(Presence));

	presence->definition = definition;
	presence->entities = entities_create(CurrentMemoryContext, 256, NULL);
	return presence;
}

/*
 * Notes that a group has rows, with so many values.  They come in the order of their
 * buckets.
 */
void
presence_note(Presence *presence, const GroupOut *group, int64 count)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) group->entity,
										   group->entity_length, 0);
	bool		found;
	EntityPresence *entity = entities_insert(presence->entities, hash, &found);

	if (!found)
		entity->last.bucket = DT_NOBEGIN;
	entity->before = entity->last;
	entity->last = (EntityGroup) {.bucket = group->bucket,.count = count};
	presence->noted = entity;
}

/*
 * Notes that the group which was noted last has been stored, or was kept.
 */
void
presence_settle(Presence *presence, bool kept)
{
	presence->noted->last.stored = true;
	presence->noted->last.kept = kept;
}

/*
 * Are the results of the bucket before kept, of the entity of the group that was noted
 * last?  They were computed from so many values.
 */
bool
presence_keeps_before(const Presence *presence, int64 stored_count)
{
	const Definition *definition = presence->definition;
	const EntityGroup *before = &presence->noted->before;

	if (before->bucket == DT_NOBEGIN ||
		before->bucket != bucket_start(&definition->granularity, definition->tz,
									   presence->noted->last.bucket - 1))
		return true;
	return before->stored ? before->kept : before->count < stored_count;
}
