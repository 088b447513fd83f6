/*-------------------------------------------------------------------------
 *
 * backfill.c
 *	  Recomputing the results of a range of time in pieces.
 *
 * Each piece is a run in a transaction of its own, which repeats the last run of
 * the job for the buckets that begin in the piece's range of time.  Ranges touch,
 * and each bucket begins in one of them: so it is recomputed once and as a whole,
 * be it a week or a month in a job whose pieces are days.  Time in which there are
 * neither rows nor results is passed over: one row of 1970 has no pieces follow it.
 *
 * Where a backfill stands is a row of batchagg_backfills.  Whoever holds the
 * job's lock takes the next piece by it, and brings it up to date in the piece's
 * own transaction.  So one that was ended, by an error or a crash, goes on
 * where it was; sessions that work at the same one share it; and runs of the job
 * take place between two pieces.
 *
 * A piece waits for the job's lock, and its snapshot is taken afterwards.  In a
 * repeatable read transaction it could be older than the last run's cursor, and
 * the piece would undo what that run has brought up to date, and the next one
 * would not know: so these are refused.
 *
 * The last run's cursor stays (see refresh.c), and so does its horizon.  Of a job
 * that has never run, the backfill's first piece sets it, by being recorded as a
 * run; no cursor is left, so that the first ordinary run reads everything, and
 * writes what differs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "refresh/interval.h"
#include "refresh/refreshes.h"
#include "refresh/sourcerows.h"
#include "run/backfill.h"
#include "run/lock.h"
#include "run/run.h"

/* A row of batchagg_backfills. */
typedef struct Backfill
{
	int32		job_id;
	TimestampTz from;			/* as asked for, infinite: no bound */
	TimestampTz to;
	const Interval *piece;
	bool		newest_first;
	TimestampTz next;			/* where the next piece begins, or ends if newest_first */
	TimestampTz until;			/* where the last one does */
	int			pieces_done;
	int64		rows_read;
	int64		changed;
	TimestampTz started;
} Backfill;

/* A finite or infinite time of a row, from its text as a number or not. */
static TimestampTz
row_time(const char *text)
{
	return text == NULL ? DT_NOBEGIN : pg_strtoint64(text);
}

/*
 * Loads the backfill of a job that is under way.  Returns false where there is
 * none.
 */
static bool
backfill_load(int32 job_id, Backfill *backfill)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(job_id)};
	List	   *rows = ext_query(true,
								 psprintf("SELECT "
										  EXT_MICROSECONDS("nullif(range_from, '-infinity')") ", "
										  EXT_MICROSECONDS("nullif(range_to, 'infinity')") ", "
										  "piece, newest_first, "
										  EXT_MICROSECONDS("next") ", "
										  EXT_MICROSECONDS("until") ", pieces_done, rows_read, "
										  "changed, " EXT_MICROSECONDS("started_at")
										  " FROM %s WHERE job_id = $1",
										  ext_table("batchagg_backfills")),
								 lengthof(types), types, values);
	char	  **row;

	if (rows == NIL)
		return false;
	row = linitial(rows);
	backfill->job_id = job_id;
	backfill->from = row_time(row[0]);
	backfill->to = row[1] ? row_time(row[1]) : DT_NOEND;
	backfill->piece = DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(row[2]),
															ObjectIdGetDatum(InvalidOid),
															Int32GetDatum(-1)));
	backfill->newest_first = row[3][0] == 't';
	backfill->next = row_time(row[4]);
	backfill->until = row_time(row[5]);
	backfill->pieces_done = pg_strtoint32(row[6]);
	backfill->rows_read = pg_strtoint64(row[7]);
	backfill->changed = pg_strtoint64(row[8]);
	backfill->started = row_time(row[9]);
	return true;
}

/*
 * Stores a backfill in the place of what there is of the job.
 */
