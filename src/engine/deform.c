/*-------------------------------------------------------------------------
 *
 * deform.c
 *	  Taking the columns out of a table's rows.
 *
 * PostgreSQL takes a row apart column by column, with a look at each one's
 * type, length, alignment and NULL bit.  Tables of counters are mostly columns
 * of eight bytes, one after the other, and mostly without NULLs: so much can be
 * decided once for all rows, and a run of such columns is one copy.  Rows that
 * do have NULLs go PostgreSQL's way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "engine/deform.h"

/*
 * Prepares to take the first `natts` columns out of rows of this shape, none of
 * which is dropped or missing in rows.  Returns NULL where that is not
 * possible.  Memory is taken from the current context.
 */
Deformer *
deformer_create(TupleDesc desc, int natts)
{
	Deformer   *deformer = palloc(sizeof(Deformer));
	DeformStep *last = NULL;
	int			i;

	deformer->natts = natts;
	deformer->nsteps = 0;
	deformer->steps = palloc(natts * sizeof(DeformStep));
	deformer->values = palloc0(natts * sizeof(Datum));
	deformer->nulls = palloc0(natts * sizeof(bool));

	for (i = 0; i < natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		bool		is_word = column->attbyval && column->attlen == sizeof(Datum) &&
			column->attalign == TYPALIGN_DOUBLE;

		if (column->attlen < -1)
			return NULL;
		if (is_word && last != NULL && last->kind == DEFORM_WORDS)
		{
			last->n++;
			continue;
		}
		last = &deformer->steps[deformer->nsteps++];
		last->kind = is_word ? DEFORM_WORDS :
			column->attlen > 0 ? DEFORM_FIXED : DEFORM_VARLENA;
		last->column = i;
		last->n = 1;
		last->length = column->attlen;
		last->by_value = column->attbyval;
		last->align = column->attalign;
	}
	return deformer;
}
