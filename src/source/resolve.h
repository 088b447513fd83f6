/*-------------------------------------------------------------------------
 *
 * resolve.h
 *	  Resolving what a definition reads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_RESOLVE_H
#define BATCHAGG_RESOLVE_H

#include "model/problem.h"
#include "source/source.h"

/*
 * Resolves a definition's sources: one Source per relation, by name.  Runs as
 * the job's owner, in the caller's search_path.  Takes AccessShareLock on each
 * relation, held to the end of the transaction.  The relations stay open, so that
 * code which runs while sources are planned or read cannot alter or drop them in
 * this session either: sources_close() has to follow, unless there is an error.
 * With problems->collect, what is broken is left out.
 */
extern List *source_resolve(Job *job, Definition *definition, Problems *problems);

#endif							/* BATCHAGG_RESOLVE_H */
