/*-------------------------------------------------------------------------
 *
 * row.c
 *	  The row that a trigger is fired for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "api/row.h"

/*
 * The row of a trigger that is called BEFORE or INSTEAD OF the change of a
 * row; ERROR where it is called in any other way.
 */
Row
row_of_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Row			row = {0};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		TRIGGER_FIRED_AFTER(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function %u must be called by a row trigger, before the change",
						fcinfo->flinfo->fn_oid)));

	row.relid = RelationGetRelid(data->tg_relation);
	row.desc = RelationGetDescr(data->tg_relation);
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		row.now = data->tg_trigtuple;
	else
	{
		row.before = data->tg_trigtuple;
		row.now = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : NULL;
	}
	return row;
}

static int
row_column(const Row *row, const char *name)
{
	int			column = SPI_fnumber(row->desc, name);

	if (column <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" does not exist", name)));
	return column;
}

Datum
row_value(const Row *row, const char *name, bool *isnull)
{
	return SPI_getbinval(row->now, row->desc, row_column(row, name), isnull);
}

/* A column's text output, in the current memory context; NULL for a NULL. */
char *
row_text(const Row *row, const char *name)
{
	return SPI_getvalue(row->now, row->desc, row_column(row, name));
}

/* The same of the row before an UPDATE or DELETE. */
char *
row_text_before(const Row *row, const char *name)
{
	return SPI_getvalue(row->before, row->desc, row_column(row, name));
}

/* Is the row new, or is this column? */
bool
row_changed(const Row *row, const char *name)
{
	int			column = row_column(row, name);
	char	   *before;
	char	   *now;

	if (row->before == NULL)
		return true;
	before = SPI_getvalue(row->before, row->desc, column);
	now = SPI_getvalue(row->now, row->desc, column);
	if (before == NULL || now == NULL)
		return before != now;
	return strcmp(before, now) != 0;
}

void
row_set(Row *row, const char *name, Datum value, bool isnull)
{
	int			column = row_column(row, name);

	row->now = heap_modify_tuple_by_cols(row->now, row->desc, 1, &column, &value, &isnull);
}

void
row_set_text(Row *row, const char *name, const char *text)
{
	row_set(row, name, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

/* An integer column that is NOT NULL; 0 where it is NULL all the same. */
int32
row_int(const Row *row, const char *name)
{
	bool		isnull;
	Datum		value = row_value(row, name, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}
