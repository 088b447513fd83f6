/*-------------------------------------------------------------------------
 *
 * wanted.c
 *	  Which of the rows that a scan meets its rollups want.
 *
 * A scan that reads a few ranges of time meets rows that no rollup needs: those
 * in filled gaps between ranges, and those of other entities than the ones
 * whose groups are recomputed.  They are told from the others by what is read for
 * the rollup that is fed from the rows and for those that are fed from its
 * groups, before anything else is done with them.
 *
 * Rows come more or less in the order of time, so what is found out about a
 * bucket is kept until the next one comes.  Where only some entities of it are
 * wanted, their ids are looked for in a set of hashes.  Rows of an id that has
 * the hash of another are let through: they make groups that are not stored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "group/mix.h"
#include "read/wanted.h"

/* What is wanted of a bucket. */
typedef enum BucketWanted
{
	WANT_NONE,
	WANT_SOME,					/* of some entities */
	WANT_ALL
} BucketWanted;

struct Wanted
{
	const Extents *extents;
	BucketCache *buckets;		/* of the rollup */
	List	   *coarser;		/* of Wanted: of the rollups fed from this one */

	TimestampTz bucket;			/* the last one looked at */
	BucketWanted fate;			/* what is wanted of it */

	bool		by_value;		/* of the type of ids, which is that of all rollups */
	int16		length;			/* fed from the same rows */
	uint64	   *keys;			/* hashes of (bucket, id), open addressing; 0: free */
	uint64		mask;
};

/*
 * The hash of an id, of a type that marks can name.
 */
static uint64
id_hash(const Wanted *wanted, Datum id)
{
	if (wanted->by_value)
		return mix64((uint64) id + 1);
	if (wanted->length > 0)
		return hash_bytes_extended((unsigned char *) DatumGetPointer(id), wanted->length, 0);
	id = PointerGetDatum(PG_DETOAST_DATUM_PACKED(id));
	return hash_bytes_extended((unsigned char *) VARDATA_ANY(DatumGetPointer(id)),
							   VARSIZE_ANY_EXHDR(DatumGetPointer(id)), 0);
}

static inline uint64
key_hash(TimestampTz bucket, uint64 hash)
{
	return mix64((uint64) bucket ^ hash) | 1;
}

static bool
keys_have(const Wanted *wanted, uint64 key)
{
	uint64		at;

	for (at = key >> 1;; at++)
	{
		uint64		slot = wanted->keys[at & wanted->mask];

		if (slot == key)
			return true;
		if (slot == 0)
			return false;
	}
}

static void
keys_add(Wanted *wanted, uint64 key)
{
	uint64		at = key >> 1;

	while (wanted->keys[at & wanted->mask] != 0)
		at++;
	wanted->keys[at & wanted->mask] = key;
}

/* Enters the groups of single entities into the set. */
static void
keys_fill(Wanted *wanted, const Source *source)
{
	const Extents *extents = wanted->extents;
	uint64		size = 64;
	int			i;

	while (size < (uint64) extents->nentities * 4)
		size *= 2;
	wanted->keys = palloc0(size * sizeof(uint64));
	wanted->mask = size - 1;
	for (i = 0; i < extents->n; i++)
	{
		const Extent *extent = &extents->items[i];

		if (extent->entity != NULL)
			keys_add(wanted,
					 key_hash(extent->from,
							  id_hash(wanted, source_id_from_text(source, extent->entity,
																  extent->entity_length))));
	}
}

/*
 * What is wanted of a scan's rows by a rollup and those fed from it; NULL: all
 * rows are.
 */
Wanted *
wanted_create(const Rollup *rollup)
{
	Wanted	   *wanted = palloc0(sizeof(Wanted));
	ListCell   *lc;

	if (rollup->adds || extents_are_everything(rollup->reads))
		return NULL;
	foreach(lc, rollup->coarser)
	{
		Wanted	   *coarser = wanted_create(lfirst(lc));

		if (coarser == NULL)
			return NULL;
		wanted->coarser = lappend(wanted->coarser, coarser);
	}
	wanted->extents = rollup->reads;
	wanted->buckets = rollup->buckets;
	wanted->bucket = DT_NOBEGIN;

	/* Rows' ids are looked for in the keys of the coarser ones, too, so even without own keys. */
	if (rollup->source->id_column != InvalidAttrNumber)
		get_typlenbyval(getBaseType(get_atttype(rollup->source->relid, rollup->source->id_column)),
						&wanted->length, &wanted->by_value);
	if (wanted->extents->nentities > 0)
		keys_fill(wanted, rollup->source);
	return wanted;
}

/* Finds out what is wanted of a bucket. */
static BucketWanted
look_at_bucket(Wanted *wanted, TimestampTz bucket)
{
	const Extent *extent = extents_find(wanted->extents, bucket);
	ListCell   *lc;

	wanted->bucket = bucket;
	wanted->fate = extent == NULL ? WANT_NONE : (extent->entity != NULL ? WANT_SOME : WANT_ALL);
	foreach(lc, wanted->coarser)
	{
		Wanted	   *coarser = lfirst(lc);
		BucketWanted fate = look_at_bucket(coarser, bucket_cache_start(coarser->buckets, bucket));

		wanted->fate = Max(wanted->fate, fate);
	}
	return wanted->fate;
}

/* Is an id's group wanted, of the bucket that was looked at last? */
static bool
id_wanted(const Wanted *wanted, uint64 hash)
{
	ListCell   *lc;

	if (wanted->keys != NULL && keys_have(wanted, key_hash(wanted->bucket, hash)))
		return true;
	foreach(lc, wanted->coarser)
		if (id_wanted(lfirst(lc), hash))
			return true;
	return false;
}

/*
 * Is a row of this bucket and id wanted?  Rows that are not may be let through.
 */
bool
wanted_row(Wanted *wanted, TimestampTz bucket, Datum id)
{
	if (bucket != wanted->bucket)
		look_at_bucket(wanted, bucket);
	if (wanted->fate != WANT_SOME)
		return wanted->fate == WANT_ALL;
	return id_wanted(wanted, id_hash(wanted, id));
}
