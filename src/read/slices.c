/*-------------------------------------------------------------------------
 *
 * slices.c
 *	  Rows that are set aside in files, each with the others of its group.
 *
 * A source whose rows come in no order has a row for any group at any time.  If the
 * groups do not fit the memory, each row is likely to miss its group there, and
 * to make a new one, which is written, and read and merged again: a state of seven
 * aggregates is several times larger than the row.  Such rows are better set aside
 * until those of the same group come together: they are written to one of many
 * tapes by a hash of their group, and when all have been read, taken from one tape
 * after the other.  Each slice has a small part of the groups.
 *
 * A row is set aside as the receiver has it, its values being float8, and goes
 * the way of all rows when it is taken again.  Columns that are not by value are
 * behind it.
 *
 * The same is known of hash aggregation in databases as partitioning; here the
 * partial states of what fitted the memory before are kept, and when a slice does
 * not fit, its rows are sliced again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/datum.h"
#include "utils/logtape.h"
#include "utils/memutils.h"

#include "read/slices.h"

/* Fewer are not worth it, more would be in the way of each other. */
#define MIN_SLICES 16
#define MAX_SLICES 256

/* Buffers of tapes take this share of the memory: the groups are few again by then. */
#define BUFFERS_SHARE 4

/* What a row on a tape begins with. */
typedef struct RowHead
{
	uint32		size;			/* of all */
	bool		has_nulls;
} RowHead;

struct Slices
{
	MemoryContext context;		/* of this struct, and all that is in it */
	LogicalTapeSet *set;
	int			n;
	LogicalTape **tapes;
	int			width;			/* columns */
	const RowReferences *references;
	int			reading;		/* the slice that is read; -1: none yet */
	StringInfoData row;			/* room for one, as it is on a tape */
};

/*
 * How many slices there can be with so many bytes of memory; 0: too few.
 */
int
slices_affordable(Size memory)
{
	Size		n = memory / BUFFERS_SHARE / BLCKSZ;

	return n < MIN_SLICES ? 0 : Min(n, MAX_SLICES);
}

/*
 * Creates `n` empty slices for rows of `width` columns, in a child context of
 * `parent`.
 */
Slices *
slices_create(MemoryContext parent, int n, int width, const RowReferences *references)
{
	MemoryContext context = AllocSetContextCreate(parent, "batchagg slices",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	Slices	   *slices = palloc0(sizeof(Slices));
	int			i;

	slices->context = context;
	slices->set = LogicalTapeSetCreate(false, NULL, -1);
	slices->n = n;
	slices->tapes = palloc(n * sizeof(LogicalTape *));
	for (i = 0; i < n; i++)
		slices->tapes[i] = LogicalTapeCreate(slices->set);
	slices->width = width;
	slices->references = references;
	slices->reading = -1;
	initStringInfo(&slices->row);
	MemoryContextSwitchTo(old_context);
	return slices;
}

/* Makes room for a row of this size. */
static inline void
make_room(Slices *slices, Size size)
{
	resetStringInfo(&slices->row);
	enlargeStringInfo(&slices->row, size);
}

/* The parts of a row on a tape: its head, its columns, which of them are NULL. */
static inline Datum *
row_columns(const Slices *slices)
{
	return (Datum *) (slices->row.data + MAXALIGN(sizeof(RowHead)));
}

static inline bool *
row_nulls(const Slices *slices)
{
	return (bool *) (row_columns(slices) + slices->width);
}

/* Where what is behind the columns begins. */
static inline Size
row_end(const Slices *slices, bool has_nulls)
{
	return MAXALIGN(sizeof(RowHead)) + slices->width * sizeof(Datum) +
		(has_nulls ? MAXALIGN(slices->width * sizeof(bool)) : 0);
}

/*
 * Puts a row into the slice of its hash; nulls may be NULL.  What is not by value must
 * not be compressed or out of line.
 */
void
slices_put(Slices *slices, uint32 hash, const Datum *row, const bool *nulls)
{
	const RowReferences *references = slices->references;
	Size		end = row_end(slices, nulls != NULL);
	Size		at = end;
	MemoryContext old_context = MemoryContextSwitchTo(slices->context);
	int			i;

	for (i = 0; i < references->n; i++)
	{
		int			column = references->columns[i];

		if (nulls == NULL || !nulls[column])
			at += MAXALIGN(datumGetSize(row[column], false, references->lengths[i]));
	}
	make_room(slices, at);
	*(RowHead *) slices->row.data = (RowHead) {.size = at,.has_nulls = nulls != NULL};
	memcpy(row_columns(slices), row, slices->width * sizeof(Datum));
	if (nulls != NULL)
		memcpy(row_nulls(slices), nulls, slices->width * sizeof(bool));
	for (i = 0, at = end; i < references->n; i++)
	{
		int			column = references->columns[i];
		Size		length;

		if (nulls != NULL && nulls[column])
			continue;
		length = datumGetSize(row[column], false, references->lengths[i]);
		memcpy(slices->row.data + at, DatumGetPointer(row[column]), length);
		at += MAXALIGN(length);
	}
	LogicalTapeWrite(slices->tapes[hash % slices->n], slices->row.data, at);
	MemoryContextSwitchTo(old_context);
}

/*
 * Goes on to the next slice, to the first at first; from then on no row may be put.
 * Returns false where there is none.
 */
bool
slices_next(Slices *slices)
{
	MemoryContext old_context = MemoryContextSwitchTo(slices->context);
	int			i;

	if (slices->reading < 0)
		for (i = 0; i < slices->n; i++)
			LogicalTapeRewindForRead(slices->tapes[i], BLCKSZ);
	else
		LogicalTapeClose(slices->tapes[slices->reading]);
	slices->reading++;
	MemoryContextSwitchTo(old_context);
	return slices->reading < slices->n;
}

static void
read_part(Slices *slices, Size from, Size to)
{
	if (LogicalTapeRead(slices->tapes[slices->reading], slices->row.data + from, to - from) != to - from)
		elog(ERROR, "unexpected end of a slice");
}

/*
 * Takes the next row of the slice; nulls[] is set where there are any.  What is not by
 * value is valid until the next call.  Returns false where there is none.
 */
bool
slices_get(Slices *slices, Datum *row, bool *nulls, bool *has_nulls)
{
	const RowReferences *references = slices->references;
	MemoryContext old_context = MemoryContextSwitchTo(slices->context);
	RowHead		head;
	size_t		got = LogicalTapeRead(slices->tapes[slices->reading], &head, sizeof(head));
	Size		at;
	int			i;

	if (got != 0)
	{
		if (got != sizeof(head))
			elog(ERROR, "unexpected end of a slice");
		make_room(slices, head.size);
		read_part(slices, sizeof(head), head.size);
	}
	MemoryContextSwitchTo(old_context);
	if (got == 0)
		return false;

	*has_nulls = head.has_nulls;
	memcpy(row, row_columns(slices), slices->width * sizeof(Datum));
	if (head.has_nulls)
		memcpy(nulls, row_nulls(slices), slices->width * sizeof(bool));
	for (i = 0, at = row_end(slices, head.has_nulls); i < references->n; i++)
	{
		int			column = references->columns[i];

		if (head.has_nulls && nulls[column])
			continue;
		row[column] = PointerGetDatum(slices->row.data + at);
		at += MAXALIGN(datumGetSize(row[column], false, references->lengths[i]));
	}
	return true;
}

/* Frees the slices, and their files. */
void
slices_free(Slices *slices)
{
	LogicalTapeSetClose(slices->set);
	MemoryContextDelete(slices->context);
}
