/*-------------------------------------------------------------------------
 *
 * tablerows.h
 *	  Having a plan return the rows of its tables as they are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_TABLEROWS_H
#define BATCHAGG_TABLEROWS_H

#include "nodes/execnodes.h"

#include "engine/query.h"

/*
 * The table's own row that a plan which take_table_rows() has changed is at.
 */
static inline TupleTableSlot *
table_row(const PlanState *state)
{
	if (IsA(state, AppendState))
		state = ((const AppendState *) state)->appendplans[((const AppendState *) state)->as_whichplan];
	return ((const ScanState *) state)->ss_ScanTupleSlot;
}

extern void take_table_rows(ScanQuery *query, SourceScan *scan);

#endif							/* BATCHAGG_TABLEROWS_H */
