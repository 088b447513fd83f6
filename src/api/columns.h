/*-------------------------------------------------------------------------
 *
 * columns.h
 *	  Checks of single columns, as their row is written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_COLUMNS_H
#define BATCHAGG_COLUMNS_H

#include "api/row.h"

/* The most bytes of a name. */
#define MAX_NAME_BYTES 1000

/* The longest text that a column may have, in bytes; of NULL ends the list. */
typedef struct ColumnLimit
{
	const char *column;
	int			bytes;
} ColumnLimit;

extern Oid	check_owner(Row *row);
extern void check_lengths(const Row *row, const ColumnLimit *limits);
extern void check_id_is_drawn(const Row *row, const char *sequence);
extern void check_choice(const Row *row, const char *column, const char *const *choices,
						 const char *hint);
extern void check_not_empty(const Row *row, const char *column);
extern void check_time(const Row *row, const char *column);
extern void check_interval(const Row *row, const char *column);
extern void check_number(const Row *row, const char *column, int least, int most,
						 const char *hint);

#endif							/* BATCHAGG_COLUMNS_H */
