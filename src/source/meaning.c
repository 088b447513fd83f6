/*-------------------------------------------------------------------------
 *
 * meaning.c
 *	  What a source's columns and a filter mean, beyond their texts.
 *
 * A filter is a text, but what it says depends on much else: which column has the
 * name today, which type, how the labels of an enum are called, what a function
 * does that it calls, and so on with what that calls.  All of it can be changed
 * without a row being written.  So a definition's fingerprint has a digest of all
 * that is met on a walk which begins at the analysed filter, the columns that are
 * read, and the relation:
 *
 *	- analysed trees have columns by number, types, collations and functions by oid;
 *	- functions, by the contents of their rows of pg_proc, and what they call: of a
 *	  function written as SQL that PostgreSQL has analysed, the trees say; of the
 *	  text of any other one, each word and operator in it that is the name of
 *	  something is taken for that, and so is what a text calls without a name: casts,
 *	  and the operators that IN, LIKE and the like stand for.  That may be too much,
 *	  and then something is recomputed for nothing; names that a function puts
 *	  together are not found;
 *	- types: labels of enums, what domains, arrays, ranges and rows are made of, and
 *	  how their values are compared;
 *	- collations, by the version of the library's rules;
 *	- time zones that are named in an expression or a function's text, by their
 *	  rules, and what abbreviations of zones stand for; text search configurations,
 *	  by their dictionaries;
 *	- the job's owner, where something asks for the current user;
 *	- views, by their trees; policies; columns that are computed when they are read;
 *	  foreign tables, by their options.
 *
 * What belongs to PostgreSQL itself is walked over, as only an upgrade changes it.
 *
 * The same walk comes by all functions whose results depend on the session (who has
 * connected, from where, with which settings).  Results must not depend on who runs
 * a job, so filters may not call these, and of views and policies people are told.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_range.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_config_map.h"
#include "catalog/pg_ts_dict.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "commands/defrem.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "source/meaning.h"
#include "time/zone.h"

/* What has been met, so that nothing is walked twice. */
typedef struct Met
{
	Oid			catalog;
	Oid			object;
	Oid			reader;			/* of a relation */
} Met;

/* In the place of a catalogue: the setting timezone_abbreviations. */
#define ABBREVIATIONS InvalidOid

/* A walk. */
typedef struct Meaning
{
	StringInfo	text;			/* what there is of meaning so far */
	HTAB	   *met;
	List	   *calls;			/* of SessionCall */
	Oid			reader;			/* as whom relations are read */
	Oid			view;			/* whose query is walked through */
	const char *where;			/* what is walked through, for people */
	bool		guessing;		/* through the words of a function's text */
	bool		thorough;		/* what texts call without a name is walked through, too */
} Meaning;

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

static bool walk(Node *node, void *context);
static void walk_function(Meaning *meaning, Oid function);
static void walk_type(Meaning *meaning, Oid type);
static void append_collation(Meaning *meaning, Oid collation);
static void append_configuration(Meaning *meaning, Oid configuration);
static void append_dictionary(Meaning *meaning, Oid dictionary);
static void append_zone(Meaning *meaning, const char *name);