static void
backfill_save(const Backfill *backfill)
{
	Oid			types[] = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INTERVALOID, BOOLOID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID};
	Datum		values[] = {
		Int32GetDatum(backfill->job_id),
		TimestampTzGetDatum(backfill->from),
		TimestampTzGetDatum(backfill->to),
		IntervalPGetDatum(backfill->piece),
		BoolGetDatum(backfill->newest_first),
		TimestampTzGetDatum(backfill->next),
		TimestampTzGetDatum(backfill->until),
		Int32GetDatum(backfill->pieces_done),
		Int64GetDatum(backfill->rows_read),
		Int64GetDatum(backfill->changed),
		TimestampTzGetDatum(backfill->started)
	};

	ext_query(true,
			  psprintf("INSERT INTO %s (job_id, range_from, range_to, piece, newest_first, next, "
					   "until, pieces_done, rows_read, changed, started_at, updated_at) "
					   "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp()) "
					   "ON CONFLICT (job_id) DO UPDATE SET (range_from, range_to, piece, "
					   "newest_first, next, until, pieces_done, rows_read, changed, started_at, "
					   "updated_at) = (excluded.range_from, excluded.range_to, excluded.piece, "
					   "excluded.newest_first, excluded.next, excluded.until, "
					   "excluded.pieces_done, excluded.rows_read, excluded.changed, "
					   "excluded.started_at, excluded.updated_at)",
					   ext_table("batchagg_backfills")),
			  lengthof(types), types, values);
}

static void
backfill_remove(int32 job_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(job_id)};

	ext_query(true, psprintf("DELETE FROM %s WHERE job_id = $1",
							 ext_table("batchagg_backfills")),
			  lengthof(types), types, values);
}

/*----------
 * The range
 *----------
 */

/* The job's definition whose buckets are the longest. */
static const Definition *
coarsest(const Job *job)
{
	const Definition *result = linitial(job->definitions);
	ListCell   *lc;

	foreach(lc, job->definitions)
	{
		const Definition *definition = lfirst(lc);

		if (granularity_length(&definition->granularity) > granularity_length(&result->granularity))
			result = definition;
	}
	return result;
}

/* The job's definition whose buckets are the shortest. */
static const Definition *
finest(const Job *job)
{
	const Definition *result = linitial(job->definitions);
	ListCell   *lc;

	foreach(lc, job->definitions)
	{
		const Definition *definition = lfirst(lc);

		if (granularity_length(&definition->granularity) < granularity_length(&result->granularity))
			result = definition;
	}
	return result;
}

/*
 * How long pieces are, if nobody says: as the longest buckets, or as many of them
 * as are a day.
 */
static Interval *
default_piece(const Job *job)
{
	const Granularity *granularity = &coarsest(job)->granularity;
	int64		a_day = HOURS_PER_DAY * MINS_PER_HOUR;
	Interval   *piece = palloc0(sizeof(Interval));

	if (granularity->kind == BUCKET_MONTHS)
		piece->month = granularity->width;
	else if (granularity->kind == BUCKET_DAYS)
		piece->day = granularity->width;
	else
		piece->time = (a_day + granularity->width - 1) / granularity->width *
			granularity->width * USECS_PER_MINUTE;
	return piece;
}

/*
 * Widens [*from, *to) to the buckets for which the job has results stored.
 */
static void
widen_to_stored(const Job *job, TimestampTz *from, TimestampTz *to)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(job->id)};
	List	   *rows = ext_query(true,
								 psprintf("SELECT " EXT_MICROSECONDS("min(s.low)") ", "
										  EXT_MICROSECONDS("max(s.high)") " FROM %s l, LATERAL "
										  "(SELECT min(bucket), max(bucket) FROM %s "
										  "WHERE layout_id = l.id) s (low, high) WHERE job_id = $1",
										  ext_table("batchagg_layouts"),
										  ext_table("batchagg_store")),
								 lengthof(types), types, values);
	char	  **row = linitial(rows);

	if (row[0] == NULL)
		return;
	*from = Min(*from, pg_strtoint64(row[0]));
	*to = Max(*to, pg_strtoint64(row[1]) + 1);
}

/*
 * Widens [*from, *to) to the buckets for which there are rows.
 */
