/*-------------------------------------------------------------------------
 *
 * draft.h
 *	  Relations under examination: whether they can be read, and by which columns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_DRAFT_H
#define BATCHAGG_DRAFT_H

#include "model/problem.h"
#include "source/source.h"

/* A metric asked of a relation. */
typedef struct Request
{
	JobMetric  *metric;			/* NULL when a mapping alone is checked */
	const char *metric_name;
	const SourceMapping *mapping;	/* or NULL */
} Request;

/* A relation under examination. */
typedef struct Draft
{
	char	   *written;		/* its name where we have it from */
	char	   *name;			/* qualified and quoted; NULL: not found */
	bool		looked_up;
	Oid			relid;			/* InvalidOid: there is none, or it was not looked up */
	Relation	rel;			/* NULL: not open */
	char	  **folded;			/* column names as name_fold() has them; NULL: no such column any
								 * more */
	List	   *requests;		/* of Request */
	SourceMapping merged;		/* what the mappings say, taken together, but for what the
								 * definition says itself */
	List	   *passed_over;	/* of SourceMapping: as the entity has the metric */
	Oid			reader;			/* whose privileges count */
	const Definition *definition;	/* NULL when a mapping alone is checked */
	int			definition_id;
	Problems   *problems;
	bool		failed;			/* a problem was reported that rules it out */
} Draft;

extern void draft_problem(Draft *draft, int sqlerrcode, char *message, char *detail, char *hint);
extern const char *column_name(const Draft *draft, AttrNumber column);
extern Oid	column_type(const Draft *draft, AttrNumber column);
extern AttrNumber match_column(const Draft *draft, const char *name, AttrNumber *other);
extern AttrNumber find_named_column(Draft *draft, const char *name, const char *field, bool by_definition);
extern bool draft_try_open(Draft *draft);
extern bool draft_open(Draft *draft);
extern void draft_close(Draft *draft);
extern bool draft_look_up(Draft *draft);
extern bool draft_find(Draft *draft);
extern void merge_mappings(Draft *draft);
extern void resolve_layout(Draft *draft, Source *source);
extern AttrNumber resolve_id(Draft *draft, const char *focal_entity);
extern AttrNumber resolve_time(Draft *draft);
extern void require_privileges(Draft *draft, const AttrNumber *columns, int ncolumns);
extern void require_source_privileges(Draft *draft, const Source *source);

#endif							/* BATCHAGG_DRAFT_H */
