/*-------------------------------------------------------------------------
 *
 * problem.c
 *	  One way to say what is wrong with a job.
 *
 * The rooms that check a job do not know who asks.  For a run, the first
 * problem is an error and the end of it; for batchagg_validate_job(), every
 * problem counts.  So they report here, and go on as if they might come back.
 * batchagg_create_job() collects problems too, and raises them as one error.
 *
 * Some checks are PostgreSQL's own and raise errors (a filter's syntax, the
 * privilege on a schema).  To collect these, problem_catch() runs the check in
 * a subtransaction, which takes back whatever the check had done when it
 * failed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/string.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "model/problem.h"

static void
definition_context(void *arg)
{
	int			definition_id = *(int *) arg;

	if (definition_id != 0)
		errcontext("definition %d of the job", definition_id);
}

static void
raise_problem(Problem *problem)
{
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = definition_context,
		.arg = &problem->definition_id
	};

	Problem		shown = *problem;

	/* An ERROR is recorded as it is. */
	if (shown.is_warning)
	{
		shown.message = text_for_client(shown.message);
		shown.detail = text_for_client(shown.detail);
		shown.hint = text_for_client(shown.hint);
	}
	error_context_stack = &context;
	ereport(shown.is_warning ? WARNING : ERROR,
			(errcode(shown.sqlerrcode),
			 errmsg_internal("%s", shown.message),
			 shown.detail ? errdetail_internal("%s", shown.detail) : 0,
			 shown.hint ? errhint("%s", shown.hint) : 0));
	error_context_stack = context.previous;
}

/*
 * Reports one problem.  `definition_id` is 0 for the job as a whole; `detail`
 * and `hint` may be NULL.  The texts must last as long as the list.  With
 * problems->collect, returns in any case; else raises an ERROR, or a WARNING
 * and returns.
 */
void
problem_report(Problems *problems, int sqlerrcode, int definition_id, bool is_warning,
			   char *message, char *detail, char *hint)
{
	Problem    *problem = palloc(sizeof(Problem));

	problem->sqlerrcode = sqlerrcode;
	problem->definition_id = definition_id;
	problem->is_warning = is_warning;
	problem->message = message;
	problem->detail = detail;
	problem->hint = hint;

	if (problems->collect)
		problems->list = lappend(problems->list, problem);
	else
		raise_problem(problem);
}

/*
 * Is the error about the server's state or an interrupt, and so no property
 * of the job?
 */
static bool
is_about_server(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):	/* insufficient resources */
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):	/* operator intervention */
		case MAKE_SQLSTATE('5', '8', '0', '0', '0'):	/* system error */
		case MAKE_SQLSTATE('X', 'X', '0', '0', '0'):	/* internal error */
			return true;
		default:
			return false;
	}
}

/* An error's detail, with the place in the text that PostgreSQL points at. */
static char *
error_detail(const ErrorData *edata)
{
	char	   *place;

	if (edata->internalquery == NULL || edata->internalpos <= 0)
		return edata->detail;
	place = psprintf("At character %d of: %s", edata->internalpos, edata->internalquery);
	return edata->detail ? psprintf("%s %s", edata->detail, place) : place;
}

/*
 * Has somebody cancelled the statement?  That is meant for all that it does.  An error
 * of the same code that a function raises, or another server, is like any other: what
 * tells them apart is the place where PostgreSQL answers interrupts.
 */
bool
error_is_cancel(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname != NULL &&
		strcmp(error->funcname, "ProcessInterrupts") == 0;
}

/*
 * Calls work(arg) in a subtransaction.  Returns NULL; or the error that it
 * raised, in the current memory context, with all that it did undone.
 */
ErrorData *
error_of(void (*work) (void *arg), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return error;
}

/* Does the client's encoding lack a character of a text? */
static bool
client_lacks(const char *text)
{
	int			server = GetDatabaseEncoding();
	int			client = pg_get_client_encoding();
	int			length = (int) strlen(text);
	Oid			conversion;

	if (client == server || client == PG_SQL_ASCII || pg_is_ascii(text))
		return false;
	if (server == PG_SQL_ASCII)
		return !pg_verify_mbstr(client, text, length, true);
	conversion = FindDefaultConversionProc(server, client);
	return OidIsValid(conversion) &&
		pg_do_encoding_conversion_buf(conversion, server, client, (unsigned char *) text, length,
									  palloc(length * MAX_CONVERSION_GROWTH + 1),
									  length * MAX_CONVERSION_GROWTH + 1, true) < length;
}

