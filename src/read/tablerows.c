/*-------------------------------------------------------------------------
 *
 * tablerows.c
 *	  Having a plan return the rows of its tables as they are.
 *
 * A plan that scans a table takes each row apart and projects the columns that
 * are asked for.  The receiver can pick them itself, in fewer steps (deform.c); so
 * the plan is made not to, and the receiver takes the table's own row from the scan.
 * The same where it scans several tables one after the other,
 * partitions for the most part, if rows of all of them have the same shape and the
 * columns are in the same places.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "nodes/makefuncs.h"
#include "parser/parsetree.h"
#include "utils/rel.h"

#include "read/tablerows.h"

/* The scans of tables that a plan consists of; NIL where it does anything else. */
static List *
scans_of_plan(Plan * plan)
{
	List	   *scans = IsA(plan, Append) ? ((Append *) plan)->appendplans : list_make1(plan);
	ListCell   *lc;

	foreach(lc, scans)
	{
		const		Plan *scan = lfirst(lc);

		if (!IsA(scan, SeqScan) && !IsA(scan, IndexScan) && !IsA(scan, BitmapHeapScan))
			return NIL;
	}
	return scans;
}

/* The table that a scan reads. */
static Oid
scan_table(const PlannedStmt *stmt, const Scan *scan)
{
	return rt_fetch(scan->scanrelid, stmt->rtable)->relid;
}

/* Number of the table's column that the plan's column is, from 0; -1: none. */
static int
table_column(const Plan * plan, int column)
{
	const TargetEntry *entry = list_nth(plan->targetlist, column);

	if (!IsA(entry->expr, Var) || ((Var *) entry->expr)->varattno <= 0)
		return -1;
	return ((Var *) entry->expr)->varattno - 1;
}

/* Do rows of two tables have the same shape? */
static bool
same_shape(TupleDesc a, TupleDesc b)
{
	int			i;

	if (a->natts != b->natts)
		return false;
	for (i = 0; i < a->natts; i++)
	{
		Form_pg_attribute column_a = TupleDescAttr(a, i);
		Form_pg_attribute column_b = TupleDescAttr(b, i);

		if (column_a->atttypid != column_b->atttypid || column_a->attlen != column_b->attlen ||
			column_a->attbyval != column_b->attbyval || column_a->attalign != column_b->attalign)
			return false;
	}
	return true;
}

/*
 * Does this scan return nothing but columns of its table, and the same ones as the
 * scan `first`?
 */
static bool
scans_agree(const PlannedStmt *stmt, const Plan * first, const Plan * scan)
{
	Relation	first_rel = table_open(scan_table(stmt, (const Scan *) first), NoLock);
	Relation	rel = table_open(scan_table(stmt, (const Scan *) scan), NoLock);
	bool		result = same_shape(RelationGetDescr(first_rel), RelationGetDescr(rel));
	int			i;

	for (i = 0; i < list_length(scan->targetlist); i++)
		if (table_column(scan, i) < 0 || table_column(scan, i) != table_column(first, i))
			result = false;
	table_close(rel, NoLock);
	table_close(first_rel, NoLock);
	return result;
}

/*
 * The columns of a table as a target list; NIL where the executor would project them,
 * because a column was dropped, or added without a rewrite.
 */
static List *
table_columns(TupleDesc desc, Index relid)
{
	List	   *columns = NIL;
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		Var		   *var = makeVar(relid, i + 1, column->atttypid, column->atttypmod,
								  column->attcollation, 0);

		if (column->attisdropped || column->atthasmissing)
			return NIL;
		columns = lappend(columns, makeTargetEntry((Expr *) var, i + 1,
												   pstrdup(NameStr(column->attname)), false));
	}
	return columns;
}

/*
 * The target list with which a scan does the least: its table's columns, which need
 * no projection, else a constant.  Not nothing: then a bitmap heap scan would not
 * fetch rows at all.
 */
static List *
least_target_list(const PlannedStmt *stmt, const Scan *scan)
{
	Relation	rel = table_open(scan_table(stmt, scan), NoLock);
	List	   *columns = table_columns(RelationGetDescr(rel), scan->scanrelid);

	table_close(rel, NoLock);
	if (columns != NIL)
		return columns;
	return list_make1(makeTargetEntry((Expr *) makeBoolConst(true, false), 1, pstrdup("row"),
									  false));
}

/*
 * Makes a plan that only scans tables project as little as can be.  Returns the table
 * (one of several of the same shape), whose rows table_row() has; moves the numbers of
 * the plan's columns in `columns`, a list of pointers to int, to those of the table.
 * Leaves other plans alone, and returns InvalidOid.
 */
Oid
take_table_rows(PlannedStmt *stmt, List *columns)
{
	List	   *scans = scans_of_plan(stmt->planTree);
	Oid			table;
	ListCell   *lc;

	if (scans == NIL)
		return InvalidOid;
	foreach(lc, scans)
		if (!scans_agree(stmt, linitial(scans), lfirst(lc)))
			return InvalidOid;

	table = scan_table(stmt, linitial(scans));
	foreach(lc, columns)
	{
		int		   *column = lfirst(lc);

		*column = table_column(linitial(scans), *column);
	}
	foreach(lc, scans)
		((Plan *) lfirst(lc))->targetlist = least_target_list(stmt, lfirst(lc));
	return table;
}
