/*-------------------------------------------------------------------------
 *
 * columns.c
 *	  Checks of single columns, as their row is written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "api/columns.h"
#include "model/ext.h"
#include "model/problem.h"
#include "service/owners.h"

/* The longest interval that a definition may have. */
#define MAX_YEARS 1000

/* The beginnings of the years 1900 and 10000: in days from PostgreSQL's epoch. */
#define FIRST_TIME (-36524 * USECS_PER_DAY)
#define TIME_LIMIT (2921940 * USECS_PER_DAY)

/* May the current user act as `role`? */
static bool
can_act_as(Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(GetUserId(), role);
#else
	return is_member_of_role(GetUserId(), role);
#endif
}

/*
 * Checks whom a row is given to: the current user, or a role that the current
 * user can act as.  NULL becomes the current user.  Returns the owner.
 */
Oid
check_owner(Row *row)
{
	bool		isnull;
	Oid			owner = DatumGetObjectId(row_value(row, "owner", &isnull));

	if (isnull)
	{
		owner = GetUserId();
		row_set(row, "owner", ObjectIdGetDatum(owner), false);
	}
	if (!row_changed(row, "owner"))
		return owner;

	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("owner does not exist"),
				 errdetail("There is no role with OID %u.", owner)));
	else if (!can_act_as(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be able to SET ROLE \"%s\" to make it the owner",
						GetUserNameFromId(owner, false))));
	owner_hold(row->relid, owner);
	return owner;
}

/* Refuses texts that are too long, before anything looks at what is in them. */
void
check_lengths(const Row *row, const ColumnLimit *limits)
{
	for (; limits->column; limits++)
	{
		bool		isnull;
		Datum		text = row_value(row, limits->column, &isnull);
		Size		bytes = isnull ? 0 : toast_raw_datum_size(text) - VARHDRSZ;

		if (bytes > limits->bytes)
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("%s is too long", limits->column),
					 errdetail("It has %zu bytes; the limit is %d.", bytes, limits->bytes)));
	}
}

/* The number that this session has drawn last from a sequence, whose oid *arg is before. */
static void
read_drawn(void *arg)
{
	int64	   *number = arg;
	ExtScope	scope;

	ext_enter(&scope, true);
	*number = DatumGetInt64(DirectFunctionCall1(currval_oid, ObjectIdGetDatum((Oid) *number)));
	ext_leave(&scope);
}

/*
 * Refuses an id that was not drawn from its sequence just now, unless by those who
 * restore a dump: it could be taken from others before their turn, and one that is taken
 * would tell that there is such a row.
 */
void
check_id_is_drawn(const Row *row, const char *sequence)
{
	int64		drawn;

	if (!row_changed(row, "id") || ext_is_administrator())
		return;
	drawn = ext_relid(sequence);
	if (row->before != NULL || error_of(read_drawn, &drawn) != NULL || drawn != row_int(row, "id"))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("ids cannot be chosen or changed"),
				 errhint("Leave the id out, and have INSERT return it: RETURNING id.")));
}

/* Refuses a text that is none of `choices`.  NULL may be one, and is left alone. */
void
check_choice(const Row *row, const char *column, const char *const *choices, const char *hint)
{
	char	   *text = row_text(row, column);

	for (; text && *choices; choices++)
		if (strcmp(text, *choices) == 0)
			return;
	if (text)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("invalid %s \"%s\"", column, text),
				 errhint("%s", hint)));
}

/* Refuses a text that is empty. */
void
check_not_empty(const Row *row, const char *column)
{
	char	   *text = row_text(row, column);

	if (text && text[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("%s must not be empty", column)));
}

/* The times that the rows of jobs may have: the service calculates with them. */
void
check_time(const Row *row, const char *column)
{
	bool		isnull;
	TimestampTz time = DatumGetTimestampTz(row_value(row, column, &isnull));

	if (!isnull && (time < FIRST_TIME || time >= TIME_LIMIT))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("%s is out of range", column),
				 errdetail("It is %s; it must be of the years 1900 to 9999.", timestamptz_to_str(time))));
}

/* Refuses an interval that is not positive, or longer than anything can be meant to be. */
void
check_interval(const Row *row, const char *column)
{
	Interval	none = {0};
	Interval	most = {.month = MAX_YEARS * MONTHS_PER_YEAR};
	bool		isnull;
	Datum		value = row_value(row, column, &isnull);

	if (isnull)
		return;
	if (DatumGetInt32(DirectFunctionCall2(interval_cmp, value, IntervalPGetDatum(&none))) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("%s must be positive, not %s", column, row_text(row, column)),
				 errhint("Specify an interval such as '2 days', or NULL for no limit.")));
	if (DatumGetInt32(DirectFunctionCall2(interval_cmp, value, IntervalPGetDatum(&most))) > 0 ||
		abs(DatumGetIntervalP(value)->month) > most.month)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("%s must not be longer than %d years", column, MAX_YEARS),
				 errdetail("It is %s.", row_text(row, column)),
				 errhint("Specify an interval such as '2 days', or NULL for no limit.")));
}

/* Refuses a number that is less or more than it may be. */
void
check_number(const Row *row, const char *column, int least, int most, const char *hint)
{
	bool		isnull;
	int32		number = DatumGetInt32(row_value(row, column, &isnull));

	if (!isnull && number > most)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("%s must be at most %d, not %d", column, most, number),
				 errhint("%s", hint)));
	if (!isnull && number < least)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("%s must be at least %d, not %d", column, least, number),
				 errhint("%s", hint)));
}
