/*-------------------------------------------------------------------------
 *
 * sorted.c
 *	  Groups in sorted sequences, on tapes or in streams, and their merge.
 *
 * A run is groups in the order of the store's key, (bucket, entity text): a
 * table's that has used up its budget, on a tape, or another process's, in a
 * stream.  A group is its key, the words of its states, and then the values of
 * each state that keeps them, as many as it has counted, and before them whether
 * they are wide.
 *
 * In the end all runs are merged with the table, and states of equal keys with
 * each other.  While runs are too many to be read at once, the first of them are
 * merged into a new one.
 *
 * When a group's key is read, its values are left where they are.  Only when all
 * runs that have this group are known, and so the number of its values, are they
 * taken, metric by metric: into one array if there is room for it in the merge's
 * part of the budget, else into a file, where they are sorted (bulk.c).  So no
 * group is too large.
 *
 * A stream goes on while it is read: groups of old buckets may be merged with
 * those of the table, and leave, before others have come (early.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/logtape.h"
#include "utils/memutils.h"

#include "group/bulk.h"
#include "group/entity.h"
#include "group/sorted.h"

/* Runs merged at once: each has a buffer of one block and a group. */
#define MIN_FAN_IN 8
#define MAX_FAN_IN 512

/* For values of one group, and for sorting those that are too many for that. */
#define VALUES_MEMORY(sorted) ((sorted)->budget / 4)
#define BULK_MEMORY(sorted) ((sorted)->budget / 8)

/* Values that are copied at once. */
#define PIECE 1024

struct Sorted
{
	const GroupLayout *layout;
	Size		budget;			/* bytes */
	MemoryContext context;		/* of this struct and the tapes */
	LogicalTapeSet *tapes;		/* NULL: no run written */
	List	   *runs;			/* of LogicalTape */
	List	   *streams;		/* of RunReader: groups of other processes */
	int			written;		/* runs so far */
};

/* A group's head in a run. */
typedef struct RunGroup
{
	TimestampTz bucket;
	int			entity_length;
} RunGroup;

struct SortedWriter
{
	const GroupLayout *layout;
	LogicalTape *tape;
	StreamWriter *stream;		/* instead of a tape */
	MemoryContext context;		/* the tape allocates buffers as it goes */
};

/*
 * A run being read, or a stream, or the table, and its current group.  Of a
 * stream, which goes on while it is read, only buckets before some time are
 * asked for; the first group that is not of one is kept for the next time.
 */
typedef struct RunReader
{
	LogicalTape *tape;
	StreamReader *stream;		/* instead of a tape */
	GroupSource table;			/* instead of both */
	void	   *table_arg;
	TimestampTz to;				/* of a stream */
	bool		pending;		/* its group has not been asked for yet */
	GroupOut	group;			/* without values but of the table */
	bool		wide;			/* the values that it comes to next */
	char	   *entity;			/* of a group from a tape */
	int			entity_size;	/* room in entity */
	StateWord  *states;			/* likewise */
} RunReader;

/* What is merged. */
typedef struct Merge
{
	Sorted	   *sorted;
	binaryheap *heap;
	RunReader **readers;		/* room for as many as there may be */
	int			nreaders;
	RunReader	table;			/* one of them */
	MemoryContext values;		/* of the merged group */
	Size		room;			/* bytes that it may take yet */
	Bulk	   *bulk;			/* values that it has no room for; NULL: none ever */
} Merge;

/*
 * Creates an empty set of runs in a child context of `parent`, for groups of
 * `layout`, that are merged with about `budget` bytes of memory.
 */
Sorted *
sorted_create(MemoryContext parent, const GroupLayout *layout, Size budget)
{
	MemoryContext context = AllocSetContextCreate(parent, "batchagg runs",
												  ALLOCSET_DEFAULT_SIZES);
	Sorted	   *sorted = MemoryContextAllocZero(context, sizeof(Sorted));

	sorted->layout = layout;
	sorted->budget = budget;
	sorted->context = context;
	return sorted;
}

/* Forgets all runs on tapes, and frees their files. */
void
sorted_free(Sorted *sorted)
{
	if (sorted->tapes != NULL)
		LogicalTapeSetClose(sorted->tapes);
	sorted->tapes = NULL;
	list_free(sorted->runs);
	sorted->runs = NIL;
}

