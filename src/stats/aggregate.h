/*-------------------------------------------------------------------------
 *
 * aggregate.h
 *	  The aggregates by name, and what each needs of a partial state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_AGGREGATE_H
#define BATCHAGG_AGGREGATE_H

typedef enum AggregateKind
{
	AGGREGATE_SUM,
	AGGREGATE_AVG,
	AGGREGATE_COUNT,
	AGGREGATE_MIN,
	AGGREGATE_MAX,
	AGGREGATE_STD,				/* sample */
	AGGREGATE_VAR,				/* sample */
	AGGREGATE_STDDEV_POP,
	AGGREGATE_VAR_POP,
	AGGREGATE_RANGE,			/* max - min */
	AGGREGATE_FIRST,			/* by time, ties by value */
	AGGREGATE_LAST,
	AGGREGATE_DELTA,			/* last - first */
	AGGREGATE_DISTINCT,			/* number of distinct values */
	AGGREGATE_PERCENTILE		/* percentile_cont; median is the one at 0.5 */
} AggregateKind;

/* Longest canonical name of an aggregate, with its terminator. */
#define AGGREGATE_NAME_LEN 24

typedef struct Aggregate
{
	AggregateKind kind;
	double		fraction;		/* of a percentile, 0 < fraction < 1 */
	char		name[AGGREGATE_NAME_LEN];	/* canonical: "avg", "p99_9" */
} Aggregate;

/* At most this many aggregates for one metric. */
#define MAX_AGGREGATES 64

extern const char *aggregate_parse(const char *name, Aggregate *result);
extern const char *aggregate_list_parse(const char *list, Aggregate *result, int *n,
										char *offender, int offender_size);
extern bool aggregate_suggest(const char *word, Aggregate *result);
extern bool aggregates_lack_commas(const char *words);

#endif							/* BATCHAGG_AGGREGATE_H */
