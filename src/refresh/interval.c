/*-------------------------------------------------------------------------
 *
 * interval.c
 *	  Times that are an interval away, as far as there is time.
 *
 * PostgreSQL raises an error where a time would be before the first or after the last
 * that it has.  Here that is infinity: who asks for the results of the last 10,000 years
 * gets all of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "refresh/interval.h"

/* Whatever is longer than this leads out of time from anywhere. */
#define MAX_DAYS (300000 * 365.0)

/* So near to the end of time steps on the way to a result may be beyond it. */
#define MARGIN_DAYS (400 * 366.0)

/*
 * The time that is `sign` times the interval from t on.  Its parts are added one after the
 * other: the months, the days and the rest may have different signs.
 */
static Timestamp
shift(Timestamp t, const Interval *interval, int sign, PGFunction add)
{
	double		months = sign * (interval->month * 30.4375);
	double		days = sign * (double) interval->day;
	double		rest = sign * (interval->time / (double) USECS_PER_DAY);
	double		low = t / (double) USECS_PER_DAY + Min(Min(months, months + days), 0);
	double		high = t / (double) USECS_PER_DAY + Max(Max(months, months + days), 0);
	double		sum = months + days + rest;

	if (fabs(sum) > MAX_DAYS ||
		low + Min(rest, 0) < MIN_TIMESTAMP / (double) USECS_PER_DAY + MARGIN_DAYS ||
		high + Max(rest, 0) > END_TIMESTAMP / (double) USECS_PER_DAY - MARGIN_DAYS)
		return sum > 0 ? DT_NOEND : DT_NOBEGIN;
	return DatumGetTimestamp(DirectFunctionCall2(add, TimestampGetDatum(t),
												 IntervalPGetDatum(interval)));
}

/*
 * The time that is an interval after t; infinity of that sign where there is none.
 */
Timestamp
time_plus(Timestamp t, const Interval *interval)
{
	return shift(t, interval, 1, timestamp_pl_interval);
}

/*
 * The time that is an interval before t; likewise.
 */
Timestamp
time_minus(Timestamp t, const Interval *interval)
{
	return shift(t, interval, -1, timestamp_mi_interval);
}