/* Are there runs on tapes? */
bool
sorted_any(const Sorted *sorted)
{
	return sorted->runs != NIL;
}

bool
sorted_have_streams(const Sorted *sorted)
{
	return sorted->streams != NIL;
}

/* How many runs have been written to tapes, for the log and for tests. */
int
sorted_written(const Sorted *sorted)
{
	return sorted->written;
}

/*
 * Begins to write a run to a tape, group by group with sorted_write_group().
 */
SortedWriter *
sorted_start(Sorted *sorted)
{
	MemoryContext old_context = MemoryContextSwitchTo(sorted->context);
	SortedWriter *writer = palloc0(sizeof(SortedWriter));

	if (sorted->tapes == NULL)
		sorted->tapes = LogicalTapeSetCreate(false, NULL, -1);
	writer->layout = sorted->layout;
	writer->tape = LogicalTapeCreate(sorted->tapes);
	writer->context = sorted->context;
	sorted->written++;
	MemoryContextSwitchTo(old_context);
	return writer;
}

/*
 * Begins to write groups to a stream.
 */
SortedWriter *
sorted_start_stream(const GroupLayout *layout, StreamWriter *stream)
{
	SortedWriter *writer = palloc0(sizeof(SortedWriter));

	writer->layout = layout;
	writer->stream = stream;
	writer->context = CurrentMemoryContext;
	return writer;
}

/*
 * Makes a run on a tape ready for being read, and frees its writer and write
 * buffer.
 */
void
sorted_end(Sorted *sorted, SortedWriter *writer)
{
	MemoryContext old_context = MemoryContextSwitchTo(sorted->context);

	LogicalTapeRewindForRead(writer->tape, BLCKSZ);
	sorted->runs = lappend(sorted->runs, writer->tape);
	pfree(writer);
	MemoryContextSwitchTo(old_context);
}

static void
sorted_write(const SortedWriter *writer, const void *ptr, Size size)
{
	if (writer->stream != NULL)
		stream_write(writer->stream, ptr, size);
	else
		LogicalTapeWrite(writer->tape, unconstify(void *, ptr), size);
}

/* Writes the values of a state, of which there are some. */
static void
sorted_write_values(const SortedWriter *writer, const ValueArray *values)
{
	const SortedValues *elsewhere = values->elsewhere;
	bool		wide = values->wide || elsewhere != NULL;
	double		piece[PIECE];
	uint32		n = 0;
	uint64		i;

	sorted_write(writer, &wide, sizeof(wide));
	if (elsewhere == NULL)
	{
		sorted_write(writer, values->values, values->used * value_size(wide));
		return;
	}
	for (i = 0; i < elsewhere->n; i++)
	{
		piece[n++] = elsewhere->at(elsewhere, i);
		if (n == PIECE || i + 1 == elsewhere->n)
		{
			CHECK_FOR_INTERRUPTS();
			sorted_write(writer, piece, n * sizeof(double));
			n = 0;
		}
	}
}

/*
 * Writes a group to a run.  A GroupSink.
 */
void
sorted_write_group(void *arg, const GroupOut *group)
{
	const SortedWriter *writer = arg;
	const GroupLayout *layout = writer->layout;
	RunGroup	key = {.bucket = group->bucket,.entity_length = group->entity_length};
	MemoryContext old_context = MemoryContextSwitchTo(writer->context);
	int			i;

	sorted_write(writer, &key, sizeof(key));
	sorted_write(writer, group->entity, group->entity_length);
	sorted_write(writer, group->states, layout->words * sizeof(StateWord));
	for (i = 0; i < layout->nkept; i++)
	{
		const ValueArray *values =
		group_values_word(layout, group->states, layout->kept[i])->values;

		if (values != NULL)
			sorted_write_values(writer, values);
	}
	MemoryContextSwitchTo(old_context);
}

/*
 * The most bytes that a group takes in a run.
 */
