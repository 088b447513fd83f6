/*-------------------------------------------------------------------------
 *
 * validate.h
 *	  What keeps a job from running, besides what loading it finds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_VALIDATE_H
#define BATCHAGG_VALIDATE_H

#include "model/job.h"
#include "model/textmap.h"

extern void job_validate_event(const Job *job, Problems *problems);
extern void job_validate_sources(Job *job, Problems *problems);
extern textmap_hash *job_reads(Job *job);

#endif							/* BATCHAGG_VALIDATE_H */
