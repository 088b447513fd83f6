/*-------------------------------------------------------------------------
 *
 * history.c
 *	  Results that outlive the rows they were computed from.
 *
 * Old rows of a source are deleted, or their partitions dropped, and a definition
 * says keep_history.  Nobody tells us which rows were dropped because they were
 * old and which were deleted because they were wrong.  The rule goes by what can
 * be seen, the stored results and the rows that are there:
 *
 *	 1. A group that has no rows keeps its results.
 *	 2. A group that has rows is what they come to, as anywhere else,
 *	 3. unless it was cut: it has fewer values than its results were computed from,
 *		and in the bucket before its entity has results that are kept, by rule 1
 *		or this one.  Then the end of what was dropped lies in this bucket, or late
 *		rows came to a time whose rows are gone; and it keeps its results.
 *	 4. A coarser group is made of the groups of the finer definition as these
 *		rules leave them: of those that are kept, and of those that have rows.
 *		The rules then hold for it as well.
 *
 * A group without results before comes to be in any case.
 *
 * The rule has no memory.  It does not ask when the source's oldest row was seen,
 * whether a run came while the source was empty, or which run came before another:
 * the same rows and results have the same outcome in all modes.  An odd row, however
 * old, matters to its own group only.
 *
 * The one thing that is remembered is the time of the oldest row ever met
 * (rows_from), for the first bucket of all, which has none before it: it counts as
 * cut where the oldest row is a later one than it was.
 *
 * Where the user says how long rows are there at least (source_retention), nothing
 * has to be guessed: in younger buckets groups without rows go, and others are what
 * their rows come to; in older ones rule 3 holds whatever is before.  The age is
 * counted from now, as it is by who drops the rows: a slot may be run late.
 *
 * Rule 4 needs the partial states of the finer groups, so these are stored with
 * the results in every mode.  What has none, because it was stored before or its
 * metrics have changed since, is given states that come to the stored results (see
 * state_restore()).  Percentiles and `distinct` have no states: of a job that asks
 * for them coarse groups are made of rows alone, and rules 1 to 3 hold for them.
 *
 * In a run that recomputes a part of the results only, the rows of the bucket before
 * are read as well, so that rule 3 sees what it would see in a run over all rows.
 * That group has not changed since it was stored: if it has fewer values, it is kept.
 * Rows are not added to stored states, for the same reason: where they are new, the
 * group is recomputed.
 *
 * What becomes of results when the definition gets another zone, filter or id, or these mean
 * something else, replaced.c says.  Presence (presence.c) is what rule 3 goes by.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "model/layout.h"
#include "refresh/history.h"
#include "refresh/sourcerows.h"

/*
 * The bucket that rows were dropped from though it is the first: of the oldest row
 * that there is, if runs have met older ones in it; DT_NOBEGIN: none.  Notes the
 * oldest row.
 */
static TimestampTz
find_cut_bucket(Refresh *refresh)
{
	const Definition *definition = refresh->source->definition;
	TimestampTz oldest = source_row_time(refresh->source, false, DT_NOBEGIN);
	TimestampTz before = refresh->rows_from;
	TimestampTz bucket;

	refresh->rows_from = Min(oldest, before);
	if (oldest == DT_NOEND || before >= oldest)
		return DT_NOBEGIN;
	bucket = bucket_start(&definition->granularity, definition->tz, oldest);
	return before >= bucket ? bucket : DT_NOBEGIN;
}

/*
 * Finds out which results of a definition outlive their rows.
 */
void
history_plan(Refresh *refresh)
{
	const Definition *definition = refresh->source->definition;

	refresh->history_before = refresh->cut_bucket = DT_NOBEGIN;
	if (!definition->keep_history)
		return;
	refresh->history_before = DT_NOEND;
	refresh->rows_from = layouts_history(definition->id, refresh->source->name, &refresh->mixed);
	if (definition->source_retention == NULL)
		refresh->cut_bucket = find_cut_bucket(refresh);
	else
		refresh->history_before =
			bucket_end(&definition->granularity, definition->tz,
					   bucket_before(definition, GetCurrentTimestamp(),
									 definition->source_retention));
}

/*
 * Do the groups of the bucket before have to be computed as well, to know which
 * entities have values in it?
 */
bool
history_looks_back(const Refresh *refresh)
{
	return refresh->history_before == DT_NOEND;
}
