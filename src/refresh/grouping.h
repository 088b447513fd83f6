/*-------------------------------------------------------------------------
 *
 * grouping.h
 *	  What makes groups of a source's rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_GROUPING_H
#define BATCHAGG_GROUPING_H

#include "pgtime.h"

#include "source/source.h"

/* What made groups of a source's rows. */
typedef struct Grouping
{
	uint64		said;			/* a hash: columns by name, zone and filter */
	uint64		place;			/* a hash: cluster, database and relation */
	uint64		exact;			/* a hash: columns by number, and what else is meant; 0: not known */
	uint64		id_name;		/* a hash */
	uint64		id_kind;		/* a hash: the type, if it is one of a kind that prints unlike
								 * others */
	uint64		id_digest;		/* of so many labels of an enum */
	uint64		name_digest;
	int			id_labels;
	int			name_labels;
	int			id_column;
	int			time_column;
	int			time_is_local;
	char		zone[TZ_STRLEN_MAX + 1];
} Grouping;

extern void grouping_find(const Source *source, Grouping *grouping);
extern char *grouping_text(const Source *source);
extern bool grouping_read(const char *text, Grouping *grouping);
extern bool grouping_is_same(const Source *source, const Grouping *before, const Grouping *now);
extern bool grouping_has_same_entities(const Source *source, const Grouping *before,
									   const Grouping *now);

#endif							/* BATCHAGG_GROUPING_H */
