/*-------------------------------------------------------------------------
 *
 * collect.h
 *	  Marks that nobody needs any more.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_COLLECT_H
#define BATCHAGG_COLLECT_H

#include "access/transam.h"

extern FullTransactionId full_xid(TransactionId xid, FullTransactionId next);
extern void marks_collect(Oid marks_relid, int32 source_id, const char *source, int64 at_most);

#endif							/* BATCHAGG_COLLECT_H */