/* Begins a walk. */
static void
meaning_init(Meaning *meaning, StringInfo text)
{
	HASHCTL		control = {
		.keysize = sizeof(Met),.entrysize = sizeof(Met),.hcxt = CurrentMemoryContext
	};

	memset(meaning, 0, sizeof(Meaning));
	meaning->text = text;
	meaning->reader = GetUserId();
	meaning->met = hash_create("batchagg meaning", 64, &control,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Is this object met for the first time? */
static bool
meet(Meaning *meaning, Oid catalog, Oid object)
{
	Met			key = {catalog, object, catalog == RelationRelationId ? meaning->reader : InvalidOid};
	bool		found;

	(void) hash_search(meaning->met, &key, HASH_ENTER, &found);
	return !found;
}

static void
append_hash(Meaning *meaning, const void *bytes, Size length)
{
	appendStringInfo(meaning->text, " " UINT64_FORMAT,
					 hash_bytes_extended(bytes, (int) length, 0));
}

/* Appends a digest of the contents of a catalogue's row. */
static void
append_tuple(Meaning *meaning, HeapTuple tuple)
{
	append_hash(meaning, tuple->t_data->t_bits, tuple->t_len - offsetof(HeapTupleHeaderData, t_bits));
}

/* The same of an object's row; there may be none. */
static void
append_row(Meaning *meaning, int cache, Oid object)
{
	HeapTuple	tuple = SearchSysCache1(cache, ObjectIdGetDatum(object));

	if (!HeapTupleIsValid(tuple))
		return;
	append_tuple(meaning, tuple);
	ReleaseSysCache(tuple);
}

/* Appends a tree, and walks through it. */
static void
append_tree(Meaning *meaning, Node *tree)
{
	char	   *text = nodeToString(tree);

	append_hash(meaning, text, strlen(text));
	(void) walk(tree, meaning);
}

/*----------
 * Functions
 *----------
 */

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
add_session_call(Meaning *meaning, int number)
{
	SessionCall *call = palloc0(sizeof(SessionCall));

	call->function = session_functions[number].name;
	call->tells_who = session_functions[number].tells_who;
	call->where = meaning->where;
	call->is_certain = !meaning->guessing;
	meaning->calls = lappend(meaning->calls, call);
	return call;
}

/* Settings that tell who has connected, and with what. */
static const char *const who_settings[] = {
	"application_name", "client_encoding", "is_superuser", "role", "session_authorization"
};

/* Notes which setting a call of current_setting() asks for, if that can be told. */
static void
add_setting_call(Meaning *meaning, const FuncExpr *call)
{
	const Const *name = linitial(call->args);
	SessionCall *noted;

	if (!IsA(name, Const) || name->constisnull)
		return;
	noted = add_session_call(meaning, session_function(call->funcid));
	noted->setting = TextDatumGetCString(name->constvalue);
	for (int i = 0; i < lengthof(who_settings); i++)
		if (pg_strcasecmp(noted->setting, who_settings[i]) == 0)
			noted->tells_who = true;
}

/* Appends who the job's owner is, as an expression asks for the current user. */
static void
append_owner(Meaning *meaning)
{
	appendStringInfo(meaning->text, " %s", GetUserNameFromId(GetUserId(), false));
}

static void
walk_value_function(Meaning *meaning, const SQLValueFunction *function)
{
	switch (function->op)
	{
		case SVFOP_SESSION_USER:
			(void) add_session_call(meaning, 0);
			break;
		case SVFOP_CURRENT_ROLE:
		case SVFOP_CURRENT_USER:
		case SVFOP_USER:
			append_owner(meaning);
			break;
		default:
			break;
	}
}

/* Walks through the functions of an aggregate. */
static void
walk_aggregate(Meaning *meaning, Oid function)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(function));
	Form_pg_aggregate form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	append_tuple(meaning, tuple);
	walk_function(meaning, form->aggtransfn);
	walk_function(meaning, form->aggfinalfn);
	walk_function(meaning, form->aggcombinefn);
	ReleaseSysCache(tuple);
}

/* What kinds of objects a name is looked for among. */
static const struct
{
	int			cache;
	Oid			catalog;
}			named_kinds[] = {
	{PROCNAMEARGSNSP, ProcedureRelationId},
	{TYPENAMENSP, TypeRelationId},
	{OPERNAMENSP, OperatorRelationId},
	{COLLNAMEENCNSP, CollationRelationId},
	{TSCONFIGNAMENSP, TSConfigRelationId},
	{TSDICTNAMENSP, TSDictionaryRelationId}
};

/* An object that has a name, and its schema. */
typedef struct Named
{
	Oid			object;
	Oid			schema;
} Named;

static int
compare_named(const ListCell *a, const ListCell *b)
{
	Oid			left = ((const Named *) lfirst(a))->object;
	Oid			right = ((const Named *) lfirst(b))->object;

	return (left > right) - (left < right);
}

/*
 * The objects of a catalogue that are called so, in whichever schema: a list of Named.
 * No function means another session's temporary ones.
 */
static List *
objects_named(int cache, Oid catalog, const char *name)
{
	CatCList   *list = SearchSysCacheList1(cache, CStringGetDatum(name));
	List	   *result = NIL;

	for (int i = 0; i < list->n_members; i++)
	{
		HeapTuple	tuple = &list->members[i]->tuple;
		Named	   *named = palloc(sizeof(Named));
		bool		isnull;

		named->object = DatumGetObjectId(SysCacheGetAttr(cache, tuple,
														 get_object_attnum_oid(catalog), &isnull));
		named->schema = DatumGetObjectId(SysCacheGetAttr(cache, tuple,
														 get_object_attnum_namespace(catalog),
														 &isnull));
		if (!isAnyTempNamespace(named->schema))
			result = lappend(result, named);
	}
	ReleaseSysCacheList(list);
	list_sort(result, compare_named);
	return result;
}

