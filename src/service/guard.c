/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Who may lock our tables.
 *
 * Every role may delete its own jobs.  To PostgreSQL, who may delete rows of a table
 * may LOCK it as well, and keep all others from it: their jobs, and the service.  So
 * LOCK TABLE on our tables, in modes stronger than those of INSERT, is for those who
 * have the rights of the tables' owner.  A view is locked with all that it reads.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "model/ext.h"
#include "service/guard.h"
#include "source/viewtree.h"

/*
 * To be called before LOCK TABLE.  ERROR where the user may not.
 */
void
guard_lock(const LockStmt *statement)
{
	ListCell   *lc;

	if (statement->mode <= RowExclusiveLock)
		return;
	foreach(lc, statement->relations)
	{
		Oid			relid = RangeVarGetRelid(lfirst(lc), NoLock, true);

		if (OidIsValid(relid))
			relid = view_tree_find(relid, ext_owns);
		if (OidIsValid(relid) && !has_privs_of_role(GetUserId(), ext_info()->owner))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to lock \"%s\"", get_rel_name(relid)),
					 errdetail("Only superusers and the owner of extension batchagg may keep others "
							   "from its tables.")));
	}
}
