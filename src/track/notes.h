/*-------------------------------------------------------------------------
 *
 * notes.h
 *	  What a transaction remembers of the rows of one source that it changed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_NOTES_H
#define BATCHAGG_NOTES_H

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/date.h"

/* What an entity's id is made of. */
typedef enum NoteKind
{
	NOTE_NO_ID,					/* notes are of all entities */
	NOTE_INTEGER,				/* an int64 */
	NOTE_TEXT,
	NOTE_UUID
} NoteKind;

/* The id of a changed row. */
typedef struct NoteId
{
	NoteKind	kind;
	bool		isnull;			/* of no entity */
	int			length;
	const char *bytes;
} NoteId;

extern bool note_time_type_ok(Oid type);
extern bool note_id_type_ok(Oid type);
extern int64 note_time_of_date(DateADT date);

/* The value of a time column, of this base type, as notes have it. */
static inline int64
note_time(Oid type, Datum value)
{
	return type == DATEOID ? note_time_of_date(DatumGetDateADT(value)) : DatumGetInt64(value);
}

typedef struct Notes Notes;

extern Notes *notes_create(MemoryContext context);
extern void notes_add(Notes *notes, int64 time, const NoteId *id);

/* One range of times that was noted. */
typedef struct Note
{
	int64		low;
	int64		high;			/* inclusive */
	ArrayType  *ids;			/* of text; NULL: of any entity */
} Note;

extern List *notes_list(Notes *notes);

#endif							/* BATCHAGG_NOTES_H */
