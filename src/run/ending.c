/*-------------------------------------------------------------------------
 *
 * ending.c
 *	  Code in a source does not end the session that runs the job.
 *
 * What a source's functions, views and policies do is no matter of other jobs: an error
 * of one is caught, and the next job runs.  But there are settings that everybody may
 * change and by which an error, or the time that has passed, ends the whole session, and
 * with it the runs of all other jobs in it.  Like all settings they are as they were
 * when the run has ended, which is too late.  So they cannot be set while a job is run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/guc_tables.h"

#include "model/reading.h"
#include "run/ending.h"
#include "run/run.h"

/* PostgreSQL's own checks of these settings; NULL: none. */
static GucBoolCheckHook check_exit;
static GucIntCheckHook check_timeout;

/* May a setting become what a session's end may come of? */
static bool
may_set(const char *name)
{
	if (!run_is_under_way())
		return true;
	GUC_check_errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE);
	GUC_check_errmsg("cannot set \"%s\" while a job is running in the same session", name);
	GUC_check_errdetail("A function that is called to read a source of the job does so.");
	return false;
}

static bool
exit_in_run(bool *newval, void **extra, GucSource source)
{
	return (!*newval || may_set("exit_on_error")) &&
		(check_exit == NULL || check_exit(newval, extra, source));
}

static bool
timeout_in_run(int *newval, void **extra, GucSource source)
{
	return (*newval == 0 || may_set("transaction_timeout")) &&
		(check_timeout == NULL || check_timeout(newval, extra, source));
}

/* Has a setting checked by us as well, if it is one of these. */
static void
install_check(struct config_generic *variable)
{
	if (strcmp(variable->name, "exit_on_error") == 0)
	{
		struct config_bool *setting = (struct config_bool *) variable;

		if (setting->check_hook != exit_in_run)
			check_exit = setting->check_hook;
		setting->check_hook = exit_in_run;
	}
	/* Since PostgreSQL 17. */
	if (strcmp(variable->name, "transaction_timeout") == 0)
	{
		struct config_int *setting = (struct config_int *) variable;

		if (setting->check_hook != timeout_in_run)
			check_timeout = setting->check_hook;
		setting->check_hook = timeout_in_run;
	}
}

/*
 * Puts the checks in place.  For _PG_init().
 */
void
ending_install(void)
{
	int			n;
	struct config_generic **variables = reading_variables(&n);

	for (int i = 0; i < n; i++)
		install_check(variables[i]);
}
