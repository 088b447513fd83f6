/*-------------------------------------------------------------------------
 *
 * suggest.c
 *	  What somebody probably meant by a name that is not known, for hints.
 *
 * Time zones and relations have too many names to list them in a message, so
 * the nearest one is looked for.  That takes a while, as all have to be looked
 * at; it is done for an error only.  Which one is proposed does not depend on
 * the order in which they come.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "pgtime.h"
#include "utils/builtins.h"

#include "model/ext.h"
#include "model/names.h"
#include "model/suggest.h"
#include "words/nearest.h"

/* Relations that are looked at. */
#define MAX_RELATIONS "10000"

/* Abbreviations and other names of civil times, which are no time zones. */
static const Synonym zone_names[] = {
	{"edt", "America/New_York"}, {"et", "America/New_York"}, {"easterntime", "America/New_York"},
	{"eastern", "America/New_York"},
	{"cdt", "America/Chicago"}, {"cst", "America/Chicago"}, {"ct", "America/Chicago"},
	{"centraltime", "America/Chicago"},
	{"mdt", "America/Denver"}, {"mt", "America/Denver"}, {"mountaintime", "America/Denver"},
	{"pdt", "America/Los_Angeles"}, {"pst", "America/Los_Angeles"}, {"pt", "America/Los_Angeles"},
	{"pacifictime", "America/Los_Angeles"}, {"pacific", "America/Los_Angeles"},
	{"bst", "Europe/London"}, {"uk", "Europe/London"},
	{"cest", "Europe/Berlin"}, {"mez", "Europe/Berlin"}, {"mesz", "Europe/Berlin"},
	{"germany", "Europe/Berlin"}, {"france", "Europe/Paris"}, {"spain", "Europe/Madrid"},
	{"italy", "Europe/Rome"}, {"eest", "Europe/Athens"}, {"msk", "Europe/Moscow"},
	{"ist", "Asia/Kolkata"}, {"india", "Asia/Kolkata"}, {"jst", "Asia/Tokyo"},
	{"kst", "Asia/Seoul"}, {"sgt", "Asia/Singapore"}, {"hkt", "Asia/Hong_Kong"},
	{"china", "Asia/Shanghai"}, {"aest", "Australia/Sydney"}, {"aedt", "Australia/Sydney"},
	{"z", "UTC"}, {"utctime", "UTC"}
};

/* What has no meaning in the name of a time zone. */
#define ZONE_IGNORED " \t\n_-'\""

/*
 * How far a folded name is from a time zone's: twice the distance, and 1 more
 * where it is the place's name alone.
 */
static int
zone_distance(const char *folded, const char *zone)
{
	char		whole[NEAREST_MAX_LENGTH];
	const char *place;
	int			distance;
	int			of_place;

	word_fold(zone, ZONE_IGNORED, whole, sizeof(whole));
	distance = 2 * word_distance(folded, whole);
	place = strrchr(whole, '/');
	if (place == NULL)
		return distance;
	of_place = 2 * word_distance(folded, place + 1) + 1;
	return Min(distance, of_place);
}

/* The zone that is nearest to a folded name; NULL where none is near. */
static char *
nearest_timezone(const char *folded)
{
	pg_tzenum  *all = pg_tzenumerate_start();
	pg_tz	   *tz;
	char	   *nearest = NULL;
	int			least = 2 * word_tolerance(folded) + 1;

	while ((tz = pg_tzenumerate_next(all)) != NULL)
	{
		const char *name = pg_get_timezone_name(tz);
		int			distance = zone_distance(folded, name);

		if (distance > least || !pg_tz_acceptable(tz) || strncmp(name, "posix", 5) == 0 ||
			(nearest && distance == least && strcmp(name, nearest) > 0))
			continue;
		nearest = pstrdup(name);
		least = distance;
	}
	pg_tzenumerate_end(all);
	return nearest;
}