static void
widen_to_rows(const List *refreshes, TimestampTz *from, TimestampTz *to)
{
	ListCell   *lc;

	foreach(lc, refreshes)
	{
		const Refresh *refresh = lfirst(lc);
		const Definition *definition = refresh->source->definition;
		TimestampTz oldest = source_row_time(refresh->source, false, DT_NOBEGIN);
		TimestampTz newest = source_row_time(refresh->source, true, DT_NOEND);

		if (oldest >= refresh->horizon)
			continue;
		*from = Min(*from, bucket_start(&definition->granularity, definition->tz, oldest));
		*to = Max(*to, Min(newest + 1, refresh->horizon));
	}
}

/*
 * The part of the range that was asked for in which there is anything to do, or
 * to undo; if there is none, it ends where it begins.
 */
static void
clip_range(Job *job, TimestampTz *from, TimestampTz *to)
{
	Problems	raise = {.collect = false};
	TimestampTz slot = run_last_slot(job->id);
	List	   *sources = job_sources(job, &raise);
	List	   *refreshes;
	TimestampTz first = DT_NOEND;
	TimestampTz end = DT_NOBEGIN;

	refreshes = refreshes_repeat(sources,
								 slot != 0 ? slot : GetCurrentStatementStartTimestamp(),
								 DT_NOBEGIN, DT_NOEND, false, false);
	widen_to_rows(refreshes, &first, &end);
	sources_close(sources);
	widen_to_stored(job, &first, &end);
	*from = Max(*from, first);
	*to = Min(*to, end);
	if (*from >= *to)
		*from = *to = 0;
}

/* The bound of a definition's buckets that is nearest to t. */
static TimestampTz
nearest_bound(const Definition *definition, TimestampTz t)
{
	TimestampTz low = bucket_start(&definition->granularity, definition->tz, t);
	TimestampTz high = bucket_end(&definition->granularity, definition->tz, low);

	return t - low < high - t ? low : high;
}

/*
 * A piece's other end, or where no bucket of the shortest might begin between, the
 * nearest bound of these: pieces that are shorter than any bucket would be many, and do
 * nothing.
 */
static TimestampTz
end_beyond_bucket(const Backfill *backfill, const Job *job, TimestampTz end)
{
	const Definition *shortest = finest(job);
	TimestampTz start = bucket_start(&shortest->granularity, shortest->tz,
									 backfill->next - (backfill->newest_first ? 1 : 0));

	return backfill->newest_first ? Min(end, start) :
		Max(end, bucket_end(&shortest->granularity, shortest->tz, start));
}

/*
 * The other end of the piece that begins, or with newest_first ends, at
 * backfill->next: as long as pieces are, but not shorter than a bucket; or where that
 * makes it at most half as long or short again, at a bound of the longest buckets, whose
 * rows are then not read for another piece too.
 */
static TimestampTz
piece_end(const Backfill *backfill, const Job *job)
{
	TimestampTz next = backfill->next;
	TimestampTz end;
	TimestampTz bound;

	end = backfill->newest_first ? time_minus(next, backfill->piece) :
		time_plus(next, backfill->piece);
	if (backfill->newest_first ? end >= next : end <= next)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pieces of a backfill must have a positive length"),
				 errhint("Specify an interval such as '1 day'.")));
	end = end_beyond_bucket(backfill, job, end);
	if (backfill->newest_first ? end <= backfill->until : end >= backfill->until)
		return backfill->until;
	bound = nearest_bound(coarsest(job), end);
	if (Max(bound, end) - Min(bound, end) <= (Max(next, end) - Min(next, end)) / 2)
		end = bound;
	return backfill->newest_first ? Max(end, backfill->until) : Min(end, backfill->until);
}

/* Does a request mean this backfill, which is not finished? */
static bool
means_backfill(const BackfillRequest *request, const Backfill *backfill)
{
	if (request->from == DT_NOBEGIN && request->to == DT_NOEND)
		return true;
	return backfill->from == request->from && backfill->to == request->to &&
		backfill->newest_first == request->newest_first;
}

/* Goes on with a backfill. */
static void
backfill_resume(const BackfillRequest *request, Backfill *backfill, const Job *job)
{
	ereport(NOTICE,
			(errmsg("the backfill of job %d goes on from %s", job->id,
					timestamptz_to_str(backfill->next)),
			 errdetail_plural("%d piece of it was done before.",
							  "%d pieces of it were done before.",
							  backfill->pieces_done, backfill->pieces_done)));
	if (request->piece)
		backfill->piece = request->piece;
	(void) piece_end(backfill, job);
	backfill_save(backfill);
}