Size
sorted_group_bytes(const GroupLayout *layout, StateWord *states, int entity_length)
{
	return sizeof(RunGroup) + entity_length + layout->words * sizeof(StateWord) +
		layout->nkept * sizeof(bool) + group_values_bytes(layout, states);
}

/* Reads bytes; returns false at the end. */
static bool
run_read_first(const RunReader *reader, void *ptr, Size size)
{
	Size		n;

	if (reader->stream != NULL)
		return stream_read(reader->stream, ptr, size);
	n = LogicalTapeRead(reader->tape, ptr, size);
	if (n != 0 && n != size)
		elog(ERROR, "unexpected end of temporary file");
	return n != 0;
}

static void
run_read(const RunReader *reader, void *ptr, Size size)
{
	if (size > 0 && !run_read_first(reader, ptr, size))
		elog(ERROR, "unexpected end of a sorted run");
}

/*
 * Reads the next group from a tape or stream, up to its values.  Returns false at
 * the end.
 */
static bool
run_read_next(const GroupLayout *layout, RunReader *reader)
{
	RunGroup	key;

	if (!run_read_first(reader, &key, sizeof(key)))
		return false;
	if (key.entity_length > reader->entity_size)
	{
		reader->entity_size = key.entity_length;
		reader->entity = repalloc(reader->entity, reader->entity_size);
	}
	run_read(reader, reader->entity, key.entity_length);
	reader->group = (GroupOut) {key.bucket, reader->entity, key.entity_length, reader->states};
	run_read(reader, reader->states, layout->words * sizeof(StateWord));
	return true;
}

/*
 * Reads the next group.  Returns false at the end, or where a stream comes to what
 * is not asked for.
 */
static bool
sorted_read_group(const GroupLayout *layout, RunReader *reader)
{
	if (reader->table != NULL)
		return reader->table(reader->table_arg, &reader->group);
	if (reader->stream == NULL)
		return run_read_next(layout, reader);
	if (!reader->pending)
	{
		/* What is asked for has been sent, so that there is nothing to wait for. */
		if (reader->to != DT_NOEND && !stream_ready(reader->stream))
			return false;
		if (!run_read_next(layout, reader))
			return false;
	}
	reader->pending = reader->group.bucket >= reader->to;
	return !reader->pending;
}

static int
run_compare(const RunReader *a, const RunReader *b)
{
	if (a->group.bucket != b->group.bucket)
		return a->group.bucket < b->group.bucket ? -1 : 1;
	return entity_text_compare(a->group.entity, a->group.entity_length,
							   b->group.entity, b->group.entity_length);
}

/* The binary heap is a max-heap: the run with the lowest key counts highest. */
static int
run_heap_compare(Datum a, Datum b, void *arg)
{
	return run_compare((RunReader *) DatumGetPointer(b), (RunReader *) DatumGetPointer(a));
}

/* A reader of a tape or a stream, in memory of the current context. */
static RunReader *
sorted_reader_create(const GroupLayout *layout, LogicalTape *tape, StreamReader *stream)
{
	RunReader  *reader = palloc0(sizeof(RunReader));

	reader->tape = tape;
	reader->stream = stream;
	reader->entity_size = 64;
	reader->entity = palloc(reader->entity_size);
	reader->states = palloc(layout->words * sizeof(StateWord));
	return reader;
}

/*
 * Has groups of another process merged with the others.
 */
void
sorted_add_stream(Sorted *sorted, StreamReader *stream)
{
	MemoryContext old_context = MemoryContextSwitchTo(sorted->context);

	sorted->streams = lappend(sorted->streams, sorted_reader_create(sorted->layout, NULL, stream));
	MemoryContextSwitchTo(old_context);
}

/* How many values of a metric a reader's group has. */
static uint64
reader_count(const Merge *merge, const RunReader *reader, int metric)
{
	return state_count(group_state(merge->sorted->layout, reader->group.states, metric));
}

/* Sets whether the values that a reader comes to, of which there are some, are wide. */
static void
read_width(const Merge *merge, RunReader *reader, int metric)
{
	if (reader->table != NULL)
		reader->wide = group_values_word(merge->sorted->layout, reader->group.states,
										 metric)->values->wide;
	else
		run_read(reader, &reader->wide, sizeof(reader->wide));
}