/* Walks through an object of a catalogue that a name may stand for. */
static void
walk_object(Meaning *meaning, Oid catalog, Oid object)
{
	switch (catalog)
	{
		case ProcedureRelationId:
			walk_function(meaning, object);
			break;
		case TypeRelationId:
			walk_type(meaning, object);
			break;
		case OperatorRelationId:
			if (object >= FirstNormalObjectId)
				walk_function(meaning, get_opcode(object));
			break;
		case CollationRelationId:
			if (object >= FirstNormalObjectId)
				append_collation(meaning, object);
			break;
		case TSConfigRelationId:
			append_configuration(meaning, object);
			break;
		default:
			append_dictionary(meaning, object);
			break;
	}
}

/*
 * Walks through what a name in a function's text may stand for.  Which of several it is
 * depends on how their schemas are called.
 */
static void
walk_name(Meaning *meaning, const char *name)
{
	for (int i = 0; i < lengthof(named_kinds); i++)
	{
		Oid			catalog = named_kinds[i].catalog;
		ListCell   *lc;

		foreach(lc, objects_named(named_kinds[i].cache, catalog, name))
		{
			const Named *named = lfirst(lc);

			if (named->object >= FirstNormalObjectId)
				appendStringInfo(meaning->text, " %u %s", named->object,
								 get_namespace_name(named->schema));
			walk_object(meaning, catalog, named->object);
		}
	}
}

/* Walks through the functions behind all casts that are not PostgreSQL's own. */
static void
walk_casts(Meaning *meaning)
{
	Relation	casts = table_open(CastRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(casts, CastOidIndexId, true, NULL, 0, NULL);
	HeapTuple	tuple;

	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_cast form = (Form_pg_cast) GETSTRUCT(tuple);

		if (form->oid < FirstNormalObjectId)
			continue;
		append_tuple(meaning, tuple);
		walk_function(meaning, form->castfunc);
	}
	systable_endscan(scan);
	table_close(casts, AccessShareLock);
}

/* Walks through what any function's text can call without naming it. */
static void
walk_unnamed(Meaning *meaning)
{
	/* IN, CASE, NULLIF, IS DISTINCT FROM, BETWEEN, LIKE, ILIKE. */
	static const char *const operators[] = {"=", "<>", "<=", ">=", "<", ">", "~~", "!~~", "~~*", "!~~*"};

	if (!meaning->thorough || !meet(meaning, CastRelationId, InvalidOid))
		return;
	for (int i = 0; i < lengthof(operators); i++)
		walk_name(meaning, operators[i]);
	walk_casts(meaning);
}

static bool
is_word_start(unsigned char c)
{
	return isalpha(c) || c == '_' || IS_HIGHBIT_SET(c);
}

/*
 * The length of the operator that a text begins with, as PostgreSQL's lexer has it: it
 * ends where a comment begins, and in + or - only where it has other than SQL's own
 * characters.
 */
static Size
operator_length(const char *text)
{
	Size		length = strspn(text, "+-*/<>=~!@#%^&|`?");

	for (Size i = 0; i + 1 < length; i++)
		if (strncmp(text + i, "--", 2) == 0 || strncmp(text + i, "/*", 2) == 0)
			length = i;
	if (strcspn(text, "~!@#%^&|`?") >= length)
		while (length > 1 && (text[length - 1] == '+' || text[length - 1] == '-'))
			length--;
	return length;
}

/*
 * The name that begins at `at`, in double quotes or not, or the operator; sets *end to
 * what comes behind it.  NULL: there is none.
 */
static char *
next_name(const char *at, const char **end)
{
	char	   *name;
	Size		length = 0;

	if (*at == '"')
	{
		length = strcspn(at + 1, "\"");
		*end = at + 1 + length + (at[1 + length] == '"');
		return length < NAMEDATALEN ? pnstrdup(at + 1, length) : NULL;
	}
	if (is_word_start(*at))
		while (is_word_start(at[length]) || isdigit((unsigned char) at[length]) || at[length] == '$')
			length++;
	else
		length = operator_length(at);
	*end = at + Max(length, 1);
	if (length == 0 || length >= NAMEDATALEN)
		return NULL;
	name = pnstrdup(at, length);
	for (Size i = 0; i < length; i++)
		name[i] = pg_ascii_tolower((unsigned char) name[i]);
	return name;
}

