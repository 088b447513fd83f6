/*-------------------------------------------------------------------------
 *
 * deform.c
 *	  Taking the columns that are needed out of a table's rows.
 *
 * PostgreSQL takes a row apart column by column, with a look at each one's
 * type, length, alignment and NULL bit.  Tables of counters are mostly columns
 * of eight bytes, one after the other, and mostly without NULLs: so much can be
 * decided once for all rows, and a run of such columns is one copy, to where they
 * are wanted, or one step over them.  In rows that do have NULLs, all rows since a
 * column was dropped among them, each column is looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "read/deform.h"

/* Where a column is to go: its place among columns[], -1: nowhere, -2: twice. */
static int
column_place(const int *columns, int n, int column)
{
	int			place = -1;
	int			i;

	for (i = 0; i < n; i++)
		if (columns[i] == column)
			place = place == -1 ? i : -2;
	return place;
}

/* Does a column of words go with those of the last step? */
static bool
step_goes_on(const DeformStep *last, int place)
{
	if (last == NULL || last->kind != DEFORM_WORDS)
		return false;
	return place < 0 ? last->place < 0 : last->place >= 0 && place == last->place + last->n;
}

/*
 * Prepares to take `n` columns out of rows of this shape; they are numbered from 0,
 * and among the first `natts`.  Returns NULL where that is not possible.  Memory is
 * taken from the current context.
 */
Deformer *
deformer_create(TupleDesc desc, int natts, const int *columns, int n)
{
	Deformer   *deformer = palloc(sizeof(Deformer));
	DeformStep *last = NULL;
	int			i;

	deformer->natts = natts;
	deformer->nsteps = 0;
	deformer->steps = palloc(natts * sizeof(DeformStep));

	for (i = 0; i < natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		bool		is_word = column->attbyval && column->attlen == sizeof(Datum) &&
		column->attalign == TYPALIGN_DOUBLE;
		int			place = column_place(columns, n, i);

		if (column->attlen < -1 || place == -2)
			return NULL;
		if (is_word && step_goes_on(last, place))
		{
			last->n++;
			continue;
		}
		last = &deformer->steps[deformer->nsteps++];
		last->kind = is_word ? DEFORM_WORDS :
			column->attlen > 0 ? DEFORM_FIXED : DEFORM_VARLENA;
		last->place = place;
		last->n = 1;
		last->length = column->attlen;
		last->by_value = column->attbyval;
		last->align = column->attalign;
	}
	return deformer;
}

/*
 * deform_row() for rows that have NULLs.
 */
RowNulls
deform_row_with_nulls(const Deformer *deformer, HeapTuple tuple, Datum *values, bool *nulls)
{
	const		bits8 *bits = tuple->t_data->t_bits;
	char	   *data = (char *) tuple->t_data + tuple->t_data->t_hoff;
	RowNulls	result = ROW_HAS_NO_NULLS;
	const DeformStep *step;
	Size		at = 0;
	int			column = 0;
	int			i;

	for (step = deformer->steps; step < deformer->steps + deformer->nsteps; step++)
	{
		for (i = 0; i < step->n; i++, column++)
		{
			bool		isnull = att_isnull(column, bits);
			Datum		value = 0;

			if (!isnull)
			{
				at = deform_align(step, data, at);
				value = step->by_value ? fetch_att(data + at, true, step->length) :
					PointerGetDatum(data + at);
				at += step->kind == DEFORM_VARLENA ? VARSIZE_ANY(data + at) : step->length;
			}
			if (step->place < 0)
				continue;
			values[step->place + i] = value;
			nulls[step->place + i] = isnull;
			if (isnull)
				result = ROW_HAS_NULLS;
		}
	}
	return result;
}
