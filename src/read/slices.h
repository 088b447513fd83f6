/*-------------------------------------------------------------------------
 *
 * slices.h
 *	  Rows that are set aside in files, each with the others of its group.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SLICES_H
#define BATCHAGG_SLICES_H

/* Where columns of a row are that are not by value, and their types' lengths. */
typedef struct RowReferences
{
	int			n;
	int		   *columns;
	int16	   *lengths;
} RowReferences;

typedef struct Slices Slices;

extern int	slices_affordable(Size memory);
extern Slices *slices_create(MemoryContext parent, int n, int width,
							 const RowReferences *references);
extern void slices_put(Slices *slices, uint32 hash, const Datum *row, const bool *nulls);
extern bool slices_next(Slices *slices);
extern bool slices_get(Slices *slices, Datum *row, bool *nulls, bool *has_nulls);
extern void slices_free(Slices *slices);

#endif							/* BATCHAGG_SLICES_H */