/* Walks through what the zones are that strings in a function's text may name. */
static void
walk_zones(Meaning *meaning, const char *text)
{
	const char *string;

	for (string = strchr(text, '\''); string != NULL; string = strchr(string, '\''))
	{
		Size		length = strcspn(++string, "'");

		if (isalpha((unsigned char) *string) && length <= TZ_STRLEN_MAX)
			append_zone(meaning, pnstrdup(string, length));
	}
}

/* Walks through what the names in a function's text may stand for. */
static void
walk_words(Meaning *meaning, const char *text)
{
	bool		was_guessing = meaning->guessing;

	meaning->guessing = true;
	walk_unnamed(meaning);
	walk_zones(meaning, text);
	while (*text != '\0')
	{
		char	   *name = next_name(text, &text);

		if (name == NULL)
			continue;
		walk_name(meaning, name);
		if (strcmp(name, "user") == 0 || strcmp(name, "current_role") == 0)
			append_owner(meaning);
	}
	meaning->guessing = was_guessing;
}

/* Walks through a tree that is a column of a catalogue's row. */
static void
walk_stored_tree(Meaning *meaning, HeapTuple tuple, AttrNumber column)
{
	bool		isnull;
	Datum		tree = SysCacheGetAttr(PROCOID, tuple, column, &isnull);

	if (!isnull)
		(void) walk(stringToNode(TextDatumGetCString(tree)), meaning);
}

/* Walks through a function that is not PostgreSQL's own. */
static void
walk_users_function(Meaning *meaning, HeapTuple tuple)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
	bool		isnull;
	Datum		source;
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			n = get_func_arg_info(tuple, &types, &names, &modes);

	append_tuple(meaning, tuple);
	walk_type(meaning, form->prorettype);
	for (int i = 0; i < n; i++)
		walk_type(meaning, types[i]);
	walk_stored_tree(meaning, tuple, Anum_pg_proc_proargdefaults);
	walk_stored_tree(meaning, tuple, Anum_pg_proc_prosqlbody);
	if (form->prokind == PROKIND_AGGREGATE)
		walk_aggregate(meaning, form->oid);
	else if (form->prolang != INTERNALlanguageId && form->prolang != ClanguageId)
	{
		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
		if (!isnull)
			walk_words(meaning, TextDatumGetCString(source));
	}
}

static void
walk_function(Meaning *meaning, Oid function)
{
	int			session;
	HeapTuple	tuple;

	if (!OidIsValid(function) || !meet(meaning, ProcedureRelationId, function))
		return;
	check_stack_depth();
	session = session_function(function);
	if (session >= 0)
		(void) add_session_call(meaning, session);
	if (function == F_CURRENT_USER)
		append_owner(meaning);
	if (function < FirstNormalObjectId)
		return;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return;
	walk_users_function(meaning, tuple);
	ReleaseSysCache(tuple);
}

/*----------
 * Types, collations, time zones, text search
 *----------
 */

static void
append_labels(Meaning *meaning, Oid type)
{
	CatCList   *list = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(type));

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_enum label = (Form_pg_enum) GETSTRUCT(&list->members[i]->tuple);

		appendStringInfo(meaning->text, " %u %s %g", label->oid, NameStr(label->enumlabel),
						 label->enumsortorder);
	}
	ReleaseSysCacheList(list);
}

/*
 * Appends the attributes of a type of rows.  Its relation is not opened: anybody can
 * call one like a word in a function's text, and lock it.
 */
static void
append_attributes(Meaning *meaning, Oid relid)
{
	HeapTuple	tuple;

	for (AttrNumber i = 1; HeapTupleIsValid(tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
																	Int16GetDatum(i))); i++)
	{
		FormData_pg_attribute attribute = *(Form_pg_attribute) GETSTRUCT(tuple);

		ReleaseSysCache(tuple);
		appendStringInfo(meaning->text, " %s %u %d %d", NameStr(attribute.attname),
						 attribute.atttypid, attribute.atttypmod, attribute.attisdropped);
		walk_type(meaning, attribute.atttypid);
	}
}

