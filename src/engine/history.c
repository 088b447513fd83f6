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
 *		and its entity has no rows in the bucket before, of which it has results.
 *		Then the end of what was dropped lies in this bucket, or late rows came
 *		to a time whose rows are gone; and it keeps its results.
 *	 4. A coarser group is made of the groups of the finer definition as these
 *		rules leave them: of those that are kept, and of those that have rows.
 *		The rules then hold for it as well.
 *
 * A group without results before comes to be in any case.
 *
 * The rule has no memory.  It does not ask when the source's oldest row was seen,
 * whether a run came while the source was empty, or which run came before another:
 * the same rows and results have the same outcome in all modes.  An odd row, however
 * old, matters to its own group and to the next one only.
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
 * Rows are not added to stored states, for the same reason: where they are new, the
 * group is recomputed.
 *
 * When the definition gets another zone, filter or id, what is stored are no
 * results of it any more.  What can be made anew is: results go from the buckets
 * in which there are rows, or that finer kept groups lie in.  The others stay as
 * they are; if they are of other buckets than the definition has now, they feed the
 * coarser one that holds their start (`mixed`).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "catalog/layout.h"
#include "catalog/store.h"
#include "engine/history.h"
#include "engine/run.h"

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
	TimestampTz oldest = source_row_time(refresh->source, false);
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
 * entities have rows in it?  Where they are made of finer ones that are all stored,
 * the store tells.
 */
bool
history_looks_back(const Rollup *rollup)
{
	return rollup->refresh->history_before == DT_NOEND &&
		(!rollup_is_of_history(rollup) || rollup->finer->refresh->retained_from != DT_NOBEGIN);
}

/*----------
 * A changed definition
 *----------
 */

/*
 * What makes groups of a source's rows, as a text to compare: results of another
 * meaning cannot stand beside those of a definition.
 */
char *
history_meaning(const Source *source)
{
	const Definition *definition = source->definition;
	char	   *text = psprintf("%d %d %d %d %d %s\n%s", source->layout, source->id_column,
								source->time_column, source->name_column, source->value_column,
								definition->timezone, definition->filter ? definition->filter : "");

	return psprintf(UINT64_FORMAT,
					hash_bytes_extended((const unsigned char *) text, strlen(text), 0));
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

/* Those of n buckets in which the source has rows: sets *found, returns how many. */
static int
buckets_with_rows(const Source *source, const TimestampTz *starts, const TimestampTz *ends, int n,
				  TimestampTz *found)
{
	const Definition *definition = source->definition;
	Oid			types[] = {TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID};
	Datum		values[] = {time_array(starts, n), time_array(ends, n)};
	OwnerScope	scope;
	List	   *rows;
	ListCell   *lc;
	int			nfound = 0;

	owner_enter(&scope, definition->job, definition->timezone);
	rows = store_query(false,
					   psprintf("SELECT " STORE_MICROSECONDS("b") " FROM unnest($1, $2) AS u (b, e) "
								"WHERE EXISTS (SELECT FROM %s WHERE %s >= b AND %s < e)",
								source->name, source_time(source), source_time(source)),
					   lengthof(types), types, values);
	owner_leave(&scope);
	foreach(lc, rows)
		found[nfound++] = pg_strtoint64(((char **) lfirst(lc))[0]);
	return nfound;
}

/* Deletes a rollup's results of the buckets that stored finer groups lie in. */
static void
forget_above_finer(const Rollup *rollup, const TimestampTz *starts, const TimestampTz *ends, int n)
{
	Oid			types[] = {INT4ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID};
	Datum		values[] = {
		layout_array(rollup),
		time_array(starts, n),
		time_array(ends, n),
		layout_array(rollup->finer)
	};
	char	   *store = store_table("batchagg_store");

	store_query(true,
				psprintf("DELETE FROM %s s USING unnest($2, $3) AS u (b, e) "
						 "WHERE s.layout_id = ANY ($1) AND s.bucket = b AND EXISTS (SELECT FROM %s f "
						 "WHERE f.layout_id = ANY ($4) AND f.bucket >= b AND f.bucket < e)",
						 store, store),
				lengthof(types), types, values);
}

/*
 * Deletes the results of a rollup whose definition's meaning has changed, but for
 * the buckets of which nothing can be made anew.  The finer ones come before.
 */
void
history_forget_replaced(const Rollup *rollup)
{
	Oid			types[] = {INT4ARRAYOID, TIMESTAMPTZARRAYOID};
	Datum		values[2];
	TimestampTz *starts;
	TimestampTz *ends;
	TimestampTz *found;
	int			n = stored_buckets(rollup, &starts, &ends);

	if (n == 0)
		return;
	rollup->refresh->mixed = true;
	if (rollup_is_of_history(rollup))
		forget_above_finer(rollup, starts, ends, n);
	found = palloc(n * sizeof(TimestampTz));
	values[0] = layout_array(rollup);
	values[1] = time_array(found, buckets_with_rows(rollup->source, starts, ends, n, found));
	store_query(true,
				psprintf("DELETE FROM %s WHERE layout_id = ANY ($1) AND bucket = ANY ($2)",
						 store_table("batchagg_store")),
				lengthof(types), types, values);
}

/*----------
 * Presence
 *----------
 */

/* An entity, by a hash of its text, and the last two buckets that it has rows in. */
typedef struct EntityPresence
{
	uint64		hash;
	char		status;			/* of the hash table */
	TimestampTz last;
	TimestampTz before;
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
};

static uint64
entity_hash(const GroupOut *group)
{
	return hash_bytes_extended((const unsigned char *) group->entity, group->entity_length, 0);
}

/*
 * No entity, in the current memory context.
 */
Presence *
presence_create(const Definition *definition)
{
	Presence   *presence = palloc(sizeof(Presence));

	presence->definition = definition;
	presence->entities = entities_create(CurrentMemoryContext, 256, NULL);
	return presence;
}

/*
 * Notes that a group has rows.  They come in the order of their buckets.
 */
void
presence_note(Presence *presence, const GroupOut *group)
{
	bool		found;
	EntityPresence *entity = entities_insert(presence->entities, entity_hash(group), &found);

	entity->before = found ? entity->last : DT_NOBEGIN;
	entity->last = group->bucket;
}

/*
 * Does the entity of a group, which has been noted last, have rows in the bucket
 * before?
 */
bool
presence_before(const Presence *presence, const GroupOut *group)
{
	const Definition *definition = presence->definition;
	const EntityPresence *entity = entities_lookup(presence->entities, entity_hash(group));

	return entity != NULL &&
		entity->before == bucket_start(&definition->granularity, definition->tz,
									   group->bucket - 1);
}
