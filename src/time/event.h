/*-------------------------------------------------------------------------
 *
 * event.h
 *	  Event names and cron expressions: when a job is due.
 *
 * A pure room: it takes the instant to start from as an argument and knows
 * neither the catalogue nor the current time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_EVENT_H
#define BATCHAGG_EVENT_H

#include "datatype/timestamp.h"
#include "pgtime.h"

/* A parsed five-field cron expression: one bit a value. */
typedef struct CronSchedule
{
	uint64		minutes;		/* bits 0-59 */
	uint32		hours;			/* bits 0-23 */
	uint32		days;			/* bits 1-31 */
	uint16		months;			/* bits 1-12 */
	uint8		weekdays;		/* bits 0-6, Sunday is 0 */
	bool		any_day;		/* day of month began with '*' */
	bool		any_weekday;	/* day of week began with '*' */
} CronSchedule;

extern const char *cron_parse(const char *expression, CronSchedule *result);
extern bool cron_follows_real_time(const CronSchedule *schedule);
extern bool cron_next(const CronSchedule *schedule, const pg_tz *tz,
					  TimestampTz after, TimestampTz *next);

/* Room for an expression with 60 minutes, 24 hours, 31 days and so on. */
#define CRON_COVER_LEN 512

extern void cron_cover(const CronSchedule *schedule, const pg_tz *tz, const pg_tz *other,
					   TimestampTz from, TimestampTz until, char *result);

/*
 * What an event name means: a cron expression, and the zone it is read in
 * ("" where the setting batchagg.timezone decides).
 */
#define EVENT_TEXT_LEN 256

typedef struct EventMeaning
{
	char		cron[EVENT_TEXT_LEN];
	char		timezone[EVENT_TEXT_LEN];
} EventMeaning;

extern bool event_parse(const char *event_name, EventMeaning *result);
extern const char *event_problem(const char *event_name);
extern bool event_suggest(const char *name, const char *const *known, int nknown,
						  char *suggestion);

#endif							/* BATCHAGG_EVENT_H */
