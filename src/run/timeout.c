/*-------------------------------------------------------------------------
 *
 * timeout.c
 *	  How long a run may take.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "run/timeout.h"

/* A run that does not end when its time is over is cancelled again, milliseconds. */
#define CANCEL_AGAIN 10000

static struct
{
	TimeoutId	id;				/* our timeout, registered at its first use */
	bool		registered;
	bool		timed_out;
}			timeout;

/*
 * A run begins: its time is not over.
 */
void
timeout_begin(void)
{
	timeout.timed_out = false;
}

/*
 * Cancels the run.  A function of a source may catch that and go on, so it comes again;
 * and a process of the service, which has no more to do than the run, ends then.
 */
static void
timeout_handler(void)
{
	if (timeout.timed_out && MyBackendType == B_BG_WORKER)
		ProcDiePending = true;
	timeout.timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

/*
 * Lets the run take so many seconds from now on; 0: without limit.
 */
void
timeout_start(int seconds)
{
	if (!timeout.registered)
		timeout.id = RegisterTimeout(USER_TIMEOUT, timeout_handler);
	timeout.registered = true;
	disable_timeout(timeout.id, false);
	if (seconds > 0)
		enable_timeout_every(timeout.id,
							 TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														 seconds * INT64CONST(1000)),
							 CANCEL_AGAIN);
}

/*
 * The run has ended.  Returns whether its time was over.
 */
bool
timeout_end(void)
{
	if (timeout.registered)
		disable_timeout(timeout.id, false);
	return timeout.timed_out;
}
