/*-------------------------------------------------------------------------
 *
 * problem.h
 *	  One way to say what is wrong with a job: raised at once by a run,
 *	  collected by batchagg_validate_job().
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_PROBLEM_H
#define BATCHAGG_PROBLEM_H

#include "nodes/pg_list.h"

typedef struct Problem
{
	int			sqlerrcode;
	int			definition_id;	/* 0: of the job as a whole */
	bool		is_warning;		/* does not keep the job from running */
	char	   *message;
	char	   *detail;			/* or NULL */
	char	   *hint;			/* or NULL */
} Problem;

/* Where problems go: with `collect` into the list, else raised as they come. */
typedef struct Problems
{
	bool		collect;
	List	   *list;			/* of Problem */
	const char *if_missing;		/* ends the hint where a source does not exist; or NULL */
} Problems;

extern void problem_report(Problems *problems, int sqlerrcode, int definition_id,
						   bool is_warning, char *message, char *detail, char *hint);
extern bool error_is_cancel(const ErrorData *error);
extern ErrorData *error_of(void (*work) (void *arg), void *arg);
extern char *text_for_client(const char *text);
extern char *context_for_client(const char *text);
extern int	text_clip(const char *text, int length, int limit);
extern bool problem_catch(Problems *problems, int definition_id, void (*check) (void *arg),
						  void *arg);
extern void problems_raise(const Problems *problems);

#endif							/* BATCHAGG_PROBLEM_H */
