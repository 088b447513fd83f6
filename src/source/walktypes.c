/*-------------------------------------------------------------------------
 *
 * walktypes.c
 *	  What types mean, collations, text search configurations and time zones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_range.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_config_map.h"
#include "catalog/pg_ts_dict.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "source/meaning.h"
#include "source/walk.h"
#include "time/zone.h"

/* In the place of a catalogue: the setting timezone_abbreviations. */
#define ABBREVIATIONS InvalidOid

static void
append_labels(Walk *walk, Oid type)
{
	CatCList   *list = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(type));

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_enum label = (Form_pg_enum) GETSTRUCT(&list->members[i]->tuple);

		appendStringInfo(walk->text, " %u %s %g", label->oid, NameStr(label->enumlabel),
						 label->enumsortorder);
	}
	ReleaseSysCacheList(list);
}

/*
 * Appends the attributes of a type of rows.  Its relation is not opened: anybody can
 * call one like a word in a function's text, and lock it.
 */
static void
append_attributes(Walk *walk, Oid relid)
{
	HeapTuple	tuple;

	for (AttrNumber i = 1; HeapTupleIsValid(tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
																	Int16GetDatum(i))); i++)
	{
		FormData_pg_attribute attribute = *(Form_pg_attribute) GETSTRUCT(tuple);

		ReleaseSysCache(tuple);
		appendStringInfo(walk->text, " %s %u %d %d", NameStr(attribute.attname),
						 attribute.atttypid, attribute.atttypmod, attribute.attisdropped);
		walk_type(walk, attribute.atttypid);
	}
}

/* Walks through the constraints of a domain, which a function's text may check. */
static void
walk_constraints(Walk *walk, Oid domain)
{
	Relation	constraints;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!walk->guessing || !walk_meet(walk, ConstraintRelationId, domain))
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

		walk_append_tuple(walk, tuple);
		if (!isnull)
			(void) walk_node(stringToNode(TextDatumGetCString(tree)), walk);
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
}

/* Walks through the functions of an operator class that is not PostgreSQL's own. */
static void
walk_operator_class(Walk *walk, Oid opclass)
{
	Oid			family;
	CatCList   *list;

	if (opclass < FirstNormalObjectId || !walk_meet(walk, OperatorClassRelationId, opclass))
		return;
	family = get_opclass_family(opclass);
	appendStringInfo(walk->text, " %u", opclass);
	list = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(family));
	for (int i = 0; i < list->n_members; i++)
		walk_function(walk, get_opcode(((Form_pg_amop) GETSTRUCT(&list->members[i]->tuple))->amopopr));
	ReleaseSysCacheList(list);
	list = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(family));
	for (int i = 0; i < list->n_members; i++)
		walk_function(walk, ((Form_pg_amproc) GETSTRUCT(&list->members[i]->tuple))->amproc);
	ReleaseSysCacheList(list);
}

/* Walks through what a type of ranges is made of. */
static void
walk_range(Walk *walk, Oid type)
{
	HeapTuple	tuple = SearchSysCache1(RANGETYPE, ObjectIdGetDatum(type));
	Form_pg_range form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_range) GETSTRUCT(tuple);
	walk_append_tuple(walk, tuple);
	walk_type(walk, form->rngsubtype);
	walk_operator_class(walk, form->rngsubopc);
	walk_function(walk, form->rngcanonical);
	ReleaseSysCache(tuple);
}

static void
walk_users_type(Walk *walk, Form_pg_type form)
{
	appendStringInfo(walk->text, " %u %u %d %d %u", form->oid, form->typbasetype, form->typtypmod,
					 form->typnotnull, form->typelem);
	walk_operator_class(walk, GetDefaultOpClass(form->oid, BTREE_AM_OID));
	walk_operator_class(walk, GetDefaultOpClass(form->oid, HASH_AM_OID));
	switch (form->typtype)
	{
		case TYPTYPE_ENUM:
			append_labels(walk, form->oid);
			break;
		case TYPTYPE_DOMAIN:
			walk_type(walk, form->typbasetype);
			break;
		case TYPTYPE_COMPOSITE:
			append_attributes(walk, form->typrelid);
			break;
		case TYPTYPE_RANGE:
			walk_range(walk, form->oid);
			break;
		case TYPTYPE_MULTIRANGE:
			walk_type(walk, get_multirange_range(form->oid));
			break;
		default:
			walk_type(walk, form->typelem);
			walk_function(walk, form->typinput);
			walk_function(walk, form->typoutput);
			break;
	}
}

void
walk_type(Walk *walk, Oid type)
{
	HeapTuple	tuple;

	if (type < FirstNormalObjectId)
		return;
	walk_constraints(walk, type);
	if (!walk_meet(walk, TypeRelationId, type))
		return;
	check_stack_depth();
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		return;
	walk_users_type(walk, (Form_pg_type) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
}

/* The version of a collation's rules that the libraries have now. */
void
walk_collation(Walk *walk, Oid collation)
{
	LOCAL_FCINFO(fcinfo, 1);
	bool		is_default = collation == DEFAULT_COLLATION_OID;
	Datum		version;

	if (!OidIsValid(collation) || !walk_meet(walk, CollationRelationId, collation))
		return;
	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(is_default ? MyDatabaseId : collation);
	fcinfo->args[0].isnull = false;
	version = is_default ? pg_database_collation_actual_version(fcinfo) :
		pg_collation_actual_version(fcinfo);
	if (!fcinfo->isnull)
		appendStringInfo(walk->text, " %s", TextDatumGetCString(version));
}

void
walk_dictionary(Walk *walk, Oid dictionary)
{
	if (walk_meet(walk, TSDictionaryRelationId, dictionary))
		walk_append_row(walk, TSDICTOID, dictionary);
}

/* The rows of pg_ts_config_map of a configuration, and their dictionaries. */
void
walk_configuration(Walk *walk, Oid configuration)
{
	Relation	map;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!walk_meet(walk, TSConfigRelationId, configuration))
		return;
	walk_append_row(walk, TSCONFIGOID, configuration);
	map = table_open(TSConfigMapRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_ts_config_map_mapcfg, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(configuration));
	scan = systable_beginscan(map, TSConfigMapIndexId, true, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_ts_config_map form = (Form_pg_ts_config_map) GETSTRUCT(tuple);

		appendStringInfo(walk->text, " %d %d %u", form->maptokentype, form->mapseqno,
						 form->mapdict);
		walk_dictionary(walk, form->mapdict);
	}
	systable_endscan(scan);
	table_close(map, AccessShareLock);
}

/*
 * Appends the rules of the time zone of this name, if there is one, and which
 * abbreviations there are, as it may be one of those.
 */
void
walk_zone(Walk *walk, const char *name)
{
	pg_tz	   *tz = pg_tzset(name);

	if (walk_meet(walk, ABBREVIATIONS, InvalidOid))
		appendStringInfo(walk->text, " %s", GetConfigOption("timezone_abbreviations", false, false));
	if (tz != NULL)
		appendStringInfo(walk->text, " " UINT64_FORMAT, zone_digest(tz));
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
