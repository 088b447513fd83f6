/*-------------------------------------------------------------------------
 *
 * notes.c
 *	  What a transaction remembers of the rows of one source that it changed.
 *
 * Times are remembered by hours: of each hour with a changed row, the least and
 * the greatest time, and the ids of the entities, until they are too many to be
 * worth it.  Where the hours become too many, they are taken together two by two,
 * as often as it takes.  So the memory is bounded, whatever is written.
 *
 * Each row of a COPY comes through here.  Most often its time is in the hour of
 * the row before, which is kept at hand, and its entity is the same one, or the
 * hour has had too many already.
 *
 * Any allocation may fail, and the transaction go on all the same, from a savepoint.
 * Then the row at hand is undone, but what was remembered of others must be whole: so
 * each function allocates first, and changes what is there when nothing can fail any
 * more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "track/notes.h"

/* More entities of one hour are not told apart. */
#define MAX_IDS 100

/* Longer ids would take more room than reading a few rows more takes time. */
#define MAX_ID_LENGTH 255

/* More hours are taken together. */
#define MAX_HOURS 4096

typedef struct Id
{
	uint32		hash;
	int			length;
	char	   *bytes;
} Id;

/* An hour, or several that were taken together. */
typedef struct Hour
{
	int64		number;			/* its start, in hours since the epoch */
	bool		used;			/* else its place in the table is free */
	bool		any;			/* ids are of no use any more */
	uint8		n;
	uint8		size;
	uint8		last;			/* the id that was last met */
	int64		low;
	int64		high;
	Id		   *ids;
} Hour;

/* Hours by number: open addressing, at most three quarters full. */
typedef struct Hours
{
	MemoryContext context;		/* of the items and their ids */
	Hour	   *items;
	uint32		size;			/* a power of 2; 0: there are no items yet */
	uint32		n;
} Hours;

struct Notes
{
	MemoryContext context;
	uint64		width;			/* of an "hour", in microseconds */
	Hours		hours;
	MemoryContext spare;		/* of hours that could not be taken together, or NULL */
	Hour	   *current;		/* the hour that was last met, or NULL */
	int64		current_start;
	NoteKind	kind;			/* of all ids so far */
	bool		kind_known;		/* there was one */
};

/*----------
 * Values
 *----------
 */

/*
 * Can a column of this base type be the time of notes?
 */
bool
note_time_type_ok(Oid type)
{
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

/*
 * Can a column of this base type be the id of notes?  Those that can are the same
 * where their bytes are.
 */
bool
note_id_type_ok(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case TEXTOID:
		case VARCHAROID:
		case UUIDOID:
			return true;
		default:
			return false;
	}
}

/*
 * A date as its midnight.  One that no timestamp can have is taken for the last that
 * one can.
 */
int64
note_time_of_date(DateADT date)
{
	int			overflow = 0;
	int64		time;

	if (DATE_IS_NOBEGIN(date))
		return DT_NOBEGIN;
	if (DATE_IS_NOEND(date))
		return DT_NOEND;
	time = date2timestamp_opt_overflow(date, &overflow);
	return overflow > 0 ? END_TIMESTAMP - 1 : time;
}

/*
 * Notes of nothing yet, in `context`.
 */
Notes *
notes_create(MemoryContext context)
{
	Notes	   *notes = MemoryContextAllocZero(context, sizeof(Notes));

	notes->context = context;
	notes->width = USECS_PER_HOUR;
	notes->hours.context = context;
	return notes;
}

/*----------
 * Ids
 *----------
 */

static void
forget_ids(Hour *hour)
{
	for (int i = 0; i < hour->n; i++)
		pfree(hour->ids[i].bytes);
	if (hour->ids)
		pfree(hour->ids);
	hour->ids = NULL;
	hour->n = hour->size = 0;
	hour->any = true;
}

/* Makes room for one more id. */
static void
grow_ids(MemoryContext context, Hour *hour)
{
	int			size = hour->size == 0 ? 2 : Min(hour->size * 2, MAX_IDS);

	hour->ids = hour->ids ? repalloc(hour->ids, size * sizeof(Id)) :
		MemoryContextAlloc(context, size * sizeof(Id));
	hour->size = size;
}

