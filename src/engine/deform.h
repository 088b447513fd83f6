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
	int			place;			/* of the first column among those that are taken;
								 * -1: passed over */
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

/*
 * Takes the slot's row apart: its columns go to values[].  Returns false, having
 * done nothing, where it is not a row on a page or has NULLs or too few columns.
 */
static inline bool
deform_row(const Deformer *deformer, const TupleTableSlot *slot, Datum *values)
{
	HeapTuple	tuple;
	const DeformStep *step;
	char	   *data;
	Size		at = 0;

	if (!TTS_IS_BUFFERTUPLE(slot))
		return false;
	tuple = ((const HeapTupleTableSlot *) slot)->tuple;
	if (HeapTupleHasNulls(tuple) ||
		HeapTupleHeaderGetNatts(tuple->t_data) < deformer->natts)
		return false;

	data = (char *) tuple->t_data + tuple->t_data->t_hoff;
	for (step = deformer->steps; step < deformer->steps + deformer->nsteps; step++)
	{
		switch (step->kind)
		{
			case DEFORM_WORDS:
				at = att_align_nominal(at, TYPALIGN_DOUBLE);
				if (step->place >= 0)
					memcpy(values + step->place, data + at, step->n * sizeof(Datum));
				at += step->n * sizeof(Datum);
				break;
			case DEFORM_FIXED:
				at = att_align_nominal(at, step->align);
				if (step->place >= 0)
					values[step->place] = fetch_att(data + at, step->by_value, step->length);
				at += step->length;
				break;
			case DEFORM_VARLENA:
				at = att_align_pointer(at, step->align, -1, data + at);
				if (step->place >= 0)
					values[step->place] = PointerGetDatum(data + at);
				at += VARSIZE_ANY(data + at);
				break;
		}
	}
	return true;
}

#endif							/* BATCHAGG_DEFORM_H */