/* Refuses a range that ends before it begins. */
static void
require_range(TimestampTz from, TimestampTz to)
{
	if (from > to)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"from\" must not be later than \"to\""),
				 errdetail("The range begins at %s and ends at %s.",
						   pstrdup(timestamptz_to_str(from)), pstrdup(timestamptz_to_str(to)))));
}

/*
 * Begins, or goes on with, a backfill, for the caller to do its pieces.  Sets
 * *started, by which they know it.  Returns false where there is nothing to do.
 * ERROR where the caller does not see the job, or it has a problem, or the range ends
 * before it begins.
 */
bool
backfill_begin(const BackfillRequest *request, TimestampTz *started)
{
	Problems	raise = {.collect = false};
	Job		   *job = job_load(request->job_id, &raise);
	Backfill	backfill;
	TimestampTz low = request->from;
	TimestampTz high = request->to;

	require_range(low, high);
	job_lock(job->id);
	if (backfill_load(job->id, &backfill))
	{
		if (means_backfill(request, &backfill))
		{
			backfill_resume(request, &backfill, job);
			*started = backfill.started;
			return true;
		}
		ereport(NOTICE,
				(errmsg("the unfinished backfill of job %d is given up for this one", job->id)));
	}

	clip_range(job, &low, &high);
	if (low == high)
	{
		backfill_remove(job->id);
		ereport(NOTICE,
				(errmsg("there is nothing to backfill for job %d", job->id)));
		return false;
	}
	memset(&backfill, 0, sizeof(Backfill));
	backfill.job_id = job->id;
	backfill.from = request->from;
	backfill.to = request->to;
	backfill.piece = request->piece ? request->piece : default_piece(job);
	backfill.newest_first = request->newest_first;
	backfill.next = backfill.newest_first ? high : low;
	backfill.until = backfill.newest_first ? low : high;
	backfill.started = *started = GetCurrentTimestamp();
	(void) piece_end(&backfill, job);
	backfill_save(&backfill);
	return true;
}

/*----------
 * Pieces
 *----------
 */

/*
 * The range of a piece that ends here.  Where no bound was asked for, the
 * outermost pieces have none.
 */
static void
piece_range(const Backfill *backfill, TimestampTz end, TimestampTz *from, TimestampTz *to)
{
	bool		first = backfill->pieces_done == 0;
	bool		last = end == backfill->until;

	*from = Min(backfill->next, end);
	*to = Max(backfill->next, end);
	if (backfill->from == DT_NOBEGIN && (backfill->newest_first ? last : first))
		*from = DT_NOBEGIN;
	if (backfill->to == DT_NOEND && (backfill->newest_first ? first : last))
		*to = DT_NOEND;
}

/* The end of the job's shortest bucket that begins here, or soon before. */
static TimestampTz
shortest_end(const Job *job, TimestampTz start)
{
	const Definition *definition = finest(job);

	return bucket_end(&definition->granularity, definition->tz,
					  bucket_start(&definition->granularity, definition->tz, start));
}

/*
 * The start of the first bucket from t on that has rows; or with newest_first, of the last
 * one that begins before t; infinite where there is none.
 */
static TimestampTz
next_with_rows(const List *sources, TimestampTz t, bool newest_first)
{
	TimestampTz found = newest_first ? DT_NOBEGIN : DT_NOEND;
	ListCell   *lc;

	foreach(lc, sources)
	{
		const Source *source = lfirst(lc);
		const Granularity *granularity = &source->definition->granularity;
		const pg_tz *tz = source->definition->tz;
		TimestampTz row;

		row = source_row_time(source, newest_first, newest_first ?
							  bucket_end(granularity, tz, bucket_start(granularity, tz, t - 1)) : t);
		if (TIMESTAMP_NOT_FINITE(row))
			continue;
		row = bucket_start(granularity, tz, row);
		found = newest_first ? Max(found, row) : Min(found, row);
	}
	return found;
}