/* Adds an id that the hour does not have. */
static void
append_id(MemoryContext context, Hour *hour, uint32 hash, const char *bytes, int length)
{
	char	   *copy;

	if (hour->n == MAX_IDS || length > MAX_ID_LENGTH)
	{
		forget_ids(hour);
		return;
	}
	if (hour->n == hour->size)
		grow_ids(context, hour);
	copy = MemoryContextAlloc(context, Max(length, 1));
	memcpy(copy, bytes, length);
	hour->last = hour->n;
	hour->ids[hour->n++] = (Id) {.hash = hash,.length = length,.bytes = copy};
}

static inline bool
same_id(const Id *id, const char *bytes, int length)
{
	return id->length == length && memcmp(id->bytes, bytes, length) == 0;
}

static void
add_id(MemoryContext context, Hour *hour, const char *bytes, int length)
{
	uint32		hash;

	if (hour->n > 0 && same_id(&hour->ids[hour->last], bytes, length))
		return;
	hash = hash_bytes((const unsigned char *) bytes, length);
	for (int i = 0; i < hour->n; i++)
		if (hour->ids[i].hash == hash && same_id(&hour->ids[i], bytes, length))
		{
			hour->last = i;
			return;
		}
	append_id(context, hour, hash, bytes, length);
}

/*
 * An id of another kind than before.  Ids of two kinds, as when the source was
 * tracked anew meanwhile, are not compared: all that is noted is of any entity.
 */
static void
change_kind(Notes *notes, NoteKind kind)
{
	if (!notes->kind_known)
	{
		notes->kind = kind;
		notes->kind_known = true;
	}
	else if (notes->kind != NOTE_NO_ID)
	{
		notes->kind = NOTE_NO_ID;
		for (uint32 i = 0; i < notes->hours.size; i++)
			if (notes->hours.items[i].used)
				forget_ids(&notes->hours.items[i]);
	}
}

/*----------
 * Hours
 *----------
 */

/* The hour that a time is in, by this width. */
static int64
hour_number(uint64 width, int64 time)
{
	return time / (int64) width - (time % (int64) width < 0);
}

/* The place of the hour of this number, or the one where it belongs. */
static Hour *
hour_place(Hour *items, uint32 size, int64 number)
{
	uint32		at = murmurhash32((uint32) number ^ (uint32) ((uint64) number >> 32));

	while (items[at & (size - 1)].used && items[at & (size - 1)].number != number)
		at++;
	return &items[at & (size - 1)];
}

/* The hour of this number; NULL where there is none. */
static Hour *
find_hour(const Hours *hours, int64 number)
{
	Hour	   *place = hours->size > 0 ? hour_place(hours->items, hours->size, number) : NULL;

	return place && place->used ? place : NULL;
}

/* Makes the table larger. */
static void
grow_hours(Hours *hours, uint32 size)
{
	Hour	   *items = MemoryContextAllocZero(hours->context, size * sizeof(Hour));

	for (uint32 i = 0; i < hours->size; i++)
		if (hours->items[i].used)
			*hour_place(items, size, hours->items[i].number) = hours->items[i];
	if (hours->items)
		pfree(hours->items);
	hours->items = items;
	hours->size = size;
}

/* Adds an hour that is not there, and is empty: its low is above its high. */
static Hour *
add_hour(Hours *hours, int64 number)
{
	Hour	   *hour;

	if ((hours->n + 1) * 4 > hours->size * 3)
		grow_hours(hours, Max(hours->size * 2, 4));
	hour = hour_place(hours->items, hours->size, number);
	*hour = (Hour) {.number = number,.used = true,.low = PG_INT64_MAX,.high = PG_INT64_MIN};
	hours->n++;
	return hour;
}

/* Adds what `from` has to `to`. */
static void
merge_hour(MemoryContext context, Hour *to, const Hour *from)
{
	to->low = Min(to->low, from->low);
	to->high = Max(to->high, from->high);
	for (int i = 0; i < from->n && !to->any; i++)
		add_id(context, to, from->ids[i].bytes, from->ids[i].length);
	if (from->any && !to->any)
		forget_ids(to);
}

/* Frees a table. */
static void
free_hours(const Notes *notes, Hours *hours)
{
	if (hours->context != notes->context)
	{
		MemoryContextDelete(hours->context);
		return;
	}
	for (uint32 i = 0; i < hours->size; i++)
		if (hours->items[i].used)
			forget_ids(&hours->items[i]);
	pfree(hours->items);
}

