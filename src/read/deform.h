/*-------------------------------------------------------------------------
 *
 * deform.h
 *	  Taking the columns that are needed out of a table's rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_DEFORM_H
#define BATCHAGG_DEFORM_H

#include "access/tupmacs.h"
#include "executor/tuptable.h"

/* One step through a row without NULLs. */
typedef enum DeformKind
{
	DEFORM_WORDS,				/* neighbouring columns of a Datum's size each */
	DEFORM_FIXED,				/* a column of fixed length */
	DEFORM_VARLENA
} DeformKind;

typedef struct DeformStep
{
	DeformKind	kind;
	int			place;			/* of the first column among those that are taken; -1: passed over */
	int			n;				/* columns */
	int			length;			/* of a column, in bytes */
	bool		by_value;
	char		align;			/* as in pg_attribute */
} DeformStep;

/* How the rows of a table are taken apart. */
typedef struct Deformer
{
	int			natts;			/* columns that are looked at, from the first on */
	int			nsteps;
	DeformStep *steps;
} Deformer;

extern Deformer *deformer_create(TupleDesc desc, int natts, const int *columns, int n);

/* What came of taking a row apart. */
typedef enum RowNulls
{
	ROW_NOT_DEFORMED,			/* nothing: it is not on a page, or lacks columns */
	ROW_HAS_NO_NULLS,			/* nulls[] was left alone */
	ROW_HAS_NULLS				/* a column that is taken is NULL */
} RowNulls;

extern RowNulls deform_row_with_nulls(const Deformer *deformer, HeapTuple tuple, Datum *values,
									  bool *nulls);

/* Moves on to where the column of a step begins. */
static inline Size
deform_align(const DeformStep *step, const char *data, Size at)
{
	if (step->kind == DEFORM_VARLENA)
		return att_align_pointer(at, step->align, -1, data + at);
	return att_align_nominal(at, step->align);
}

/*
 * Takes the slot's row apart: its columns go to values[], and where it has NULLs, which
 * these are to nulls[].
 */
static inline RowNulls
deform_row(const Deformer *deformer, const TupleTableSlot *slot, Datum *values, bool *nulls)
{
	HeapTuple	tuple;
	const DeformStep *step;
	char	   *data;
	Size		at = 0;

	if (!TTS_IS_BUFFERTUPLE(slot))
		return ROW_NOT_DEFORMED;
	tuple = ((const HeapTupleTableSlot *) slot)->tuple;
	if (HeapTupleHeaderGetNatts(tuple->t_data) < deformer->natts)
		return ROW_NOT_DEFORMED;
	if (HeapTupleHasNulls(tuple))
		return deform_row_with_nulls(deformer, tuple, values, nulls);

	data = (char *) tuple->t_data + tuple->t_data->t_hoff;
	for (step = deformer->steps; step < deformer->steps + deformer->nsteps; step++)
	{
		at = deform_align(step, data, at);
		switch (step->kind)
		{
			case DEFORM_WORDS:
				if (step->place >= 0)
					memcpy(values + step->place, data + at, step->n * sizeof(Datum));
				at += step->n * sizeof(Datum);
				break;
			case DEFORM_FIXED:
				if (step->place >= 0)
					values[step->place] = fetch_att(data + at, step->by_value, step->length);
				at += step->length;
				break;
			case DEFORM_VARLENA:
				if (step->place >= 0)
					values[step->place] = PointerGetDatum(data + at);
				at += VARSIZE_ANY(data + at);
				break;
		}
	}
	return ROW_HAS_NO_NULLS;
}

#endif							/* BATCHAGG_DEFORM_H */
