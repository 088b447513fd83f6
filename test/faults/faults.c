/*-------------------------------------------------------------------------
 *
 * faults.c
 *	  Faults on purpose: which one comes when.
 *
 * One fault is armed at a time, by
 *
 *	CREATE FUNCTION fault(kind text, n bigint) RETURNS bigint
 *		AS '/path/to/batchagg', 'batchagg_fault' LANGUAGE C STRICT;
 *
 * The n-th of these points that the session comes by from then on fails:
 *
 *	 memory		whatever needs memory, with "out of memory"
 *	 setting	a setting or a time zone, as it does where memory lacks for it
 *	 write		a write to a table, with "No space left on device"
 *	 kill		any of these: the process kills itself
 *
 * The function disarms what was armed before; n = 0 does nothing else.  Returns how
 * many points were left until it: 0 where it has happened.
 *
 * A file "batchagg_fault" in the data directory, such as "memory 3", arms each process
 * as it loads the library; one such as "memory 3 batchagg worker" the next process of
 * that type that comes by a point, which removes it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"

#include "api/export.h"

PG_FUNCTION_INFO_V1(batchagg_fault);

typedef enum FaultKind
{
	FAULT_MEMORY = 1,
	FAULT_SETTING = 2,
	FAULT_WRITE = 4,
	FAULT_KILL = 8
} FaultKind;

#define FAULT_FILE "batchagg_fault"

static FaultKind armed;
static int64 left;

static const struct
{
	const char *name;
	FaultKind	kind;
}			kinds[] = {
	{"memory", FAULT_MEMORY}, {"setting", FAULT_SETTING}, {"write", FAULT_WRITE}, {"kill", FAULT_KILL}
};

/* Arms the n-th fault of the kind of this name.  Returns whether there is one. */
static bool
arm(const char *name, int64 n)
{
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
		{
			armed = kinds[i].kind;
			left = n;
			return true;
		}
	return false;
}

/* Arms this process if the file names its type, or "" and that none. */
static bool
arm_by_file(const char *type)
{
	FILE	   *file = fopen(FAULT_FILE, "r");
	char		name[16];
	char		wanted[BGW_MAXLEN] = "";
	long		n;
	bool		armed_now = false;

	if (file == NULL)
		return false;
	if (fscanf(file, "%15s %ld %63[a-z ]", name, &n, wanted) >= 2 && strcmp(wanted, type) == 0)
		armed_now = arm(name, n);
	fclose(file);
	return armed_now;
}

static void __attribute__((constructor))
arm_at_load(void)
{
	(void) arm_by_file("");
}

/* Is this the point?  Kinds of points that die count as all. */
static bool
strikes(FaultKind kind)
{
	if (MyBgworkerEntry != NULL && access(FAULT_FILE, F_OK) == 0 &&
		arm_by_file(MyBgworkerEntry->bgw_type))
		unlink(FAULT_FILE);
	if (left == 0 || !(armed & (kind | FAULT_KILL)) || CritSectionCount > 0 || --left > 0)
		return false;
	if (armed == FAULT_KILL)
		kill(MyProcPid, SIGKILL);
	return true;
}

void
fault_allocation(void)
{
	if (strikes(FAULT_MEMORY))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed on purpose.")));
}

void
fault_write(void)
{
	fault_allocation();
	if (strikes(FAULT_WRITE))
		ereport(ERROR,
				(errcode(ERRCODE_DISK_FULL),
				 errmsg("could not extend file: No space left on device"),
				 errdetail("Failed on purpose.")));
}

int
fault_setting(const char *name, const char *value, int elevel)
{
	fault_allocation();
	if (!strikes(FAULT_SETTING))
		return 0;
	ereport(elevel == 0 ? ERROR : elevel,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for parameter \"%s\": \"%s\"", name, value)));
	return 1;
}

bool
fault_zone(void)
{
	if (!strikes(FAULT_SETTING))
		return false;
	errno = ENOMEM;
	return true;
}

Datum
batchagg_fault(PG_FUNCTION_ARGS)
{
	int64		before = left;

	if (!arm(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_INT64(1)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown kind of fault")));
	PG_RETURN_INT64(before);
}