/*
 * The zone of a fixed offset in hours, as ISO 8601 or people write it: +02, UTC+3,
 * -05:00 are east where they are greater than 0.  Zones named Etc/GMT count the
 * other way.  NULL where the name is not written so, or no such zone has a name.
 */
static char *
fixed_offset_timezone(const char *name)
{
	static const char *const prefixes[] = {"UTC", "GMT"};
	bool		west;
	char	   *end;
	long		hours;

	for (int i = 0; i < lengthof(prefixes); i++)
		if (pg_strncasecmp(name, prefixes[i], 3) == 0)
		{
			name += 3;
			break;
		}
	west = *name == '-';
	if (*name == '+' || *name == '-')
		name++;
	if (strspn(name, "0123456789") != strcspn(name, ":") || *name == ':' || *name == '\0')
		return NULL;
	hours = strtol(name, &end, 10);
	if ((*end != '\0' && strcmp(end, ":00") != 0) || hours > (west ? 12 : 14))
		return NULL;
	return hours == 0 ? pstrdup("UTC") : psprintf("Etc/GMT%c%ld", west ? '+' : '-', hours);
}

/*
 * The time zone that was probably meant by a name that is none, palloc'd; NULL
 * where nothing is near.
 */
char *
suggest_timezone(const char *name)
{
	char		folded[NEAREST_MAX_LENGTH];
	char	   *offset;
	const char *meant;

	word_fold(name, ZONE_IGNORED, folded, sizeof(folded));
	if (folded[0] == '\0')
		return NULL;
	offset = fixed_offset_timezone(name);
	if (offset != NULL)
		return offset;
	meant = synonym_of(zone_names, lengthof(zone_names), folded);
	return meant ? pstrdup(meant) : nearest_timezone(folded);
}

/*
 * A NOTICE where a time zone is the winter half of a civil time, all the year round:
 * who names it mostly means the civil time.
 */
void
notice_fixed_zone(const char *name)
{
	static const Synonym fixed[] = {{"est", "America/New_York"}, {"mst", "America/Denver"}};
	char		folded[NEAREST_MAX_LENGTH];
	const char *civil;

	word_fold(name, "", folded, sizeof(folded));
	civil = synonym_of(fixed, lengthof(fixed), folded);
	if (civil)
		ereport(NOTICE,
				(errmsg("time zone \"%s\" has no daylight saving time", name),
				 errhint("Use \"%s\" for the civil time.", civil)));
}

/*
 * The relation that was probably meant by a name that leads to none, as it has
 * to be written in the current search_path, palloc'd; NULL where nothing is
 * near.  One of the same name in another schema is nearest.
 */
char *
suggest_relation(const char *written)
{
	RangeVar   *name = name_parse(written);
	const char *wanted = name ? name->relname : written;
	char	  **nearest = NULL;
	int			least = word_tolerance(wanted) + 1;
	List	   *rows;
	ListCell   *lc;

	rows = ext_query(false,
					 "SELECT c.oid, n.nspname, c.relname FROM pg_class c "
					 "JOIN pg_namespace n ON n.oid = c.relnamespace "
					 "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition "
					 "AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname::text, 'pg_') "
					 "AND has_schema_privilege(n.oid, 'USAGE') "
					 "ORDER BY n.nspname, c.relname LIMIT " MAX_RELATIONS, 0, NULL, NULL);
	foreach(lc, rows)
	{
		char	  **row = lfirst(lc);
		const char *known[] = {row[2]};
		int			distance = word_distance(wanted, row[2]);

		if (distance >= least || word_nearest(wanted, known, 1) == NULL)
			continue;
		nearest = row;
		least = distance;
	}
	if (nearest == NULL)
		return NULL;
	return RelationIsVisible(atooid(nearest[0])) ? pstrdup(quote_identifier(nearest[2])) :
		quote_qualified_identifier(nearest[1], nearest[2]);
}
