/*-------------------------------------------------------------------------
 *
 * owners.h
 *	  The owners of jobs, mappings and measurements, and what becomes of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_OWNERS_H
#define BATCHAGG_OWNERS_H

#include "nodes/parsenodes.h"

extern void owner_hold(Oid table, Oid role);
extern void owners_follow(Node *statement, bool done);
extern void owners_require_followed(const DropOwnedStmt *statement);

#endif							/* BATCHAGG_OWNERS_H */
