/*-------------------------------------------------------------------------
 *
 * retry.c
 *	  Which errors pass by themselves, and how long to wait for that.
 *
 * An error is transient where the same run, with nothing changed by anybody,
 * may succeed a little later: the server or a foreign one was busy, full,
 * restarting, or somebody else was in the way.  All others are permanent: a
 * retry would only repeat them, until somebody changes the job or its source.
 * A cancel is somebody's wish, and a timeout would come again: both are
 * permanent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "settings.h"
#include "slots/retry.h"

/* No wait is longer. */
#define MAX_WAIT_SECONDS SECS_PER_HOUR

/* No job has a shorter one, unless the setting does. */
#define LEAST_WAIT_SECONDS 1

/*
 * Does an error of this code pass by itself?
 */
bool
error_is_transient(int sqlerrcode)
{
	switch (sqlerrcode)
	{
		case ERRCODE_QUERY_CANCELED:
		case ERRCODE_DATABASE_DROPPED:
			return false;
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_OBJECT_IN_USE:
		case ERRCODE_IO_ERROR:
		case ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION:
			return true;
	}
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case MAKE_SQLSTATE('0', '8', '0', '0', '0'):	/* connection exception */
		case MAKE_SQLSTATE('4', '0', '0', '0', '0'):	/* transaction rollback */
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):	/* insufficient resources */
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):	/* operator intervention */
			return true;
		default:
			return false;
	}
}

/*
 * The first wait of a job that asks for `delay` seconds: no less than one second, or
 * than the setting, whose business it is how much of the server retries may take.
 */
int
retry_delay_of_job(int delay)
{
	return Max(delay, Min(batchagg_retry_delay, LEAST_WAIT_SECONDS));
}

/*
 * Microseconds to wait after a failed attempt, counted from 1, where the first
 * wait is `delay` seconds: doubled each time, up to an hour, and a quarter more
 * or less by chance, so that what failed together does not return together.
 */
int64
retry_wait(int delay, int attempt)
{
	double		seconds = delay;

	for (int i = 1; i < attempt && seconds < MAX_WAIT_SECONDS; i++)
		seconds *= 2;
	seconds = Min(seconds, MAX_WAIT_SECONDS);
	return (int64) (seconds * (0.75 + 0.5 * pg_prng_double(&pg_global_prng_state)) *
					USECS_PER_SEC);
}
