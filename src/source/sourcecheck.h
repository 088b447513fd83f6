/*-------------------------------------------------------------------------
 *
 * sourcecheck.h
 *	  Checks of mappings and filters as they are written, and columns for who tracks changes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SOURCECHECK_H
#define BATCHAGG_SOURCECHECK_H

#include "access/attnum.h"

#include "model/mapping.h"
#include "source/filter.h"

extern void source_check_mapping(const SourceMapping *mapping, Oid reader);
extern void source_check_filter(Oid relid, const char *filter, const char *timezone, Oid reader,
								const FilterWarnings *warnings);
extern AttrNumber source_find_time(Oid relid, char *mapped);
extern AttrNumber source_find_id(Oid relid, char *mapped, const char *focal_entity);

#endif							/* BATCHAGG_SOURCECHECK_H */
