/*-------------------------------------------------------------------------
 *
 * refresh.c
 *	  What a run has to recompute of a definition's results from one source.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "model/layout.h"
#include "refresh/interval.h"
#include "refresh/refresh.h"
#include "refresh/sourcerows.h"
#include "time/zone.h"

/*
 * The name of a mode, as batchagg_jobs and cursors have it.
 */
const char *
refresh_mode_name(RefreshMode mode)
{
	static const char *const names[] = {
		[REFRESH_FULL] = "full",
		[REFRESH_LOG] = "log",
		[REFRESH_SNAPSHOT] = "snapshot",
		[REFRESH_LOOKBACK] = "lookback"
	};

	return names[mode];
}

/*
 * Do rows count as new whose time has come since the cursor?  Where times are
 * local, the query that finds them could not be exact.
 */
bool
refresh_counts_passed_time(const Refresh *refresh)
{
	return refresh->additions && !source_time_is_local(refresh->source) &&
		ahead_between(&refresh->cursor->ahead, refresh->cursor->horizon, refresh->horizon);
}

/*
 * The time between the cursor's horizon and this run's in which there can be rows that
 * were there before: ranges of instants.
 */
Extents *
refresh_passed_time(const Refresh *refresh)
{
	const Cursor *cursor = refresh->cursor;
	Extents    *passed = extents_create();
	int			i;

	for (i = 0; i < cursor->ahead.n; i++)
		extents_add(passed, Max(cursor->ahead.ranges[i].low, cursor->horizon),
					Min(cursor->ahead.ranges[i].high + 1, refresh->horizon), NULL, 0);
	extents_finish(passed);
	return passed;
}

/*
 * The start of the bucket that holds the instant which is `interval`, a text,
 * before t, by the definition's clock; DT_NOBEGIN where there is no such time.
 */
TimestampTz
bucket_before(const Definition *definition, TimestampTz t, const char *interval)
{
	const Interval *length = DatumGetIntervalP(DirectFunctionCall3(interval_in,
																   CStringGetDatum(interval),
																   ObjectIdGetDatum(InvalidOid),
																   Int32GetDatum(-1)));
	Timestamp	local = time_minus(t + zone_stretch(definition->tz, t).offset, length);

	if (TIMESTAMP_NOT_FINITE(local))
		return local;
	return bucket_start(&definition->granularity, definition->tz,
						bucket_from_local(definition->tz, local));
}

/*
 * Deletes the results that are retained no longer, and notes what history needs.
 * Returns how many rows of the store were deleted.
 */
int64
refresh_tidy(const Refresh *refresh)
{
	const Source *source = refresh->source;

	if (source->definition->keep_history)
		layouts_set_history(source->definition->id, source->name, refresh->rows_from,
							refresh->mixed);
	if (refresh->retained_from == DT_NOBEGIN)
		return 0;
	return layouts_delete_before(source->definition->id, source->name, refresh->retained_from);
}