/* Walks through the constraints of a domain, which a function's text may check. */
static void
walk_constraints(Meaning *meaning, Oid domain)
{
	Relation	constraints;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!meaning->guessing || !meet(meaning, ConstraintRelationId, domain))
		return;
	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_constraint_contypid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(domain));
	scan = systable_beginscan(constraints, ConstraintTypidIndexId, true, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		bool		isnull;
		Datum		tree = heap_getattr(tuple, Anum_pg_constraint_conbin,
										RelationGetDescr(constraints), &isnull);

		append_tuple(meaning, tuple);
		if (!isnull)
			(void) walk(stringToNode(TextDatumGetCString(tree)), meaning);
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
}

/* Walks through the functions of an operator class that is not PostgreSQL's own. */
static void
walk_operator_class(Meaning *meaning, Oid opclass)
{
	Oid			family;
	CatCList   *list;

	if (opclass < FirstNormalObjectId || !meet(meaning, OperatorClassRelationId, opclass))
		return;
	family = get_opclass_family(opclass);
	appendStringInfo(meaning->text, " %u", opclass);
	list = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(family));
	for (int i = 0; i < list->n_members; i++)
		walk_function(meaning, get_opcode(((Form_pg_amop) GETSTRUCT(&list->members[i]->tuple))->amopopr));
	ReleaseSysCacheList(list);
	list = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(family));
	for (int i = 0; i < list->n_members; i++)
		walk_function(meaning, ((Form_pg_amproc) GETSTRUCT(&list->members[i]->tuple))->amproc);
	ReleaseSysCacheList(list);
}

/* Walks through what a type of ranges is made of. */
static void
walk_range(Meaning *meaning, Oid type)
{
	HeapTuple	tuple = SearchSysCache1(RANGETYPE, ObjectIdGetDatum(type));
	Form_pg_range form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_range) GETSTRUCT(tuple);
	append_tuple(meaning, tuple);
	walk_type(meaning, form->rngsubtype);
	walk_operator_class(meaning, form->rngsubopc);
	walk_function(meaning, form->rngcanonical);
	ReleaseSysCache(tuple);
}

static void
walk_users_type(Meaning *meaning, Form_pg_type form)
{
	appendStringInfo(meaning->text, " %u %u %d %d %u", form->oid, form->typbasetype, form->typtypmod,
					 form->typnotnull, form->typelem);
	walk_operator_class(meaning, GetDefaultOpClass(form->oid, BTREE_AM_OID));
	walk_operator_class(meaning, GetDefaultOpClass(form->oid, HASH_AM_OID));
	switch (form->typtype)
	{
		case TYPTYPE_ENUM:
			append_labels(meaning, form->oid);
			break;
		case TYPTYPE_DOMAIN:
			walk_type(meaning, form->typbasetype);
			break;
		case TYPTYPE_COMPOSITE:
			append_attributes(meaning, form->typrelid);
			break;
		case TYPTYPE_RANGE:
			walk_range(meaning, form->oid);
			break;
		case TYPTYPE_MULTIRANGE:
			walk_type(meaning, get_multirange_range(form->oid));
			break;
		default:
			walk_type(meaning, form->typelem);
			walk_function(meaning, form->typinput);
			walk_function(meaning, form->typoutput);
			break;
	}
}

static void
walk_type(Meaning *meaning, Oid type)
{
	HeapTuple	tuple;

	if (type < FirstNormalObjectId)
		return;
	walk_constraints(meaning, type);
	if (!meet(meaning, TypeRelationId, type))
		return;
	check_stack_depth();
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		return;
	walk_users_type(meaning, (Form_pg_type) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
}

/* The version of a collation's rules that the libraries have now. */
static void
append_collation(Meaning *meaning, Oid collation)
{
	LOCAL_FCINFO(fcinfo, 1);
	bool		is_default = collation == DEFAULT_COLLATION_OID;
	Datum		version;

	if (!OidIsValid(collation) || !meet(meaning, CollationRelationId, collation))
		return;
	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(is_default ? MyDatabaseId : collation);
	fcinfo->args[0].isnull = false;
	version = is_default ? pg_database_collation_actual_version(fcinfo) :
		pg_collation_actual_version(fcinfo);
	if (!fcinfo->isnull)
		appendStringInfo(meaning->text, " %s", TextDatumGetCString(version));
}

static void
append_dictionary(Meaning *meaning, Oid dictionary)
{
	if (meet(meaning, TSDictionaryRelationId, dictionary))
		append_row(meaning, TSDICTOID, dictionary);
}

/* The rows of pg_ts_config_map of a configuration, and their dictionaries. */
static void
append_configuration(Meaning *meaning, Oid configuration)
{
	Relation	map;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!meet(meaning, TSConfigRelationId, configuration))
		return;
	append_row(meaning, TSCONFIGOID, configuration);
	map = table_open(TSConfigMapRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_ts_config_map_mapcfg, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(configuration));
	scan = systable_beginscan(map, TSConfigMapIndexId, true, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_ts_config_map form = (Form_pg_ts_config_map) GETSTRUCT(tuple);

		appendStringInfo(meaning->text, " %d %d %u", form->maptokentype, form->mapseqno,
						 form->mapdict);
		append_dictionary(meaning, form->mapdict);
	}
	systable_endscan(scan);
	table_close(map, AccessShareLock);
}

