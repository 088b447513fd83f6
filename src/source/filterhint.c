/*-------------------------------------------------------------------------
 *
 * filterhint.c
 *	  What to write instead, where a filter was refused.
 *
 * A filter is refused by PostgreSQL's parser or its analysis, whose messages
 * are right but know nothing of where filters come from: people write them as
 * other languages have them (==, &&), with the words around them (WHERE, a
 * semicolon), or without quotes.  The error's code, its place in the filter and
 * the text there tell which of these it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "mb/pg_wchar.h"
#include "parser/scanner.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "source/filterhint.h"
#include "words/nearest.h"

/* The hint where a filter asks for what is no expression over one row. */
const char	filter_needs_view[] =
"For more than that, make a view with the condition, and use the view as the source.";

/* How other languages write operators; some have another meaning in SQL. */
static const struct
{
	const char *written;
	const char *hint;
}			operators[] = {
	{"===", "Write = instead of ===."},
	{"!==", "Write <> instead of !==."},
	{"==", "Write = instead of ==."},
	{"&&", "To combine conditions, write AND instead of &&."},
	{"||", "To combine conditions, write OR instead of ||."},
	{"=>", "Write >= instead of =>."},
	{"=<", "Write <= instead of =<."},
	{"!", "To negate a condition, write NOT instead of !."}
};

/* What operators consist of, and comparisons, which do not stand side by side in SQL. */
#define OPERATOR_CHARACTERS "~!@#^&|`?+-*/%<>="
#define COMPARISON_CHARACTERS "<>=!"

/* How many columns a hint lists at most. */
#define MAX_COLUMNS_LISTED 40

#define BLANKS " \t\r\n\f"

/* Behind the blanks at the beginning of a text. */
static const char *
skip_blanks(const char *text)
{
	return text + strspn(text, BLANKS);
}

static bool
begins_with_word(const char *text, const char *word)
{
	size_t		length = strlen(word);
	unsigned char next = text[length <= strlen(text) ? length : strlen(text)];

	return pg_strncasecmp(text, word, length) == 0 && !isalnum(next) && next != '_' &&
		!IS_HIGHBIT_SET(next);
}

/*
 * What is left of a filter that begins with WHERE when that is left out; NULL
 * where it does not.
 */
char *
filter_without_where(const char *filter)
{
	const char *at = skip_blanks(filter);

	return begins_with_word(at, "where") ? pstrdup(skip_blanks(at + strlen("where"))) : NULL;
}

/* The place in a filter that an error points at; NULL where it points to none in it. */
static const char *
error_place(const char *filter, const ErrorData *error)
{
	int			position = error->internalpos;

	if (position <= 0 || error->internalquery == NULL || strcmp(error->internalquery, filter) != 0)
		return NULL;
	return filter + pg_mbcharcliplen(filter, strlen(filter), position - 1);
}

/*
 * The hint for the operator at this place, if other languages have it; or NULL.
 * Signs at its end are those of a number.
 */
static const char *
operator_hint(const char *place)
{
	size_t		length = strspn(place, OPERATOR_CHARACTERS);

	while (length > 1 && (place[length - 1] == '-' || place[length - 1] == '+'))
		length--;
	for (int i = 0; i < lengthof(operators); i++)
		if (strlen(operators[i].written) == length &&
			strncmp(place, operators[i].written, length) == 0)
			return operators[i].hint;
	return NULL;
}

/*
 * The same where a second comparison is a syntax error: && and || bind closer than
 * comparisons, so that SQL sees a = (1 && b) = 2.  The last of them before that place
 * joins the two.
 */
static const char *
joining_operator_hint(const char *filter, const char *place)
{
	core_yy_extra_type extra;
	core_yyscan_t scanner;
	core_YYSTYPE value;
	YYLTYPE		at;
	const char *hint = NULL;

	if (strchr(COMPARISON_CHARACTERS, *place) == NULL)
		return NULL;
	scanner = scanner_init(filter, &extra, &ScanKeywords, ScanKeywordTokens);
	while (core_yylex(&value, &at, scanner) != 0 && filter + at < place)
	{
		const char *token = filter + at;

		if (strncmp(token, "&&", 2) == 0 || strncmp(token, "||", 2) == 0)
			hint = operator_hint(token);
		else if (begins_with_word(token, "and") || begins_with_word(token, "or"))
			hint = NULL;
	}
	scanner_finish(scanner);
	return hint;
}

static char *
syntax_hint(const char *filter, const char *place)
{
	const char *hint = NULL;

	if (filter_without_where(filter))
		return "Leave out the word WHERE.";
	if (begins_with_word(skip_blanks(filter), "select"))
		return "Write the condition alone, as it would stand after WHERE.";
	if (place && *place == ';')
		return "Leave out the semicolon.";
	if (place && *place != '\0')
		hint = operator_hint(place);
	if (place && *place != '\0' && hint == NULL)
		hint = joining_operator_hint(filter, place);
	return hint ? pstrdup(hint) : NULL;
}

