/*-------------------------------------------------------------------------
 *
 * source.c
 *	  What a definition reads from one relation.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "model/ext.h"
#include "source/source.h"

/*
 * The id of a source's entity that has this text.  ERROR where the type of ids
 * does not accept it.
 */
Datum
source_id_from_text(const Source *source, const char *text, int length)
{
	Oid			input;
	Oid			io_param;

	getTypeInputInfo(getBaseType(get_atttype(source->relid, source->id_column)),
					 &input, &io_param);
	return OidInputFunctionCall(input, pnstrdup(text, length), io_param, -1);
}

/*
 * The definitions and names of sources (a list of Source), as arrays for a
 * statement's arguments.
 */
void
sources_as_arrays(const List *sources, Datum *definition_ids, Datum *names)
{
	List	   *texts = NIL;
	List	   *ids = NIL;
	ListCell   *lc;

	foreach(lc, sources)
	{
		const Source *source = lfirst(lc);

		texts = lappend(texts, (char *) source->name);
		ids = lappend_int(ids, source->definition->id);
	}
	*definition_ids = ext_int_array(ids);
	*names = ext_text_array(texts);
}

/*
 * Closes the relations of sources that source_resolve() has left open.
 */
void
sources_close(List *sources)
{
	ListCell   *lc;

	foreach(lc, sources)
		relation_close(((Source *) lfirst(lc))->rel, NoLock);
}

static void
check_column(const Source *source, AttrNumber column)
{
	if (column != InvalidAttrNumber &&
		TupleDescAttr(RelationGetDescr(source->rel), column - 1)->attisdropped)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("a column of source \"%s\" was dropped while the job was running",
						source->name)));
}

/*
 * ERROR where a column of a source is not there any more.  PostgreSQL does not let a
 * column of an open relation be dropped, but for one that goes with its type.
 */
void
source_check_columns(const Source *source)
{
	ListCell   *lc;

	check_column(source, source->id_column);
	check_column(source, source->time_column);
	check_column(source, source->name_column);
	check_column(source, source->value_column);
	foreach(lc, source->metrics)
		check_column(source, ((SourceMetric *) lfirst(lc))->column);
}

/*
 * Is each group of `coarse` made of whole groups of `fine`, but for what horizons
 * cut off?
 */
bool
source_nests(const Source *fine, const Source *coarse)
{
	const Definition *f = fine->definition;
	const Definition *c = coarse->definition;

	return fine->relid == coarse->relid && fine->layout == coarse->layout &&
		fine->id_column == coarse->id_column && fine->time_column == coarse->time_column &&
		fine->name_column == coarse->name_column && fine->value_column == coarse->value_column &&
		granularity_nests(&f->granularity, &c->granularity) &&
		strcmp(f->timezone, c->timezone) == 0 &&
		strcmp(f->filter ? f->filter : "", c->filter ? c->filter : "") == 0;
}