/* What a constant refers to. */
static void
walk_constant(Meaning *meaning, const Const *constant)
{
	if (constant->constisnull)
		return;
	switch (constant->consttype)
	{
		case REGCONFIGOID:
			append_configuration(meaning, DatumGetObjectId(constant->constvalue));
			break;
		case REGDICTIONARYOID:
			append_dictionary(meaning, DatumGetObjectId(constant->constvalue));
			break;
		case REGPROCOID:
		case REGPROCEDUREOID:
			walk_function(meaning, DatumGetObjectId(constant->constvalue));
			break;
		default:
			break;
	}
}

/*
 * The time zone that a call takes as a text: NULL where it takes none.  PostgreSQL has
 * these calls as immutable, although an update of the zone's rules changes them.
 */
static const Node *
zone_argument(const Node *node)
{
	const FuncExpr *call = (const FuncExpr *) node;

	if (!IsA(node, FuncExpr))
		return NULL;
	switch (call->funcid)
	{
		case F_TIMEZONE_TEXT_TIMESTAMPTZ:
		case F_TIMEZONE_TEXT_TIMESTAMP:
		case F_TIMEZONE_TEXT_TIMETZ:
			return linitial(call->args);
		default:
			return NULL;
	}
}

/*
 * Appends the rules of the time zone of this name, if there is one, and which
 * abbreviations there are, as it may be one of those.
 */
static void
append_zone(Meaning *meaning, const char *name)
{
	pg_tz	   *tz = pg_tzset(name);

	if (meet(meaning, ABBREVIATIONS, InvalidOid))
		appendStringInfo(meaning->text, " %s", GetConfigOption("timezone_abbreviations", false, false));
	if (tz != NULL)
		appendStringInfo(meaning->text, " " UINT64_FORMAT, zone_digest(tz));
}

/*----------
 * Relations
 *----------
 */

/* What a view, or the policies of a table, are called in messages. */
static const char *
relation_text(Relation rel)
{
	return psprintf("%s %s", rel->rd_rel->relkind == RELKIND_VIEW ? "view" : "a policy of table",
					quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											   RelationGetRelationName(rel)));
}

/* Walks through the query of a view, which is read as its owner unless it says otherwise. */
static void
walk_view(Meaning *meaning, Relation rel)
{
	Oid			outer_reader = meaning->reader;
	Oid			outer_view = meaning->view;

	if (!RelationHasSecurityInvoker(rel))
		meaning->reader = rel->rd_rel->relowner;
	meaning->view = RelationGetRelid(rel);
	for (int i = 0; rel->rd_rules != NULL && i < rel->rd_rules->numLocks; i++)
		if (rel->rd_rules->rules[i]->event == CMD_SELECT)
			append_tree(meaning, (Node *) copyObject(rel->rd_rules->rules[i]->actions));
	meaning->reader = outer_reader;
	meaning->view = outer_view;
}

/* Does a policy that is for these roles apply to a reader? */
static bool
policy_applies(ArrayType *roles, Oid reader)
{
	const Oid  *role = (const Oid *) ARR_DATA_PTR(roles);

	for (int i = 0; i < ARR_DIMS(roles)[0]; i++)
		if (role[i] == ACL_ID_PUBLIC || has_privs_of_role(reader, role[i]))
			return true;
	return false;
}

/* Walks through the policies by which rows are hidden from the reader. */
static void
walk_policies(Meaning *meaning, Relation rel)
{
	ListCell   *lc;

	if (check_enable_rls(RelationGetRelid(rel), meaning->reader, true) != RLS_ENABLED)
		return;
	appendStringInfoString(meaning->text, " policies");
	foreach(lc, rel->rd_rsdesc->policies)
	{
		const RowSecurityPolicy *policy = lfirst(lc);

		if (policy->qual == NULL || !policy_applies(policy->roles, meaning->reader))
			continue;
		appendStringInfo(meaning->text, " %c %d", policy->polcmd, policy->permissive);
		append_tree(meaning, (Node *) copyObject(policy->qual));
	}
}

