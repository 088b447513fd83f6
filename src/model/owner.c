/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  Being the owner of a job for a while.
 *
 * Sources are resolved, planned and read as the job's owner, in a
 * security-restricted operation and with fixed settings, whoever runs the job.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "model/ext.h"
#include "model/owner.h"
#include "model/reading.h"

/*
 * Becomes the owner of `job`, restricted.  Names resolve in pg_catalog alone, as those of
 * sources are stored with their schemas: nothing depends on who runs the job.  With
 * `timezone`, TimeZone and all settings that results could depend on are fixed too.
 */
void
owner_enter(OwnerScope *scope, const Job *job, const char *timezone)
{
	Assert(OidIsValid(job->owner));
	GetUserIdAndSecContext(&scope->saved_user, &scope->saved_context);
	SetUserIdAndSecContext(job->owner, scope->saved_context | SECURITY_RESTRICTED_OPERATION);
	scope->guc_level = NewGUCNestLevel();
	ext_set("search_path", "pg_catalog, pg_temp");
	if (timezone != NULL)
		reading_fix_settings(job->owner, timezone);
}

/*
 * Becomes who one was.
 */
void
owner_leave(const OwnerScope *scope)
{
	Assert(InSecurityRestrictedOperation());
	AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->saved_user, scope->saved_context);
}

/*
 * To be called where an error is caught that came while a source was planned or read
 * as its owner: raises it again.  What a function in a view or a policy does not find
 * is mostly there, but not in the search_path that is fixed here; the hint says so.
 */
void
owner_rethrow(MemoryContext context)
{
	ErrorData  *error;

	if (geterrcode() != ERRCODE_UNDEFINED_FUNCTION && geterrcode() != ERRCODE_UNDEFINED_TABLE &&
		geterrcode() != ERRCODE_UNDEFINED_OBJECT)
		PG_RE_THROW();
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();

	/* Names in a filter are another matter, and have a hint of their own; so do settings. */
	if (error->message_id != NULL &&
		strcmp(error->message_id, "unrecognized configuration parameter \"%s\"") == 0)
		error->hint = "A job reads its sources with the settings that a new session of its owner has: "
			"ALTER ROLE ... SET.";
	else if (error->context == NULL || strstr(error->context, "resource_filter") == NULL)
		error->hint = "A run reads its sources with search_path set to pg_catalog. In functions that "
			"a view calls, write names with their schema, or give the functions a search_path: "
			"ALTER FUNCTION ... SET search_path.";
	ReThrowError(error);
}
