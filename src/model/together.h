/*-------------------------------------------------------------------------
 *
 * together.h
 *	  Which jobs are run together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_TOGETHER_H
#define BATCHAGG_TOGETHER_H

/* Jobs that are run together, at most. */
#define MAX_GROUP_JOBS 32

extern Datum written_relations(void);
extern char **job_source_keys(const int32 *job_ids, int n);
extern int	job_group_length(char *const *keys, int n);

#endif							/* BATCHAGG_TOGETHER_H */
