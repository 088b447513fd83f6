/*-------------------------------------------------------------------------
 *
 * sourcerows.h
 *	  What a source is asked, as the owner of its job.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SOURCEROWS_H
#define BATCHAGG_SOURCEROWS_H

#include "source/source.h"

extern Node *source_filter(const Source *source);
extern Oid	source_column_type(const Source *source, AttrNumber column);
extern bool source_time_is_local(const Source *source);
extern const char *source_time_name(const Source *source);
extern const char *source_time_as_instant(const Source *source, const char *time);
extern const char *source_time(const Source *source);
extern TimestampTz source_row_time(const Source *source, bool newest, TimestampTz bound);

#endif							/* BATCHAGG_SOURCEROWS_H */
