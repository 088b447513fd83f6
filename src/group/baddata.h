/*-------------------------------------------------------------------------
 *
 * baddata.h
 *	  Errors about the data of a source.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_BADDATA_H
#define BATCHAGG_BADDATA_H

#include "model/job.h"

extern void report_bad_result(const Definition *definition, const char *metric,
							  const char *aggregate, const char *entity, int length,
							  TimestampTz bucket);
extern void report_bad_value(const Definition *definition, const char *metric,
							 const char *entity, int length, TimestampTz bucket);
extern void report_long_id(const Definition *definition, const char *entity, int length,
						   TimestampTz bucket);

#endif							/* BATCHAGG_BADDATA_H */
