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
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "datatype/timestamp.h"
#include "utils/builtins.h"
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
	char		status;			/* of the hash table */
	bool		any;			/* ids are of no use any more */
	uint8		n;
	uint8		size;
	uint8		last;			/* the id that was last met */
	int64		low;
	int64		high;
	Id		   *ids;
} Hour;

#define SH_PREFIX hours
#define SH_ELEMENT_TYPE Hour
#define SH_KEY_TYPE int64
#define SH_KEY number
#define SH_HASH_KEY(table, key) murmurhash32((uint32) (key) ^ (uint32) ((uint64) (key) >> 32))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct Notes
{
	MemoryContext context;
	uint64		width;			/* of an "hour", in microseconds */
	hours_hash *hours;
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
	notes->hours = hours_create(context, 4, NULL);
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

/* Adds an id that the hour does not have. */
static void
append_id(Notes *notes, Hour *hour, uint32 hash, const char *bytes, int length)
{
	Id		   *id;

	if (hour->n == MAX_IDS || length > MAX_ID_LENGTH)
	{
		forget_ids(hour);
		return;
	}
	if (hour->n == hour->size)
	{
		hour->size = hour->size == 0 ? 2 : Min(hour->size * 2, MAX_IDS);
		hour->ids = hour->ids ? repalloc(hour->ids, hour->size * sizeof(Id)) :
			MemoryContextAlloc(notes->context, hour->size * sizeof(Id));
	}
	hour->last = hour->n;
	id = &hour->ids[hour->n++];
	id->hash = hash;
	id->length = length;
	id->bytes = MemoryContextAlloc(notes->context, Max(length, 1));
	memcpy(id->bytes, bytes, length);
}

static inline bool
same_id(const Id *id, const char *bytes, int length)
{
	return id->length == length && memcmp(id->bytes, bytes, length) == 0;
}

static void
add_id(Notes *notes, Hour *hour, const char *bytes, int length)
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
	append_id(notes, hour, hash, bytes, length);
}

/*
 * An id of another kind than before.  Ids of two kinds, as when the source was
 * tracked anew meanwhile, are not compared: all that is noted is of any entity.
 */
static void
change_kind(Notes *notes, NoteKind kind)
{
	hours_iterator i;
	Hour	   *hour;

	if (!notes->kind_known)
	{
		notes->kind = kind;
		notes->kind_known = true;
	}
	else if (notes->kind != NOTE_NO_ID)
	{
		notes->kind = NOTE_NO_ID;
		hours_start_iterate(notes->hours, &i);
		while ((hour = hours_iterate(notes->hours, &i)) != NULL)
			forget_ids(hour);
	}
}

/*----------
 * Hours
 *----------
 */

/* The hour that a time is in, by the current width. */
static int64
hour_number(const Notes *notes, int64 time)
{
	int64		width = (int64) notes->width;

	return time / width - (time % width < 0);
}

/* The hour of this number; a new one is empty: its low is above its high. */
static Hour *
get_hour(Notes *notes, int64 number)
{
	bool		found;
	Hour	   *hour = hours_insert(notes->hours, number, &found);

	if (!found)
	{
		hour->any = false;
		hour->n = hour->size = hour->last = 0;
		hour->ids = NULL;
		hour->low = PG_INT64_MAX;
		hour->high = PG_INT64_MIN;
	}
	return hour;
}

/* Adds what `from` has to `to`. */
static void
merge_hour(Notes *notes, Hour *to, Hour *from)
{
	to->low = Min(to->low, from->low);
	to->high = Max(to->high, from->high);
	for (int i = 0; i < from->n && !to->any; i++)
		add_id(notes, to, from->ids[i].bytes, from->ids[i].length);
	if (from->any && !to->any)
		forget_ids(to);
	forget_ids(from);
}

/* Takes hours together two by two. */
static void
coarsen(Notes *notes)
{
	hours_hash *before = notes->hours;
	hours_iterator i;
	Hour	   *hour;

	notes->width *= 2;
	notes->hours = hours_create(notes->context, MAX_HOURS, NULL);
	hours_start_iterate(before, &i);
	while ((hour = hours_iterate(before, &i)) != NULL)
		merge_hour(notes, get_hour(notes, hour_number(notes, hour->low)), hour);
	hours_destroy(before);
}

/* Makes the hour of this time the current one. */
static void
turn_to(Notes *notes, int64 time)
{
	notes->current = get_hour(notes, hour_number(notes, time));
	while (notes->hours->members > MAX_HOURS)
	{
		/* An hour must have a time to be merged. */
		notes->current->low = Min(notes->current->low, time);
		notes->current->high = Max(notes->current->high, time);
		coarsen(notes);
		notes->current = get_hour(notes, hour_number(notes, time));
	}
	notes->current_start = hour_number(notes, time) * (int64) notes->width;
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
		add_id(notes, hour, id->bytes, id->length);
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
	hours_iterator i;
	Hour	   *hour;

	hours_start_iterate(notes->hours, &i);
	while ((hour = hours_iterate(notes->hours, &i)) != NULL)
	{
		Note	   *note = palloc0(sizeof(Note));

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
