/*-------------------------------------------------------------------------
 *
 * bulk.c
 *	  The values of a group that are too many for the memory, sorted in a file.
 *
 * Percentiles and distinct values are exact, so all values of a group are kept,
 * and one group may have more of them than the budget has room for.  They are
 * gathered in an array; when that is full, it is sorted and written to a
 * temporary file as a segment.  When all values are there, segments are merged,
 * as many at once as there is memory for, into new ones at the end of the file,
 * until one is left.  Any percentile is then a matter of reading one place or
 * two, and distinct values of reading it through.
 *
 * Each value takes eight bytes here, in memory and in the file, where it is written
 * twice as a rule: in its segment, and when the segments are merged.  The same
 * memory is the array first and the buffers of the merge afterwards.
 *
 * A file has the values of several metrics, one after the other, as long as they
 * are asked for; then it is used again from its beginning.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

#include "group/bulk.h"

/* Values that are read or written at once, at least: a block of the file. */
#define PIECE (BLCKSZ / sizeof(double))

/* Memory for less is not worth it: seven segments merged at once. */
#define MIN_ROOM (8 * PIECE)

/* Sorted values in the file. */
typedef struct Segment
{
	uint64		from;
	uint64		n;
} Segment;

/* A segment being merged, and a piece of it in memory. */
typedef struct SegmentReader
{
	Segment		left;			/* behind the piece */
	double	   *piece;
	uint32		n;				/* values in the piece */
	uint32		at;				/* of which this is the next */
} SegmentReader;

struct Bulk
{
	BufFile    *file;
	uint64		end;			/* values in the file */
	ValueArray *gathered;		/* values that are not there yet */

	Segment    *segments;		/* of values that have not been merged yet */
	int			nsegments;
	int			size;			/* room for as many segments */

	MemoryContext results;		/* what is given out until bulk_clear() */

	uint64		piece_from;		/* what has been read last of the results */
	uint32		piece_n;
	double		piece[PIECE];
};

/* What is given out: a segment that has all values. */
typedef struct BulkValues
{
	SortedValues values;
	Bulk	   *bulk;
	uint64		from;
} BulkValues;

/*
 * Creates a place for values, in the current context, that takes about `memory`
 * bytes.  It has to be freed before the context is, as it has a file.
 */
Bulk *
bulk_create(Size memory)
{
	Bulk	   *bulk = palloc0(sizeof(Bulk));

	bulk->results = AllocSetContextCreate(CurrentMemoryContext, "batchagg sorted values",
										  ALLOCSET_SMALL_SIZES);
	bulk->file = BufFileCreateTemp(false);
	bulk->gathered = value_array_create(Max(MIN_ROOM, memory / sizeof(double)), true,
										CurrentMemoryContext);
	bulk->size = 16;
	bulk->segments = palloc(bulk->size * sizeof(Segment));
	return bulk;
}

/* Frees it, and its file. */
void
bulk_free(Bulk *bulk)
{
	BufFileClose(bulk->file);
	MemoryContextDelete(bulk->results);
	pfree(bulk->gathered);
	pfree(bulk->segments);
	pfree(bulk);
}

/* Forgets the values in memory, and what was found out about their order. */
static void
forget_gathered(Bulk *bulk)
{
	bulk->gathered->used = 0;
	bulk->gathered->ordered = 0;
}

/* Forgets all values. */
void
bulk_clear(Bulk *bulk)
{
	MemoryContextReset(bulk->results);
	forget_gathered(bulk);
	bulk->nsegments = 0;
	bulk->end = 0;
	bulk->piece_n = 0;
}

static void
file_seek(const Bulk *bulk, uint64 place)
{
	if (BufFileSeek(bulk->file, 0, place * sizeof(double), SEEK_SET) != 0)
		elog(ERROR, "could not seek in temporary file");
}

/* Writes values behind all others. */
static void
file_append(Bulk *bulk, double *values, uint32 n)
{
	file_seek(bulk, bulk->end);
	BufFileWrite(bulk->file, values, n * sizeof(double));
	bulk->end += n;
}

static void
file_read(const Bulk *bulk, uint64 from, double *values, uint32 n)
{
	file_seek(bulk, from);
	if (BufFileRead(bulk->file, values, n * sizeof(double)) != n * sizeof(double))
		elog(ERROR, "unexpected end of temporary file");
}

/* Notes that what has been written since place `from` is a segment. */
static void
add_segment(Bulk *bulk, uint64 from)
{
	if (bulk->nsegments == bulk->size)
	{
		bulk->size *= 2;
		bulk->segments = repalloc(bulk->segments, bulk->size * sizeof(Segment));
	}
	bulk->segments[bulk->nsegments++] = (Segment) {from, bulk->end - from};
}

/* Makes a segment of the values that are in memory. */
static void
write_gathered(Bulk *bulk)
{
	uint64		from = bulk->end;

	value_array_sort(bulk->gathered);
	file_append(bulk, bulk->gathered->values, bulk->gathered->used);
	forget_gathered(bulk);
	add_segment(bulk, from);
}

