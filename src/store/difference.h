/*-------------------------------------------------------------------------
 *
 * difference.h
 *	  Telling of stored results that differ from computed ones.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_DIFFERENCE_H
#define BATCHAGG_DIFFERENCE_H

#include "datatype/timestamp.h"

/*
 * A result that is stored otherwise than it is computed.  Of one that is only
 * stored, or only computed, the other side is false.  Where no result is, but what
 * the stored partial states come to, there is no metric, and neither side.
 */
typedef struct Difference
{
	int32		definition_id;
	const char *source;			/* qualified and quoted */
	TimestampTz bucket;
	text	   *entity;
	const char *metric_name;	/* NULL: partial states */
	const char *aggregate_name;
	bool		is_stored;
	bool		is_computed;
	double		stored;
	double		computed;
	int64		stored_count;	/* number of samples */
	int64		computed_count;
} Difference;

/* Who is told of differences, in place of the store. */
typedef struct DifferenceSink
{
	void		(*take) (void *arg, const Difference *difference);
	void	   *arg;
} DifferenceSink;

#endif							/* BATCHAGG_DIFFERENCE_H */
