/*-------------------------------------------------------------------------
 *
 * late.c
 *	  What came late to results that were stored while their source was read.
 *
 * The buckets of a rollup whose groups leave early (early.c) are kept account of by
 * pieces, each of some thousand groups: if one bucket was late, all of its piece is
 * recomputed, and what the piece has come to is taken back from the run's figures
 * first.  The results of coarser rollups are late where those of the finer ones are
 * that feed them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/late.h"

/* Groups of a piece at least. */
#define MIN_PIECE_GROUPS 4096

/* A stretch of buckets of a rollup, and what it had come to before. */
typedef struct Piece
{
	TimestampTz from;			/* to the next one's; the first's is -infinity */
	WriteCounts before;
	bool		late;			/* rows came when groups had left */
} Piece;

struct Late
{
	Piece	   *pieces;			/* in the order of time, all time together */
	int			npieces;
	int			size;			/* room in pieces */
	TimestampTz last;			/* the bucket stored last */
};

/*
 * An account of nothing stored yet, in the current memory context.
 */
Late *
late_create(void)
{
	Late	   *late = palloc0(sizeof(Late));

	late->size = 16;
	late->pieces = palloc(late->size * sizeof(Piece));
	late->last = DT_NOBEGIN;
	return late;
}

/* The end of a piece. */
static TimestampTz
piece_end(const Late *late, const Piece *piece)
{
	return piece + 1 < late->pieces + late->npieces ? (piece + 1)->from : DT_NOEND;
}

/* The last piece that begins no later than this, of at least one. */
static int
find_piece(const Late *late, TimestampTz from)
{
	int			low = 0;
	int			high = late->npieces;

	while (high - low > 1)
	{
		int			middle = low + (high - low) / 2;

		if (late->pieces[middle].from <= from)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* All pieces are late that have any of the time from `from` to `to`. */
static void
mark_pieces(Late *late, TimestampTz from, TimestampTz to)
{
	int			low = find_piece(late, from);

	for (; low < late->npieces && late->pieces[low].from < to; low++)
		late->pieces[low].late = true;
}

/*
 * Rows were late for buckets from `first` to `last`, those included; for none if `last`
 * is before `first`.
 */
void
late_add(Late *late, TimestampTz first, TimestampTz last)
{
	if (first <= last)
		mark_pieces(late, first, last + 1);
}

static void
add_piece(Late *late, TimestampTz from, const WriteCounts *before)
{
	Piece	   *piece;

	if (late->npieces == late->size)
	{
		late->size *= 2;
		late->pieces = repalloc(late->pieces, late->size * sizeof(Piece));
	}
	piece = &late->pieces[late->npieces++];
	piece->from = from;
	piece->before = *before;
	piece->late = false;
}

/*
 * To be called before a group of this bucket is stored; *counts is what the rollup
 * has come to so far.
 */
void
late_store(Rollup *rollup, TimestampTz bucket, const WriteCounts *counts)
{
	const Definition *definition = rollup->definition;
	Late	   *late = rollup->late;

	if (late->npieces == 0)
		add_piece(late, DT_NOBEGIN, counts);
	else if (bucket != late->last && counts->groups >=
			 late->pieces[late->npieces - 1].before.groups + MIN_PIECE_GROUPS)
		add_piece(late, bucket_end(&definition->granularity, definition->tz, late->last),
				  counts);
	late->last = bucket;
}

/*
 * Have rows been late for this bucket, or for one that is recomputed together with it?
 */
bool
late_has(const Late *late, TimestampTz bucket)
{
	return late->npieces > 0 && late->pieces[find_piece(late, bucket)].late;
}

/* The late pieces of a rollup; NULL: there are none. */
static Extents *
late_extents(const Late *late)
{
	Extents    *extents = extents_create();
	int			i;

	for (i = 0; i < late->npieces; i++)
	{
		const Piece *piece = &late->pieces[i];

		if (piece->late)
			extents_add(extents, piece->from, piece_end(late, piece), NULL, 0);
	}
	extents_finish(extents);
	return extents->n > 0 ? extents : NULL;
}

/*
 * Makes what has any of the finer rollup's late buckets late as well.
 */
static void
spread_lateness(const Rollup *coarse, const Extents *finer)
{
	int			i;

	for (i = 0; i < finer->n; i++)
	{
		const Extent *extent = &finer->items[i];

		mark_pieces(coarse->late, extent->from == DT_NOBEGIN ? DT_NOBEGIN :
					bucket_cache_start(coarse->buckets, extent->from), extent->to);
	}
}

/*
 * What has to be recomputed of a scan's results, now that they are stored, since
 * rows of theirs were late: a list of Refresh.
 */
List *
late_refreshes(const SourceScan *scan)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		const Rollup *rollup = lfirst(lc);
		Extents    *extents;
		Refresh    *refresh;
		ListCell   *lc2;

		if (rollup->late == NULL || (extents = late_extents(rollup->late)) == NULL)
			continue;
		foreach(lc2, rollup->coarser)
			spread_lateness(lfirst(lc2), extents);
		refresh = palloc(sizeof(Refresh));
		*refresh = *rollup->refresh;
		refresh->extents = extents;
		result = lappend(result, refresh);
	}
	return result;
}

/*
 * What the late pieces of a rollup have come to, which has come to *counts in all.
 */
WriteCounts
late_counts(const Late *late, const WriteCounts *counts)
{
	WriteCounts result = {.first_bucket = DT_NOEND};
	int			i;

	for (i = 0; i < late->npieces; i++)
	{
		const WriteCounts *before = &late->pieces[i].before;
		const WriteCounts *after = i + 1 < late->npieces ? &late->pieces[i + 1].before : counts;

		if (!late->pieces[i].late)
			continue;
		result.groups += after->groups - before->groups;
		result.results += after->results - before->results;
		result.changed += after->changed - before->changed;
	}
	return result;
}