/* Adds values to `array`, or if that is NULL to those that go to the file. */
static void
add_values(Merge *merge, ValueArray *array, const void *values, bool wide, uint32 n)
{
	if (array != NULL)
		(void) value_array_append(array, values, wide, n, NULL);
	else
		bulk_add(merge->bulk, values, wide, n);
}

/*
 * Adds a reader's values of a metric to `array`, or to the file.  They are not the
 * reader's any more.
 */
static void
take_values(Merge *merge, RunReader *reader, int metric, ValueArray *array)
{
	StateWord  *word = group_values_word(merge->sorted->layout, reader->group.states, metric);
	uint64		left = reader_count(merge, reader, metric);
	double		piece[PIECE];

	if (reader->table != NULL && left > 0)
	{
		add_values(merge, array, word->values->values, word->values->wide, left);
		pfree(word->values);
		left = 0;
	}
	while (left > 0)
	{
		uint32		n = Min(left, PIECE);

		CHECK_FOR_INTERRUPTS();
		run_read(reader, piece, n * value_size(reader->wide));
		add_values(merge, array, piece, reader->wide, n);
		left -= n;
	}
	word->values = NULL;
}

/* Makes room for the `n` values of a merged group's metric; NULL: there is none. */
static ValueArray *
make_room(Merge *merge, uint64 n, bool wide)
{
	Size		bytes = n * value_size(wide);

	if (bytes <= merge->room)
	{
		merge->room -= bytes;
		return value_array_create(n, wide, merge->values);
	}
	if (merge->bulk == NULL)
		merge->bulk = bulk_create(BULK_MEMORY(merge->sorted));
	return NULL;
}

/* Merges the values of a metric that the first `n` readers have. */
static void
merge_values(Merge *merge, int n, int metric)
{
	RunReader **readers = merge->readers;
	ValueArray *array;
	uint64		count = 0;
	bool		wide = false;
	int			i;

	for (i = 0; i < n; i++)
	{
		if (reader_count(merge, readers[i], metric) == 0)
			continue;
		read_width(merge, readers[i], metric);
		wide |= readers[i]->wide;
		count += reader_count(merge, readers[i], metric);
	}
	if (count == 0)
		return;
	array = make_room(merge, count, wide);
	for (i = 0; i < n; i++)
		take_values(merge, readers[i], metric, array);
	if (array == NULL)
		array = value_array_elsewhere(bulk_sort(merge->bulk), merge->values);
	group_values_word(merge->sorted->layout, readers[0]->group.states, metric)->values = array;
}

/* Forgets the values of the group that was merged last. */
static void
merge_clear(Merge *merge)
{
	MemoryContextReset(merge->values);
	merge->room = VALUES_MEMORY(merge->sorted);
	if (merge->bulk != NULL)
		bulk_clear(merge->bulk);
}

/*
 * Merges the groups of the first `n` readers, which have the same key, into the
 * first one's.
 */
static void
merge_groups(Merge *merge, int n)
{
	const GroupLayout *layout = merge->sorted->layout;
	RunReader **readers = merge->readers;
	int			i;

	/* The table's states stay as they are. */
	if (readers[0]->table != NULL)
	{
		RunReader  *table = readers[0];

		if (n == 1)
			return;
		readers[0] = readers[1];
		readers[1] = table;
	}
	if (layout->nkept > 0)
		merge_clear(merge);
	for (i = 0; i < layout->nkept; i++)
		merge_values(merge, n, layout->kept[i]);
	for (i = 1; i < n; i++)
		group_states_merge(layout, readers[0]->group.states, readers[i]->group.states, NULL);
}

/*
 * Takes the readers that are at the lowest key from the heap, and merges the
 * groups of all of them into the first one's.
 */
static void
merge_lowest(Merge *merge)
{
	RunReader **lowest = merge->readers;
	int			n = 0;

	do
	{
		lowest[n++] = (RunReader *) DatumGetPointer(binaryheap_remove_first(merge->heap));
	} while (!binaryheap_empty(merge->heap) &&
			 run_compare(lowest[0],
						 (RunReader *) DatumGetPointer(binaryheap_first(merge->heap))) == 0);
	merge_groups(merge, n);
	merge->nreaders = n;
}

