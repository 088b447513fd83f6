/*-------------------------------------------------------------------------
 *
 * walkfunctions.c
 *	  What functions mean: their rows, what they call, and on what of the session they depend.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

#include "source/meaning.h"
#include "source/walk.h"

/* Functions of PostgreSQL whose results depend on the session. */
static const struct
{
	const char *name;
	bool		tells_who;
}			session_functions[] = {
	{"session_user", true},
	{"system_user", true},
	{"current_setting", false},
	{"set_config", false},
	{"pg_show_all_settings", false},
	{"current_query", false},
	{"inet_client_addr", false},
	{"inet_client_port", false},
	{"inet_server_addr", false},
	{"inet_server_port", false},
	{"pg_backend_pid", false},
	{"pg_client_encoding", false},
	{"pg_my_temp_schema", false}
};

/* A session function's place in the list above; -1: the function is none. */
static int
session_function(Oid function)
{
	int			result = -1;
	HeapTuple	tuple;
	Form_pg_proc form;

	if (function >= FirstNormalObjectId)
		return -1;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return -1;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	for (int i = 0; i < lengthof(session_functions); i++)
		if (form->pronamespace == PG_CATALOG_NAMESPACE &&
			strcmp(NameStr(form->proname), session_functions[i].name) == 0)
			result = i;
	ReleaseSysCache(tuple);
	return result;
}

static SessionCall *
add_session_call(Walk *walk, int number)
{
	SessionCall *call = palloc0(sizeof(SessionCall));

	call->function = session_functions[number].name;
	call->tells_who = session_functions[number].tells_who;
	call->where = walk->where;
	call->is_certain = !walk->guessing;
	walk->calls = lappend(walk->calls, call);
	return call;
}

/* Settings that tell who has connected, and with what. */
static const char *const who_settings[] = {
	"application_name", "client_encoding", "is_superuser", "role", "session_authorization"
};

/* Notes which setting a call of current_setting() asks for, if that can be told. */
void
walk_setting_call(Walk *walk, const FuncExpr *call)
{
	const Const *name = linitial(call->args);
	SessionCall *noted;

	if (!IsA(name, Const) || name->constisnull)
		return;
	noted = add_session_call(walk, session_function(call->funcid));
	noted->setting = TextDatumGetCString(name->constvalue);
	for (int i = 0; i < lengthof(who_settings); i++)
		if (pg_strcasecmp(noted->setting, who_settings[i]) == 0)
			noted->tells_who = true;
}

/* Appends who the job's owner is, as an expression asks for the current user. */
void
walk_owner(Walk *walk)
{
	appendStringInfo(walk->text, " %s", GetUserNameFromId(GetUserId(), false));
}

void
walk_value_function(Walk *walk, const SQLValueFunction *function)
{
	switch (function->op)
	{
		case SVFOP_SESSION_USER:
			(void) add_session_call(walk, 0);
			break;
		case SVFOP_CURRENT_ROLE:
		case SVFOP_CURRENT_USER:
		case SVFOP_USER:
			walk_owner(walk);
			break;
		default:
			break;
	}
}

/* Walks through the functions of an aggregate. */
static void
walk_aggregate(Walk *walk, Oid function)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(function));
	Form_pg_aggregate form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	walk_append_tuple(walk, tuple);
	walk_function(walk, form->aggtransfn);
	walk_function(walk, form->aggfinalfn);
	walk_function(walk, form->aggcombinefn);
	ReleaseSysCache(tuple);
}

/* Walks through a tree that is a column of a catalogue's row. */
static void
walk_stored_tree(Walk *walk, HeapTuple tuple, AttrNumber column)
{
	bool		isnull;
	Datum		tree = SysCacheGetAttr(PROCOID, tuple, column, &isnull);

	if (!isnull)
		(void) walk_node(stringToNode(TextDatumGetCString(tree)), walk);
}

/* Walks through a function that is not PostgreSQL's own. */
static void
walk_users_function(Walk *walk, HeapTuple tuple)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
	bool		isnull;
	Datum		source;
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			n = get_func_arg_info(tuple, &types, &names, &modes);

	walk_append_tuple(walk, tuple);
	walk_type(walk, form->prorettype);
	for (int i = 0; i < n; i++)
		walk_type(walk, types[i]);
	walk_stored_tree(walk, tuple, Anum_pg_proc_proargdefaults);
	walk_stored_tree(walk, tuple, Anum_pg_proc_prosqlbody);
	if (form->prokind == PROKIND_AGGREGATE)
		walk_aggregate(walk, form->oid);
	else if (form->prolang != INTERNALlanguageId && form->prolang != ClanguageId)
	{
		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
		if (!isnull)
			walk_words(walk, TextDatumGetCString(source));
	}
}

void
walk_function(Walk *walk, Oid function)
{
	int			session;
	HeapTuple	tuple;

	if (!OidIsValid(function) || !walk_meet(walk, ProcedureRelationId, function))
		return;
	check_stack_depth();
	session = session_function(function);
	if (session >= 0)
		(void) add_session_call(walk, session);
	if (function == F_CURRENT_USER)
		walk_owner(walk);
	if (function < FirstNormalObjectId)
		return;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return;
	walk_users_function(walk, tuple);
	ReleaseSysCache(tuple);
}

static bool
is_session_function(Oid function, void *context)
{
	*(int *) context = session_function(function);
	return *(int *) context >= 0;
}

/*
 * The function that a node of an analysed expression calls itself, and whose result
 * depends on the session; NULL: there is none.
 */
const char *
meaning_session_function(Node *node)
{
	int			number = -1;

	if (IsA(node, SQLValueFunction) && ((SQLValueFunction *) node)->op == SVFOP_SESSION_USER)
		number = 0;
	else
		(void) check_functions_in_node(node, is_session_function, &number);
	return number < 0 ? NULL : session_functions[number].name;
}
