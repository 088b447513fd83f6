/*-------------------------------------------------------------------------
 *
 * meaning.h
 *	  What a source's columns and a filter mean, beyond their texts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_MEANING_H
#define BATCHAGG_MEANING_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* A function that a view, policy or filter calls, and whose result depends on the session. */
typedef struct SessionCall
{
	const char *function;
	const char *setting;		/* that current_setting() asks for; NULL: not known */
	const char *where;			/* for people, such as: view public.v */
	bool		tells_who;		/* who has connected, which nothing can fix */
	bool		is_certain;		/* else only its name is in a function's text */
} SessionCall;

extern void meaning_append(StringInfo text, Relation rel, const List *columns,
						   Node *filter);
extern void meaning_append_filter(StringInfo text, Node *filter);
extern uint64 meaning_labels(Oid type, int *n);
extern bool meaning_is_settled(Node *filter);
extern List *meaning_session_calls(Relation rel);
extern List *meaning_filter_session_calls(Node *filter);
extern const char *meaning_session_function(Node *node);

#endif							/* BATCHAGG_MEANING_H */
