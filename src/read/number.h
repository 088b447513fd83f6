/*-------------------------------------------------------------------------
 *
 * number.h
 *	  Values of all types of metrics as float8.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_NUMBER_H
#define BATCHAGG_NUMBER_H

/* Neighbouring values of a row, which are of one type. */
typedef struct ValueRun
{
	Oid			type;
	int			first;
	int			n;
} ValueRun;

extern int	value_runs(const Oid *types, int n, ValueRun *runs);
extern int	value_run_convert(const ValueRun *run, Datum *values, const bool *nulls);

#endif							/* BATCHAGG_NUMBER_H */