/*
 * A function that is not found but in another schema than pg_catalog; NULL where
 * PostgreSQL's own hint is the better one.
 */
static char *
function_hint(const char *place)
{
	size_t		length = strspn(place, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	char	   *name = asc_tolower(place, length);
	char	   *hint = NULL;
	CatCList   *functions;

	if (length == 0 || length >= NAMEDATALEN || *skip_blanks(place + length) != '(')
		return NULL;
	functions = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	if (functions->n_members == 0)
		hint = "There is no function of that name.";
	for (int i = 0; i < functions->n_members; i++)
	{
		Form_pg_proc function = (Form_pg_proc) GETSTRUCT(&functions->members[i]->tuple);

		if (function->pronamespace == PG_CATALOG_NAMESPACE)
		{
			hint = NULL;
			break;
		}
		hint = psprintf("A filter finds functions of schema pg_catalog by their name alone. Write "
						"others with their schema, such as %s(...).",
						quote_qualified_identifier(get_namespace_name(function->pronamespace), name));
	}
	ReleaseCatCacheList(functions);
	return hint;
}

/* An operator or function that does not exist. */
static char *
undefined_hint(const char *place)
{
	const char *hint;

	if (place == NULL)
		return NULL;
	hint = operator_hint(place);
	if (hint)
		return pstrdup(hint);
	if (strchr("=<>!+-*/%~", *place) != NULL)
		return "The operator does not take these types. Write strings in single quotes, or cast "
			"one side, such as number::text or text::numeric.";
	return function_hint(place);
}

/*
 * What to write instead, where a filter was refused with this error, whose
 * internal query it is; palloc'd or static.  NULL where the error's own hint is
 * as good as any.
 */
char *
filter_hint(const char *filter, const ErrorData *error)
{
	const char *place = error_place(filter, error);

	switch (error->sqlerrcode)
	{
		case ERRCODE_SYNTAX_ERROR:
			return error->hint ? NULL : syntax_hint(filter, place);
		case ERRCODE_UNDEFINED_FUNCTION:
			return undefined_hint(place);
		case ERRCODE_GROUPING_ERROR:
		case ERRCODE_WINDOWING_ERROR:
			return "A filter chooses rows before they are aggregated.";
		case ERRCODE_UNDEFINED_TABLE:
			return place ? "Write the name of a column alone, without a table or alias." : NULL;
		case ERRCODE_DATATYPE_MISMATCH:
			if (strstr(error->message, "resource_filter") != NULL)
				return "Write a condition, such as status = 'active'.";
			return NULL;
		case ERRCODE_INVALID_TEXT_REPRESENTATION:
			if (place && *place == '"')
				return "A word in double quotes that is no column of the source is taken as a "
					"string.";
			return NULL;
		default:
			return NULL;
	}
}

/* The names of the source's columns; those of dropped ones are "". */
static List *
source_columns(ParseState *pstate)
{
	ParseNamespaceItem *source = linitial(pstate->p_namespace);

	return source->p_rte->eref->colnames;
}

/*
 * The column of the source that is called like this but for case; NULL where there
 * is none.
 */
const char *
filter_column_but_for_case(ParseState *pstate, const char *name)
{
	ListCell   *lc;

	foreach(lc, source_columns(pstate))
		if (name[0] != '\0' && pg_strcasecmp(strVal(lfirst(lc)), name) == 0)
			return strVal(lfirst(lc));
	return NULL;
}

/* Names of columns, as many as a hint has room for. */
static char *
list_of_columns(List *columns)
{
	StringInfoData list;
	int			n = 0;
	ListCell   *lc;

	initStringInfo(&list);
	foreach(lc, columns)
	{
		const char *name = strVal(lfirst(lc));

		if (name[0] == '\0')
			continue;
		if (++n > MAX_COLUMNS_LISTED)
		{
			appendStringInfoString(&list, ", ...");
			break;
		}
		appendStringInfo(&list, "%s%s", n > 1 ? ", " : "", quote_identifier(name));
	}
	return list.data;
}

/*
 * What to write instead of a name that is no column of the source.
 */
char *
filter_column_hint(ParseState *pstate, const char *name)
{
	List	   *columns = source_columns(pstate);
	const char **known = palloc(sizeof(char *) * Max(list_length(columns), 1));
	const char *meant = filter_column_but_for_case(pstate, name);
	ListCell   *lc;

	foreach(lc, columns)
		known[foreach_current_index(lc)] = strVal(lfirst(lc));
	if (meant == NULL)
		meant = word_nearest(name, known, list_length(columns));
	if (meant)
		return psprintf("Perhaps you meant the column %s.", quote_identifier(meant));
	if (strstr(name, "\xe2\x80") != NULL)
		return "Write straight single quotes around a string, as in 'active'.";
	return psprintf("If it is a string, write it in single quotes: %s. Columns of the source: %s.",
					quote_literal_cstr(name), list_of_columns(columns));
}