/* Likewise of the buckets that a job has results of. */
static TimestampTz
next_with_results(const Job *job, TimestampTz t, bool newest_first)
{
	Oid			types[] = {INT4OID, TIMESTAMPTZOID};
	Datum		values[] = {Int32GetDatum(job->id), TimestampTzGetDatum(t)};
	const char *sql = newest_first ?
	"SELECT " EXT_MICROSECONDS("max(b)") " FROM %s l, LATERAL (SELECT max(bucket) FROM %s "
	"WHERE layout_id = l.id AND bucket < $2) s (b) WHERE job_id = $1" :
	"SELECT " EXT_MICROSECONDS("min(b)") " FROM %s l, LATERAL (SELECT min(bucket) FROM %s "
	"WHERE layout_id = l.id AND bucket >= $2) s (b) WHERE job_id = $1";
	List	   *rows = ext_query(true,
								 psprintf(sql, ext_table("batchagg_layouts"),
										  ext_table("batchagg_store")),
								 lengthof(types), types, values);
	char	  **row = linitial(rows);

	if (row[0] == NULL)
		return newest_first ? DT_NOBEGIN : DT_NOEND;
	return pg_strtoint64(row[0]);
}

/*
 * Where the next piece begins, when one has ended here: at once, or where there are rows
 * or results again.
 */
static TimestampTz
skip_empty(const Backfill *backfill, Job *job, TimestampTz end)
{
	Problems	raise = {.collect = false};
	bool		back = backfill->newest_first;
	List	   *sources = job_sources(job, &raise);
	TimestampTz rows = next_with_rows(sources, end, back);
	TimestampTz results = next_with_results(job, end, back);
	TimestampTz last = Max(rows, results);

	sources_close(sources);
	if (!back)
		return Min(Max(end, Min(rows, results)), backfill->until);
	return Max(last == DT_NOBEGIN ? last : Min(end, shortest_end(job, last)), backfill->until);
}

/* Says what a backfill came to. */
static void
report_end(const Backfill *backfill)
{
	ereport(NOTICE,
			(errmsg_plural("backfilled job %d in %d piece: read " INT64_FORMAT " rows, changed " INT64_FORMAT,
						   "backfilled job %d in %d pieces: read " INT64_FORMAT " rows, changed " INT64_FORMAT,
						   backfill->pieces_done, backfill->job_id, backfill->pieces_done,
						   backfill->rows_read, backfill->changed)));
}

/* Does the next piece of a backfill; the job is locked. */
static bool
do_piece(Backfill *backfill)
{
	Problems	raise = {.collect = false};
	Job		   *job = job_load(backfill->job_id, &raise);
	TimestampTz end = piece_end(backfill, job);
	RunRequest	request = {
		.job_id = backfill->job_id,.waits = true,.attempt = 1,.repeats = true,.goes_on = backfill->pieces_done > 0
	};
	TimestampTz next = end == backfill->until ? end : skip_empty(backfill, job, end);
	RunResult	result;

	/* If nothing is left it is the last one, which may have no bound. */
	if (next == backfill->until)
		end = next;
	piece_range(backfill, end, &request.from, &request.to);
	run_job(&request, &result);
	backfill->next = next;
	backfill->pieces_done++;
	backfill->rows_read += result.rows_read;
	backfill->changed += result.changed;
	if (end != backfill->until)
	{
		backfill_save(backfill);
		return true;
	}
	backfill_remove(backfill->job_id);
	report_end(backfill);
	return false;
}

/*
 * Does the next piece of the backfill that was begun at `started`, in this
 * transaction, when no other run of the job is under way.  Returns whether there
 * is more to do.  ERROR where another backfill of the job has taken its place,
 * or as run_job().
 */
bool
backfill_piece(int32 job_id, TimestampTz started)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "batchagg backfill",
												  ALLOCSET_DEFAULT_SIZES);
	Backfill	backfill;
	bool		more = false;

	MemoryContextSwitchTo(context);
	job_lock(job_id);
	if (!backfill_load(job_id, &backfill))
		ereport(NOTICE,
				(errmsg("the backfill of job %d was finished by another session", job_id)));
	else if (backfill.started != started)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the backfill of job %d was given up for another one", job_id)));
	else
		more = do_piece(&backfill);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return more;
}
