/*-------------------------------------------------------------------------
 *
 * layout.h
 *	  Layouts of packed rows: what each element of a stored array means.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_LAYOUT_H
#define BATCHAGG_LAYOUT_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* One part of the results of a definition on a source, as it is or is to be stored. */
typedef struct StoredLayout
{
	int32		id;				/* 0: it is not stored, or not known yet */
	int32		definition_id;
	const char *source;			/* qualified name */
	int			part;			/* from 1 */
	const char *focal_entity;
	const char *granularity;	/* canonical */
	int			npositions;
	int		   *metrics;		/* of each position, from 1 */
	const char **metric_names;
	const char **aggregate_names;
	const char **result_names;
	const char *meaning;		/* of the definition: hashes */
	bool		keeps;			/* results outlive their rows */
	const char *before;			/* the meaning of what there was, where it is another */
} StoredLayout;

extern bool layout_ensure(StoredLayout *layout, bool may_write);
extern List *layouts_others(const List *definition_ids, const List *layout_ids);
extern bool layouts_drop_others(const List *definition_ids, const List *layout_ids,
								Datum untouched_definitions, Datum untouched_sources);
extern void layouts_analyze(void);
extern void layout_changed(int32 layout_id);
extern TimestampTz layouts_history(int32 definition_id, const char *source, bool *mixed);
extern void layouts_set_history(int32 definition_id, const char *source, TimestampTz rows_from,
								bool mixed);
extern int64 layouts_delete_before(int32 definition_id, const char *source, TimestampTz t);

#endif							/* BATCHAGG_LAYOUT_H */
