/*-------------------------------------------------------------------------
 *
 * doubt.c
 *	  What is doubtful about a source: its id, who can change it, what depends on the session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "model/reading.h"
#include "settings.h"
#include "source/doubt.h"
#include "source/meaning.h"
#include "source/viewtree.h"

/*
 * Warns of an id that makes every row a group of its own, and tells of a column that
 * is called as what results are to be per.
 */
void
warn_of_unique_id(Draft *draft, AttrNumber id_column)
{
	const char *focal_entity = draft->definition->focal_entity;
	AttrNumber	other;
	AttrNumber	called = match_column(draft, focal_entity, &other);
	Bitmapset  *key = RelationGetIndexAttrBitmap(draft->rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);

	if (id_column == InvalidAttrNumber || bms_num_members(key) != 1 ||
		!bms_is_member(id_column - FirstLowInvalidHeapAttributeNumber, key))
		return;
	problem_report(draft->problems, ERRCODE_WARNING, draft->definition_id, true,
				   psprintf("id column \"%s\" is the primary key of source \"%s\"",
							column_name(draft, id_column), draft->name),
				   called == InvalidAttrNumber || called == id_column ?
				   "Every row is a group of its own." :
				   psprintf("Every row is a group of its own. Column \"%s\" is called like the "
							"focal entity.", column_name(draft, called)),
				   "Specify the column of the focal entity as id_column in batchjob_definitions.");
}

/* Reports a setting that this session has and the reader has not, where one is asked for. */
static void
report_setting(Draft *draft, const SessionCall *call)
{
	const char *reader = GetUserNameFromId(draft->reader, true);

	if (reading_can_fix(draft->reader, call->setting))
		return;
	draft_problem(draft, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				  psprintf("setting \"%s\" is not known to sessions of role \"%s\"", call->setting,
						   reader),
				  psprintf("In %s, it is used. This session has it, but a job is not read with that.",
						   call->where),
				  psprintf("ALTER ROLE %s SET %s TO its value, or run the job in a session without it.",
						   quote_identifier(reader), call->setting));
}

/* What is to be said of a call whose result depends on the session. */
static char *
session_call_text(const SessionCall *call)
{
	return psprintf(call->is_certain ? "In %s, %s is used." :
					"A function that %s calls has the word %s in its text.", call->where,
					call->setting ? psprintf("setting \"%s\"", call->setting) : call->function);
}

static char *
session_call_hint(const SessionCall *call)
{
	return call->tells_who ?
		"While a job is run, current_user is its owner: use that instead." :
		"A job reads its sources with the settings that a new session of its owner "
		"has, whoever runs it. ALTER ROLE ... SET changes them.";
}

/*
 * Reports that what a relation has depends on who runs the job: a problem where its
 * query says so and nothing can fix it, else a warning for who validates the job.
 */
void
report_session_calls(Draft *draft)
{
	ListCell   *lc;

	foreach(lc, meaning_session_calls(draft->rel))
	{
		const SessionCall *call = lfirst(lc);
		bool		is_problem = call->tells_who && call->is_certain;

		if (call->setting != NULL && !call->tells_who)
		{
			report_setting(draft, call);
			continue;
		}
		if (!is_problem && !draft->problems->collect)
			continue;
		draft->failed |= is_problem;
		problem_report(draft->problems, is_problem ? ERRCODE_FEATURE_NOT_SUPPORTED : ERRCODE_WARNING,
					   draft->definition_id, !is_problem,
					   psprintf("the rows of source \"%s\" depend on the session that reads them",
								draft->name),
					   session_call_text(call), session_call_hint(call));
	}
}

static bool
is_of_no_superuser(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		result = HeapTupleIsValid(tuple) &&
	!superuser_arg(((Form_pg_class) GETSTRUCT(tuple))->relowner);

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

static bool
is_function_of_no_superuser(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		result = HeapTupleIsValid(tuple) &&
	!superuser_arg(((Form_pg_proc) GETSTRUCT(tuple))->proowner);

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

/* The name of what a source is, reads or calls and no superuser owns, for a message; or NULL. */
static const char *
stranger_of(Oid relid)
{
	Oid			stranger = view_tree_find(relid, is_of_no_superuser);

	if (OidIsValid(stranger))
		return psprintf("\"%s\"", get_rel_name(stranger));
	stranger = view_tree_find_call(relid, is_function_of_no_superuser);
	return OidIsValid(stranger) ? psprintf("function \"%s\"", get_func_name(stranger)) : NULL;
}

/*
 * A superuser who reads what another role owns, or calls, runs what that role puts in its
 * place: a view that calls a function.  That is a problem where it shall not be; else
 * validation tells of it.
 */
void
check_trust(Draft *draft)
{
	const char *stranger;
	char	   *message;
	char	   *detail;

	if (!superuser_arg(draft->reader) ||
		!(batchagg_restrict_superuser_jobs || draft->problems->collect))
		return;
	stranger = stranger_of(RelationGetRelid(draft->rel));
	if (stranger == NULL)
		return;
	message = psprintf("a superuser's job reads source \"%s\", which another role can change",
					   draft->name);
	detail = psprintf("No superuser owns %s: its owner can have code run as superuser.", stranger);
	if (batchagg_restrict_superuser_jobs)
		draft_problem(draft, ERRCODE_INSUFFICIENT_PRIVILEGE, message, detail,
					  "Give the job to the role that owns the source. The setting "
					  "\"batchagg.restrict_superuser_jobs\" is on.");
	else
		problem_report(draft->problems, ERRCODE_WARNING, draft->definition_id, true, message, detail,
					   "Give the job to the role that owns the source.");
}

/*
 * Warns of functions that an analysed filter calls, and whose results depend on the
 * session.  Those that it names itself have been refused.
 */
void
warn_of_session_calls(Node *filter, const FilterWarnings *warnings, const char *source)
{
	ListCell   *lc;

	foreach(lc, meaning_filter_session_calls(filter))
	{
		const SessionCall *call = lfirst(lc);

		/* Who asks for a setting also calls current_setting(). */
		if (call->setting != NULL && !call->tells_who)
			continue;
		problem_report(warnings->problems, ERRCODE_WARNING, warnings->definition_id, true,
					   psprintf("which rows of source \"%s\" the filter lets pass depends on the session",
								source),
					   session_call_text(call), session_call_hint(call));
	}
}
