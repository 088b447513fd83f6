/*-------------------------------------------------------------------------
 *
 * marks.h
 *	  Marks: which times of a source a transaction has changed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_MARKS_H
#define BATCHAGG_MARKS_H

#include "access/transam.h"

#include "track/notes.h"

/*
 * Writes what this transaction has noted so far and not written yet, so that a run
 * in the same transaction sees it.  The command counter is incremented.
 */
extern void marks_flush(void);

/* To be called by each run, before it reads: see marks.c. */
extern void marks_note_run(void);

/* For this room, and the functions that triggers call. */

/* The notes of this transaction for one source. */
typedef struct PendingMarks
{
	struct PendingMarks *next;
	int32		source_id;
	Notes	   *notes;
	bool		unwritten;
} PendingMarks;

/* Changes whenever pointers to PendingMarks become invalid. */
extern uint64 marks_generation;

extern PendingMarks *marks_of(Oid schema, int32 source_id);
extern void marks_note(PendingMarks *pending, int64 time, const NoteId *id);
extern bool marks_stamp_tells(FullTransactionId stamp);
extern void marks_write(int32 source_id, int64 low, int64 high);

#endif							/* BATCHAGG_MARKS_H */