/* Walks through the columns of a table that are computed when it is read. */
static void
walk_virtual_columns(Meaning *meaning, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; desc->constr != NULL && i < desc->constr->num_defval; i++)
	{
		const AttrDefault *value = &desc->constr->defval[i];
		Form_pg_attribute attribute = TupleDescAttr(desc, value->adnum - 1);

		/* What is stored ('s') stays what it is, whatever becomes of the expression. */
		if (attribute->attgenerated == '\0' || attribute->attgenerated == 's')
			continue;
		appendStringInfo(meaning->text, " %d", value->adnum);
		append_tree(meaning, stringToNode(value->adbin));
	}
}

static void
append_foreign_table(Meaning *meaning, Relation rel)
{
	HeapTuple	tuple = SearchSysCache1(FOREIGNTABLEREL, ObjectIdGetDatum(RelationGetRelid(rel)));

	if (!HeapTupleIsValid(tuple))
		return;
	append_tuple(meaning, tuple);
	append_row(meaning, FOREIGNSERVEROID, ((Form_pg_foreign_table) GETSTRUCT(tuple))->ftserver);
	ReleaseSysCache(tuple);
}

/* Walks through what decides which rows an open relation has. */
static void
walk_open_relation(Meaning *meaning, Relation rel)
{
	const char *outer = meaning->where;

	if (!meet(meaning, RelationRelationId, RelationGetRelid(rel)))
		return;
	check_stack_depth();
	meaning->where = relation_text(rel);
	if (rel->rd_rel->relkind == RELKIND_VIEW)
		walk_view(meaning, rel);
	else if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		append_foreign_table(meaning, rel);
	if (rel->rd_rel->relrowsecurity)
		walk_policies(meaning, rel);
	walk_virtual_columns(meaning, rel);
	meaning->where = outer;
}

static void
walk_relation(Meaning *meaning, Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);

	walk_open_relation(meaning, rel);
	relation_close(rel, NoLock);
}

/*----------
 * Trees
 *----------
 */

static bool
walk_function_of_node(Oid function, void *context)
{
	walk_function(context, function);
	return false;
}

/* The type of an expression; of other nodes none. */
static Oid
node_type(const Node *node)
{
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_FuncExpr:
		case T_OpExpr:
		case T_FieldSelect:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_ConvertRowtypeExpr:
		case T_CoerceToDomain:
		case T_ArrayExpr:
		case T_RowExpr:
			return exprType(node);
		default:
			return InvalidOid;
	}
}

static bool
walk(Node *node, void *context)
{
	Meaning    *meaning = context;
	const Node *zone;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, walk, context, QTW_EXAMINE_RTES_BEFORE);
	if (IsA(node, RangeTblEntry))
	{
		const RangeTblEntry *entry = (const RangeTblEntry *) node;

		/* A view's query has the view itself, as what rules may change. */
		if (entry->rtekind == RTE_RELATION && entry->relid != meaning->view)
			walk_relation(meaning, entry->relid);
		return false;
	}
	if (IsA(node, Const))
		walk_constant(meaning, (const Const *) node);
	if (IsA(node, SQLValueFunction))
		walk_value_function(meaning, (const SQLValueFunction *) node);
	if (IsA(node, FuncExpr) && (((FuncExpr *) node)->funcid == F_CURRENT_SETTING_TEXT ||
								((FuncExpr *) node)->funcid == F_CURRENT_SETTING_TEXT_BOOL))
		add_setting_call(meaning, (const FuncExpr *) node);
	zone = zone_argument(node);
	if (zone != NULL && IsA(zone, Const) && !((const Const *) zone)->constisnull)
		append_zone(meaning, TextDatumGetCString(((const Const *) zone)->constvalue));
	walk_type(meaning, node_type(node));
	append_collation(meaning, exprInputCollation(node));
	(void) check_functions_in_node(node, walk_function_of_node, context);
	return expression_tree_walker(node, walk, context);
}