/*
 * Takes hours together two by two: into a table in a context of its own, so that all
 * is as it was where there is not enough memory.
 */
static void
coarsen(Notes *notes)
{
	uint64		width = notes->width * 2;
	Hours		hours = {0};

	if (notes->spare != NULL)
		MemoryContextDelete(notes->spare);
	notes->spare = NULL;
	notes->spare = hours.context = AllocSetContextCreate(notes->context, "batchagg hours",
														 ALLOCSET_DEFAULT_SIZES);
	grow_hours(&hours, MAX_HOURS);
	for (uint32 i = 0; i < notes->hours.size; i++)
	{
		const Hour *from = &notes->hours.items[i];
		int64		number = hour_number(width, from->low);
		Hour	   *to;

		if (!from->used)
			continue;
		to = find_hour(&hours, number);
		merge_hour(hours.context, to ? to : add_hour(&hours, number), from);
	}
	notes->spare = NULL;
	notes->current = NULL;
	free_hours(notes, &notes->hours);
	notes->hours = hours;
	notes->width = width;
}

/* Makes the hour of this time the current one. */
static void
turn_to(Notes *notes, int64 time)
{
	int64		number = hour_number(notes->width, time);
	Hour	   *hour = find_hour(&notes->hours, number);

	while (hour == NULL && notes->hours.n >= MAX_HOURS)
	{
		coarsen(notes);
		number = hour_number(notes->width, time);
		hour = find_hour(&notes->hours, number);
	}
	notes->current = hour ? hour : add_hour(&notes->hours, number);
	notes->current_start = number * (int64) notes->width;
}

/*
 * Remembers a changed row.  Its time is finite.
 */
void
notes_add(Notes *notes, int64 time, const NoteId *id)
{
	Hour	   *hour;

	/* Unsigned, since an hour may end beyond the last time there is. */
	if (notes->current == NULL ||
		(uint64) time - (uint64) notes->current_start >= notes->width)
		turn_to(notes, time);
	hour = notes->current;
	if (time < hour->low)
		hour->low = time;
	if (time > hour->high)
		hour->high = time;

	if (notes->kind != id->kind || !notes->kind_known)
		change_kind(notes, id->kind);
	if (hour->any || id->isnull)
		return;
	if (notes->kind == NOTE_NO_ID)
		forget_ids(hour);
	else
		add_id(notes->hours.context, hour, id->bytes, id->length);
}

/*----------
 * Taking them out
 *----------
 */

static Datum
id_text(NoteKind kind, const Id *id)
{
	int64		integer;

	switch (kind)
	{
		case NOTE_INTEGER:
			memcpy(&integer, id->bytes, sizeof(integer));
			return CStringGetTextDatum(psprintf(INT64_FORMAT, integer));
		case NOTE_UUID:
			return CStringGetTextDatum(DatumGetCString(DirectFunctionCall1(uuid_out,
																		   PointerGetDatum(id->bytes))));
		default:
			return PointerGetDatum(cstring_to_text_with_len(id->bytes, id->length));
	}
}

static int
compare_notes(const ListCell *a, const ListCell *b)
{
	int64		left = ((Note *) lfirst(a))->low;
	int64		right = ((Note *) lfirst(b))->low;

	return (left > right) - (left < right);
}

/*
 * All that is remembered, a list of Note by time, in the current memory context.
 */
List *
notes_list(Notes *notes)
{
	List	   *list = NIL;

	for (uint32 i = 0; i < notes->hours.size; i++)
	{
		const Hour *hour = &notes->hours.items[i];
		Note	   *note;

		if (!hour->used)
			continue;
		note = palloc0(sizeof(Note));
		note->low = hour->low;
		note->high = hour->high;
		if (!hour->any)
		{
			Datum		ids[MAX_IDS];

			for (int n = 0; n < hour->n; n++)
				ids[n] = id_text(notes->kind, &hour->ids[n]);
			note->ids = construct_array(ids, hour->n, TEXTOID, -1, false, TYPALIGN_INT);
		}
		list = lappend(list, note);
	}
	list_sort(list, compare_notes);
	return list;
}