/* Begins a merge of `n` tapes from number `first` on. */
static void
merge_begin(Merge *merge, Sorted *sorted, int first, int n)
{
	int			most = n + 1 + list_length(sorted->streams);
	int			i;

	merge->sorted = sorted;
	merge->heap = binaryheap_allocate(most, run_heap_compare, NULL);
	merge->readers = palloc(most * sizeof(RunReader *));
	merge->nreaders = 0;
	merge->values = AllocSetContextCreate(CurrentMemoryContext, "batchagg merged values",
										  ALLOCSET_DEFAULT_SIZES);
	merge->bulk = NULL;
	for (i = first; i < first + n; i++)
		merge->readers[merge->nreaders++] =
			sorted_reader_create(sorted->layout, list_nth(sorted->runs, i), NULL);
}

/* Adds the table, and the streams as far as buckets before `to`. */
static void
merge_add(Merge *merge, GroupSource table, void *table_arg, TimestampTz to)
{
	ListCell   *lc;

	merge->table = (RunReader) {.table = table,.table_arg = table_arg};
	merge->readers[merge->nreaders++] = &merge->table;
	foreach(lc, merge->sorted->streams)
	{
		RunReader  *reader = lfirst(lc);

		reader->to = to;
		merge->readers[merge->nreaders++] = reader;
	}
}

/*
 * Sends the groups that are merged to `sink`, each key once, and ends the merge.
 */
static void
merge_send(Merge *merge, GroupSink sink, void *arg)
{
	for (;;)
	{
		int			i;

		/* Those that were at the last group go on to their next. */
		for (i = 0; i < merge->nreaders; i++)
			if (sorted_read_group(merge->sorted->layout, merge->readers[i]))
				binaryheap_add(merge->heap, PointerGetDatum(merge->readers[i]));
		if (binaryheap_empty(merge->heap))
			break;
		CHECK_FOR_INTERRUPTS();
		merge_lowest(merge);
		sink(arg, &merge->readers[0]->group);
	}
	if (merge->bulk != NULL)
		bulk_free(merge->bulk);
}

/* Merges the first runs into new ones until there are no more than `fan_in`. */
static void
merge_first_runs(Sorted *sorted, int fan_in, MemoryContext context)
{
	while (list_length(sorted->runs) > fan_in)
	{
		SortedWriter *writer = sorted_start(sorted);
		Merge		merge;
		int			i;

		merge_begin(&merge, sorted, 0, fan_in);
		merge_send(&merge, sorted_write_group, writer);
		sorted_end(sorted, writer);

		/* Tapes have their read buffers in the merge's memory. */
		for (i = 0; i < fan_in; i++)
			LogicalTapeClose(list_nth(sorted->runs, i));
		sorted->runs = list_delete_first_n(sorted->runs, fan_in);
		MemoryContextReset(context);
	}
}

static int
sorted_fan_in(const Sorted *sorted)
{
	return Max(MIN_FAN_IN, Min(MAX_FAN_IN, sorted->budget / (2 * BLCKSZ)));
}

/*
 * Bytes of memory that sorted_merge() takes.
 */
Size
sorted_merge_memory(const Sorted *sorted)
{
	Size		memory = (Size) Min(list_length(sorted->runs), sorted_fan_in(sorted)) * BLCKSZ;

	if (sorted->layout->nkept > 0)
		memory += VALUES_MEMORY(sorted) + BULK_MEMORY(sorted);
	return memory;
}

/*
 * Merges all runs, the streams as far as buckets before `to`, and the groups of
 * the table, which it is given by `table`, and sends them to `sink`.
 */
void
sorted_merge(Sorted *sorted, GroupSource table, void *table_arg, TimestampTz to,
			 GroupSink sink, void *arg)
{
	MemoryContext context = AllocSetContextCreate(sorted->context, "batchagg merge",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	Merge		merge;

	merge_first_runs(sorted, sorted_fan_in(sorted), context);
	merge_begin(&merge, sorted, 0, list_length(sorted->runs));
	merge_add(&merge, table, table_arg, to);
	merge_send(&merge, sink, arg);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
}
