/*-------------------------------------------------------------------------
 *
 * coltype.c
 *	  Of which types the columns of a source can be, by what they are for.
 *
 * A domain is as the type that it is over.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"

#include "source/coltype.h"

/*
 * Can values of this type be aggregated?
 * Numbers as they are, booleans as 0 and 1, intervals as seconds.
 */
bool
type_is_value(Oid typid)
{
	switch (getBaseType(typid))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case BOOLOID:
		case INTERVALOID:
			return true;
		default:
			return false;
	}
}

/*
 * Can a column of this type be the time?
 */
bool
type_is_time(Oid typid)
{
	switch (getBaseType(typid))
	{
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case DATEOID:
			return true;
		default:
			return false;
	}
}

/*
 * Can a column of this type have the names of metrics?
 */
bool
type_is_name(Oid typid)
{
	Oid			base = getBaseType(typid);

	return TypeCategory(base) == TYPCATEGORY_STRING || type_is_enum(base);
}
