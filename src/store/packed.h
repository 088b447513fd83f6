/*-------------------------------------------------------------------------
 *
 * packed.h
 *	  The results of a group as a row of the store, and comparing that with what is stored.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_PACKED_H
#define BATCHAGG_PACKED_H

#include "store/part.h"

extern int	part_row(const Rollup *rollup, const PartWriter *part, const GroupOut *group,
					 Datum *values, bool *nulls);
extern bool part_row_equal(const PartWriter *part, const Datum *values, const bool *nulls);
extern bool part_states_differ(const Rollup *rollup, const PartWriter *part, const Datum *values,
							   const bool *nulls);

#endif							/* BATCHAGG_PACKED_H */