/* A text with question marks for all that is not ASCII. */
static char *
ascii_of(const char *text)
{
	char	   *ascii = pstrdup(text);

	for (char *c = ascii; *c != '\0'; c++)
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	return ascii;
}

/*
 * A text, or NULL, as it can be shown in a WARNING or NOTICE: where the client's
 * encoding lacks one of its characters, sending it would be an ERROR instead.
 */
char *
text_for_client(const char *text)
{
	return text == NULL || !client_lacks(text) ? (char *) text : ascii_of(text);
}

/*
 * The same for an error's context, during which no conversion can be tried: only a
 * client of the server's own encoding is shown all characters.
 */
char *
context_for_client(const char *text)
{
	if (pg_get_client_encoding() == GetDatabaseEncoding() || pg_is_ascii(text))
		return (char *) text;
	return ascii_of(text);
}

/*
 * How many bytes of a text of `length` there are in at most `limit`, without cutting a
 * character.  What a database without an encoding holds is mostly UTF-8.
 */
int
text_clip(const char *text, int length, int limit)
{
	int			encoding = GetDatabaseEncoding();

	return pg_encoding_mbcliplen(encoding == PG_SQL_ASCII ? PG_UTF8 : encoding, text, length,
								 limit);
}

/*
 * Calls check(arg), which may raise an ERROR.  With problems->collect, the
 * error becomes a problem of the list; except where it is about the server,
 * not the job: cancellation, shutdown, lack of memory.  Returns whether the
 * check went through.
 */
bool
problem_catch(Problems *problems, int definition_id, void (*check) (void *arg), void *arg)
{
	ErrorData  *error;

	if (!problems->collect)
	{
		ErrorContextCallback context = {
			.previous = error_context_stack,
			.callback = definition_context,
			.arg = &definition_id
		};

		error_context_stack = &context;
		check(arg);
		error_context_stack = context.previous;
		return true;
	}

	error = error_of(check, arg);
	if (error == NULL)
		return true;
	if (is_about_server(error->sqlerrcode))
		ReThrowError(error);
	problem_report(problems, error->sqlerrcode, definition_id, false, error->message,
				   error_detail(error), error->hint);
	return false;
}

/* Problems that one error shows at most; of an array with thousands, all would be too many. */
#define MAX_PROBLEMS_SHOWN 20

/* Does the list have a problem of the same words? */
static bool
has_problem(const List *list, const Problem *problem)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		const Problem *other = lfirst(lc);

		if (strcmp(other->message, problem->message) == 0 &&
			strcmp(other->detail ? other->detail : "", problem->detail ? problem->detail : "") == 0)
			return true;
	}
	return false;
}

/*
 * The errors of a list, or the warnings, each once and as many as are shown.  *more
 * becomes the number of the others.
 */
static List *
problems_shown(const Problems *problems, bool warnings, int *more)
{
	List	   *shown = NIL;
	ListCell   *lc;

	*more = 0;
	foreach(lc, problems->list)
	{
		Problem    *problem = lfirst(lc);

		if (problem->is_warning != warnings || has_problem(shown, problem))
			continue;
		if (list_length(shown) < MAX_PROBLEMS_SHOWN)
			shown = lappend(shown, problem);
		else
			(*more)++;
	}
	return shown;
}

/* The detail of the error that is raised for the first of these, which tells the others. */
static char *
detail_of_all(const List *errors, int more)
{
	const Problem *first = linitial(errors);
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	if (first->detail)
		appendStringInfoString(&text, first->detail);
	for_each_from(lc, errors, 1)
	{
		const Problem *problem = lfirst(lc);

		appendStringInfo(&text, "%sAnother problem: %s.", text.len > 0 ? "\n" : "",
						 problem->message);
		if (problem->detail)
			appendStringInfo(&text, " %s", problem->detail);
		if (problem->hint)
			appendStringInfo(&text, " %s", problem->hint);
	}
	if (more > 0)
		appendStringInfo(&text, "\nMore problems: %d.", more);
	return text.len > 0 ? text.data : NULL;
}

/*
 * Raises what was collected, each problem once.  Errors are raised as one ERROR:
 * the first of them, with the others in its detail, as many as are shown.  Where
 * there is none, raises each warning as a WARNING, and returns.
 */
void
problems_raise(const Problems *problems)
{
	int			more;
	List	   *errors = problems_shown(problems, false, &more);
	ListCell   *lc;

	if (errors != NIL)
	{
		Problem		all = *(Problem *) linitial(errors);

		all.detail = detail_of_all(errors, more);
		raise_problem(&all);
	}
	foreach(lc, problems_shown(problems, true, &more))
		raise_problem(lfirst(lc));
}
