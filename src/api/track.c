/*-------------------------------------------------------------------------
 *
 * track.c
 *	  SQL functions that track the changes of sources.
 *
 * Those that triggers call come for each row, so what follows from their arguments'
 * types, and where the transaction keeps its notes, is found at the first call and
 * kept with the expression.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/xid8.h"

#include "api/export.h"
#include "model/ext.h"
#include "track/install.h"
#include "track/marks.h"

PG_FUNCTION_INFO_V1(batchagg_track_source);
PG_FUNCTION_INFO_V1(batchagg_untrack_source);
PG_FUNCTION_INFO_V1(batchagg_settle_source);
PG_FUNCTION_INFO_V1(batchagg_note);
PG_FUNCTION_INFO_V1(batchagg_note_unstamped);
PG_FUNCTION_INFO_V1(batchagg_mark);

/* What one call in an expression keeps from row to row. */
typedef struct NoteCall
{
	Oid			schema;			/* the extension's */
	Oid			time_type;
	Oid			id_type;		/* InvalidOid: there is no id */
	uint64		generation;		/* marks_generation, of which `marks` is */
	int32		source_id;
	PendingMarks *marks;		/* NULL: nothing is to be noted */
} NoteCall;

/*----------
 * Arguments
 *----------
 */

/*
 * The extension's schema, which lasts as long as its functions.  They are in another one,
 * see sql/26-tracking.sql.
 */
static Oid
schema_of(Oid function)
{
	static Oid	last = InvalidOid;
	static Oid	schema = InvalidOid;

	if (function != last)
		schema = ext_schema();
	last = function;
	return schema;
}

/* The base type of an argument, which must be one that notes can take. */
static Oid
argument_type(FunctionCallInfo fcinfo, int argument, bool (*accepts) (Oid type))
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, argument);

	type = OidIsValid(type) ? getBaseType(type) : type;
	if (!accepts(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("changes cannot be noted by a value of type %s", format_type_be(type))));
	return type;
}

/* The call's state, with the arguments from `first` on: time, and id if any. */
static NoteCall *
make_call(FunctionCallInfo fcinfo, int first)
{
	NoteCall   *call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(NoteCall));

	call->schema = schema_of(fcinfo->flinfo->fn_oid);
	call->time_type = argument_type(fcinfo, first, note_time_type_ok);
	if (PG_NARGS() > first + 1)
		call->id_type = argument_type(fcinfo, first + 1, note_id_type_ok);
	fcinfo->flinfo->fn_extra = call;
	return call;
}

/* Where to note; NULL for nowhere. */
static inline PendingMarks *
call_marks(NoteCall *call, int32 source_id)
{
	if (unlikely(call->generation != marks_generation || call->source_id != source_id))
	{
		call->marks = marks_of(call->schema, source_id);
		call->source_id = source_id;
		call->generation = marks_generation;
	}
	return call->marks;
}

/*
 * Reads an id.  An integer is put into *integer, and a text may be detoasted: then
 * it is returned, to be freed.
 */
static inline void *
argument_id(const NoteCall *call, NullableDatum arg, NoteId *id, int64 *integer)
{
	struct varlena *text;

	id->isnull = arg.isnull;
	id->kind = NOTE_INTEGER;
	id->length = sizeof(int64);
	id->bytes = (const char *) integer;
	switch (call->id_type)
	{
		case INT2OID:
			*integer = DatumGetInt16(arg.value);
			return NULL;
		case INT4OID:
			*integer = DatumGetInt32(arg.value);
			return NULL;
		case INT8OID:
			*integer = DatumGetInt64(arg.value);
			return NULL;
		case UUIDOID:
			id->kind = NOTE_UUID;
			id->length = UUID_LEN;
			id->bytes = DatumGetPointer(arg.value);
			return NULL;
		default:
			id->kind = NOTE_TEXT;
			if (arg.isnull)
				return NULL;
			text = PG_DETOAST_DATUM_PACKED(arg.value);
			id->length = VARSIZE_ANY_EXHDR(text);
			id->bytes = VARDATA_ANY(text);
			return (Pointer) text == DatumGetPointer(arg.value) ? NULL : text;
	}
}

/*----------
 * Noting
 *----------
 */

/* Notes the row whose time is argument `first`, and its id the next, if any. */
static void
note_row(FunctionCallInfo fcinfo, int first)
{
	NoteCall   *call = fcinfo->flinfo->fn_extra;
	NoteId		id = {.kind = NOTE_NO_ID};
	int64		integer = 0;
	void	   *detoasted = NULL;
	PendingMarks *marks;
	int64		time;

	if (unlikely(call == NULL))
		call = make_call(fcinfo, first);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(first))
		return;
	time = note_time(call->time_type, PG_GETARG_DATUM(first));
	if (TIMESTAMP_NOT_FINITE(time))
		return;
	marks = call_marks(call, PG_GETARG_INT32(0));
	if (marks == NULL)
		return;
	if (OidIsValid(call->id_type))
		detoasted = argument_id(call, fcinfo->args[first + 1], &id, &integer);
	marks_note(marks, time, &id);
	if (detoasted)
		pfree(detoasted);
}

/*
 * batchagg_note(source, time [, id]): notes a changed row of the source with this
 * number, if this transaction is writing it.  Rows without a time, or with an
 * infinite one, are in no result.  Returns false, so that a trigger with this
 * condition does not fire.
 */
Datum
batchagg_note(PG_FUNCTION_ARGS)
{
	note_row(fcinfo, 1);
	PG_RETURN_BOOL(false);
}

/*
 * batchagg_note_unstamped(source, xid, time [, id]): the same for an inserted row
 * that does not have this transaction's id as its xid.
 */
Datum
batchagg_note_unstamped(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(1) || !marks_stamp_tells(PG_GETARG_FULLTRANSACTIONID(1)))
		note_row(fcinfo, 2);
	PG_RETURN_BOOL(false);
}

/*
 * The function of the triggers, whose condition is never true.
 */
Datum
batchagg_mark(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(NULL);
}

/*----------
 * Which sources
 *----------
 */

/*
 * batchagg_track_source(source, mode, time_column, id_column)
 */
Datum
batchagg_track_source(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("source and mode must not be null")));
	track_source(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1)),
				 PG_ARGISNULL(2) ? NULL : NameStr(*PG_GETARG_NAME(2)),
				 PG_ARGISNULL(3) ? NULL : NameStr(*PG_GETARG_NAME(3)));
	PG_RETURN_VOID();
}

/*
 * batchagg_untrack_source(source, drop_column)
 */
Datum
batchagg_untrack_source(PG_FUNCTION_ARGS)
{
	untrack_source(PG_GETARG_OID(0), PG_GETARG_BOOL(1));
	PG_RETURN_VOID();
}

/*
 * batchagg_settle_source(source): NULL where marks tell all changes of the source,
 * else why they do not.
 */
Datum
batchagg_settle_source(PG_FUNCTION_ARGS)
{
	const char *problem = settle_source(PG_GETARG_OID(0));

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}
