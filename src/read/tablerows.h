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
#include "nodes/plannodes.h"

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

extern Oid	take_table_rows(PlannedStmt *stmt, List *columns);

#endif							/* BATCHAGG_TABLEROWS_H */