/* Appends what a column of an open relation means, as the number of none. */
static void
append_column(Meaning *meaning, Relation rel, AttrNumber column)
{
	Form_pg_attribute attribute;

	appendStringInfo(meaning->text, "\n%d", column);
	if (column == InvalidAttrNumber)
		return;
	attribute = TupleDescAttr(RelationGetDescr(rel), column - 1);
	appendStringInfo(meaning->text, " %s %u %d %u", NameStr(attribute->attname),
					 attribute->atttypid, attribute->atttypmod, attribute->attcollation);
	walk_type(meaning, attribute->atttypid);
}

/*
 * Appends to `text` what the results from an open source depend on besides its rows, and
 * besides what the definition's own row says: its columns (a list of their numbers, 0
 * for none), what decides which rows there are, and a filter analysed over it (or
 * NULL).  As the owner of the job, and where there is a filter, under the settings by
 * which it is understood.
 */
void
meaning_append(StringInfo text, Relation rel, const List *columns, Node *filter)
{
	Meaning		meaning;
	ListCell   *lc;

	meaning_init(&meaning, text);
	meaning.thorough = true;
	foreach(lc, columns)
		append_column(&meaning, rel, lfirst_int(lc));
	walk_open_relation(&meaning, rel);
	if (filter != NULL)
	{
		appendStringInfoChar(text, '\n');
		append_tree(&meaning, filter);
	}
	hash_destroy(meaning.met);
}

/*
 * Appends what a filter depends on besides rows, analysed over its source.  As the owner
 * of the job, under the settings by which it is understood.
 */
void
meaning_append_filter(StringInfo text, Node *filter)
{
	Meaning		meaning;

	meaning_init(&meaning, text);
	meaning.thorough = true;
	append_tree(&meaning, filter);
	hash_destroy(meaning.met);
}

static int
compare_labels(const ListCell *a, const ListCell *b)
{
	Oid			left = ((const FormData_pg_enum *) lfirst(a))->oid;
	Oid			right = ((const FormData_pg_enum *) lfirst(b))->oid;

	return (left > right) - (left < right);
}

/*
 * A hash of the names of the first *n labels that an enum was given, or (-1) of all, and
 * then how many there are.  Of a type that is none, there are none.
 */
uint64
meaning_labels(Oid type, int *n)
{
	CatCList   *list;
	List	   *labels = NIL;
	ListCell   *lc;
	StringInfoData text;

	if (!OidIsValid(type) || !type_is_enum(type))
	{
		*n = 0;
		return 0;
	}
	list = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(type));
	for (int i = 0; i < list->n_members; i++)
		labels = lappend(labels, memcpy(palloc(sizeof(FormData_pg_enum)),
										GETSTRUCT(&list->members[i]->tuple),
										sizeof(FormData_pg_enum)));
	ReleaseSysCacheList(list);
	list_sort(labels, compare_labels);
	initStringInfo(&text);
	if (*n < 0)
		*n = list_length(labels);
	foreach(lc, labels)
	{
		if (foreach_current_index(lc) < *n)
			appendStringInfo(&text, "%s\n", NameStr(((FormData_pg_enum *) lfirst(lc))->enumlabel));
	}
	return hash_bytes_extended((const unsigned char *) text.data, text.len, 0);
}

static bool
zone_varies(Node *node, void *context)
{
	const Node *zone;

	if (node == NULL)
		return false;
	zone = zone_argument(node);
	return (zone != NULL && !IsA(zone, Const)) || expression_tree_walker(node, zone_varies, context);
}

/*
 * Does an analysed filter depend on nothing but the row and what meaning_append()
 * knows?
 */
bool
meaning_is_settled(Node *filter)
{
	return !contain_mutable_functions(filter) && !zone_varies(filter, NULL);
}

/*
 * The functions that an open view or table calls when the current user reads it, and
 * whose results depend on the session: a list of SessionCall.
 */
List *
meaning_session_calls(Relation rel)
{
	StringInfoData ignored;
	Meaning		meaning;

	if (rel->rd_rel->relkind != RELKIND_VIEW && !rel->rd_rel->relrowsecurity)
		return NIL;
	initStringInfo(&ignored);
	meaning_init(&meaning, &ignored);
	walk_open_relation(&meaning, rel);
	hash_destroy(meaning.met);
	return meaning.calls;
}

/* The same of an analysed filter, for what the functions that it calls do. */
List *
meaning_filter_session_calls(Node *filter)
{
	StringInfoData ignored;
	Meaning		meaning;

	initStringInfo(&ignored);
	meaning_init(&meaning, &ignored);
	meaning.where = "the filter";
	(void) walk(filter, &meaning);
	hash_destroy(meaning.met);
	return meaning.calls;
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