/*
 * Adds values, which are wide or not, to those that bulk_sort() will sort.
 */
void
bulk_add(Bulk *bulk, const void *values, bool wide, uint32 n)
{
	ValueArray *gathered = bulk->gathered;
	const char *next = values;

	while (n > 0)
	{
		uint32		fitting = Min(n, gathered->size - gathered->used);

		CHECK_FOR_INTERRUPTS();
		(void) value_array_append(gathered, next, wide, fitting, NULL);
		next += fitting * value_size(wide);
		n -= fitting;
		if (gathered->used == gathered->size)
			write_gathered(bulk);
	}
}

/* Reads the next piece of a segment, of up to `room` values.  False at its end. */
static bool
segment_read(const Bulk *bulk, SegmentReader *reader, uint32 room)
{
	reader->n = Min(room, reader->left.n);
	reader->at = 0;
	if (reader->n == 0)
		return false;
	file_read(bulk, reader->left.from, reader->piece, reader->n);
	reader->left.from += reader->n;
	reader->left.n -= reader->n;
	return true;
}

/* The binary heap is a max-heap: the segment with the lowest value counts highest. */
static int
segment_compare(Datum a, Datum b, void *arg)
{
	const SegmentReader *left = (SegmentReader *) DatumGetPointer(a);
	const SegmentReader *right = (SegmentReader *) DatumGetPointer(b);

	return float8_compare(right->piece[right->at], left->piece[left->at]);
}

/* Puts the first `n` segments into a heap, each with a piece of the memory. */
static binaryheap *
open_segments(Bulk *bulk, int n, SegmentReader *readers, uint32 room)
{
	binaryheap *heap = binaryheap_allocate(n, segment_compare, NULL);
	int			i;

	for (i = 0; i < n; i++)
	{
		readers[i].left = bulk->segments[i];
		readers[i].piece = bulk->gathered->values + i * room;
		(void) segment_read(bulk, &readers[i], room);
		binaryheap_add_unordered(heap, PointerGetDatum(&readers[i]));
	}
	binaryheap_build(heap);
	return heap;
}

/* Merges the first `n` segments into one behind all others. */
static void
merge_segments(Bulk *bulk, int n)
{
	uint32		room = bulk->gathered->size / (n + 1);
	SegmentReader *readers = palloc(n * sizeof(SegmentReader));
	binaryheap *heap = open_segments(bulk, n, readers, room);
	double	   *merged = bulk->gathered->values + n * room;
	uint32		nmerged = 0;
	uint64		from = bulk->end;

	while (!binaryheap_empty(heap))
	{
		SegmentReader *reader = (SegmentReader *) DatumGetPointer(binaryheap_first(heap));

		CHECK_FOR_INTERRUPTS();
		merged[nmerged++] = reader->piece[reader->at++];
		if (reader->at < reader->n || segment_read(bulk, reader, room))
			binaryheap_replace_first(heap, PointerGetDatum(reader));
		else
			(void) binaryheap_remove_first(heap);
		if (nmerged == room || binaryheap_empty(heap))
		{
			file_append(bulk, merged, nmerged);
			nmerged = 0;
		}
	}
	binaryheap_free(heap);
	pfree(readers);

	bulk->nsegments -= n;
	memmove(bulk->segments, bulk->segments + n, bulk->nsegments * sizeof(Segment));
	add_segment(bulk, from);
}

/* The value at a place of what was given out. */
static double
bulk_value(const SortedValues *values, uint64 place)
{
	const BulkValues *sorted = (const BulkValues *) values;
	Bulk	   *bulk = sorted->bulk;

	place += sorted->from;
	if (place < bulk->piece_from || place >= bulk->piece_from + bulk->piece_n)
	{
		bulk->piece_n = 0;
		file_read(bulk, place, bulk->piece, Min(PIECE, bulk->end - place));
		bulk->piece_n = Min(PIECE, bulk->end - place);
		bulk->piece_from = place;
	}
	return bulk->piece[place - bulk->piece_from];
}

/*
 * Sorts all values that have been added since it was called last, of which there
 * must be some.  They can be read until bulk_clear().
 */
const SortedValues *
bulk_sort(Bulk *bulk)
{
	int			fan_in = bulk->gathered->size / PIECE - 1;
	BulkValues *sorted = MemoryContextAlloc(bulk->results, sizeof(BulkValues));

	if (bulk->gathered->used > 0)
		write_gathered(bulk);

	/* The first merge takes as few as leave full ones for all others. */
	while (bulk->nsegments > 1)
		merge_segments(bulk, (bulk->nsegments - 2) % (fan_in - 1) + 2);
	sorted->values.n = bulk->segments[0].n;
	sorted->values.at = bulk_value;
	sorted->bulk = bulk;
	sorted->from = bulk->segments[0].from;
	bulk->nsegments = 0;
	return &sorted->values;
}
