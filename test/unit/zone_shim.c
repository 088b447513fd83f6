/*-------------------------------------------------------------------------
 *
 * zone_shim.c
 *	  Made-up time zones for unit programs, in place of the server's time
 *	  zone library.
 *
 * A zone is a table of changes.  pg_next_dst_boundary() answers from it as
 * the server's does: with the first change later than an instant.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "zone_shim.h"

#define MAX_CHANGES 4096

struct pg_tz
{
	const char *name;
	int			first_offset;	/* before all changes */
	int			nchanges;
	pg_time_t	at[MAX_CHANGES];
	int			offset[MAX_CHANGES];	/* from at[i] on */
};

/* The zones that pg_tzset() knows. */
static struct pg_tz named[] = {
	{"Test/Zone", 3600, 0, {0}, {0}},
	{"Test/Manila", -57368, 0, {0}, {0}},
	{"Test/Far", 57600, 0, {0}, {0}},
	{"FOO5", -18000, 0, {0}, {0}}
};

pg_tz *
zone_shim_new(const char *name, int offset)
{
	pg_tz	   *zone = palloc0(sizeof(pg_tz));

	zone->name = name;
	zone->first_offset = offset;
	return zone;
}

void
zone_shim_change(pg_tz *zone, pg_time_t at, int offset)
{
	if (zone->nchanges >= MAX_CHANGES ||
		(zone->nchanges > 0 && zone->at[zone->nchanges - 1] >= at))
		abort();
	zone->at[zone->nchanges] = at;
	zone->offset[zone->nchanges] = offset;
	zone->nchanges++;
}

/* The number of changes up to and at an instant. */
static int
changes_until(const pg_tz *zone, pg_time_t at)
{
	int			low = 0;
	int			high = zone->nchanges;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (zone->at[middle] <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int
zone_shim_offset(const pg_tz *zone, pg_time_t at)
{
	int			n = changes_until(zone, at);

	return n == 0 ? zone->first_offset : zone->offset[n - 1];
}

int
zone_shim_changes(const pg_tz *zone)
{
	return zone->nchanges;
}

pg_time_t
zone_shim_change_at(const pg_tz *zone, int i)
{
	return zone->at[i];
}

/* What the pure rooms call */

int
pg_next_dst_boundary(const pg_time_t *timep, long int *before_gmtoff, int *before_isdst,
					 pg_time_t *boundary, long int *after_gmtoff, int *after_isdst,
					 const pg_tz *tz)
{
	int			n = changes_until(tz, *timep);

	*before_gmtoff = n == 0 ? tz->first_offset : tz->offset[n - 1];
	*before_isdst = 0;
	if (n == tz->nchanges)
		return 0;
	*boundary = tz->at[n];
	*after_gmtoff = tz->offset[n];
	*after_isdst = 0;
	return 1;
}

pg_tz *
pg_tzset(const char *tzname)
{
	for (int i = 0; i < lengthof(named); i++)
		if (pg_strcasecmp(tzname, named[i].name) == 0)
			return &named[i];
	return NULL;
}

bool
pg_tz_acceptable(pg_tz *tz)
{
	return true;
}

const char *
pg_get_timezone_name(pg_tz *tz)
{
	return tz->name;
}

/* No zones are listed, so that none with a digit in its name is taken. */
pg_tzenum *
pg_tzenumerate_start(void)
{
	return NULL;
}

pg_tz *
pg_tzenumerate_next(pg_tzenum *dir)
{
	return NULL;
}

void
pg_tzenumerate_end(pg_tzenum *dir)
{
}

pg_time_t
utc(int year, int month, int day, int hour, int minute)
{
	struct tm	tm = {0};

	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	return timegm(&tm);
}
