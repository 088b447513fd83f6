/*-------------------------------------------------------------------------
 *
 * events.c
 *	  What an event name means in this database.
 *
 * A name is looked for in the table batchagg_events first, so that a row can
 * give a name of the grammar another meaning; then it is read by the grammar,
 * which knows cron expressions too (time/event.c).  Case does not matter.
 *
 * Events are no secret, and the table is read with its owner's rights: when a
 * job is due must not depend on who looks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "model/events.h"
#include "model/ext.h"
#include "model/suggest.h"
#include "time/zone.h"

/*
 * Sets *result to the meaning of event `name` and returns true; false where it has
 * none.  `schedule` and `timezone` are those of its row of batchagg_events; NULL
 * where there is none.  Its timezone is "" where the setting decides.
 */
bool
event_meaning(const char *name, const char *schedule, const char *timezone, EventMeaning *result)
{
	pg_tz	   *tz;

	if (schedule == NULL)
		return event_parse(name, result) &&
			(result->timezone[0] == '\0' || zone_parse(result->timezone, &tz) == NULL);
	strlcpy(result->cron, schedule, sizeof(result->cron));
	strlcpy(result->timezone, timezone ? timezone : "", sizeof(result->timezone));
	return true;
}

/*
 * Likewise, and looks for its row.
 */
bool
event_lookup(const char *name, EventMeaning *result)
{
	const Oid	types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	List	   *rows;
	char	  **row;

	rows = ext_query(true,
					 psprintf("SELECT schedule, timezone FROM %s "
							  "WHERE upper(event_name) = upper($1) "
							  "ORDER BY event_name = $1 DESC, event_name LIMIT 1",
							  ext_table("batchagg_events")),
					 lengthof(types), types, values);
	if (rows == NIL)
		return event_meaning(name, NULL, NULL, result);
	row = linitial(rows);
	return event_meaning(name, row[0], row[1], result);
}

/*
 * The event that was probably meant by `name`: a row of the table, or one of the
 * grammar; NULL where there is none to propose.
 */
static char *
suggest_event(const char *name)
{
	static const char *const plain[] = {"EVERYMINUTE", "EVERY15MINUTES", "EVERYDAY", "EVERYMONTH"};
	const char **known;
	int			nknown = 0;
	char		suggestion[EVENT_TEXT_LEN];
	EventMeaning meaning;
	List	   *rows;
	ListCell   *lc;
	pg_tz	   *tz;
	const char *zone;
	int			length;

	rows = ext_query(true,
					 psprintf("SELECT event_name FROM %s ORDER BY event_name",
							  ext_table("batchagg_events")),
					 0, NULL, NULL);
	known = palloc(sizeof(char *) * (list_length(rows) + lengthof(plain)));
	foreach(lc, rows)
		known[nknown++] = ((char **) lfirst(lc))[0];
	for (int i = 0; i < lengthof(plain); i++)
		known[nknown++] = plain[i];
	if (!event_suggest(name, known, nknown, suggestion))
		return NULL;

	/* A time zone stands at its end, in capitals, and may be none. */
	if (!event_parse(suggestion, &meaning) || meaning.timezone[0] == '\0')
		return pstrdup(suggestion);
	length = (int) strlen(suggestion) - (int) strlen(meaning.timezone);
	if (length < 0 || pg_strcasecmp(suggestion + length, meaning.timezone) != 0)
		return pstrdup(suggestion);
	zone = zone_parse(meaning.timezone, &tz) == NULL ? pg_get_timezone_name(tz) :
		suggest_timezone(meaning.timezone);
	return zone ? psprintf("%.*s%s", length, suggestion, zone) : NULL;
}

/*
 * Reports that event_lookup() does not know `name`, with the reason and the
 * event that was probably meant.
 */
void
event_report_unknown(const char *name, Problems *problems)
{
	const char *reason = event_problem(name);
	const char *meant = suggest_event(name);
	EventMeaning meaning;
	pg_tz	   *tz;

	if (reason == NULL && event_parse(name, &meaning))
		reason = zone_parse(meaning.timezone, &tz);
	problem_report(problems, ERRCODE_UNDEFINED_OBJECT, 0, false,
				   psprintf("unknown event \"%s\"", name), reason ? pstrdup(reason) : NULL,
				   meant ? psprintf("Perhaps you meant \"%s\".", meant) : NULL);
}

/*
 * Sets *result to the meaning of event `name`.  ERROR where it has none.
 */
void
event_require(const char *name, EventMeaning *result)
{
	Problems	raise_at_once = {.collect = false};

	if (!event_lookup(name, result))
		event_report_unknown(name, &raise_at_once);
}
