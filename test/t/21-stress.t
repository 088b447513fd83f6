# Runs back to back while 16 clients write, in each mode: whatever a run sees,
# its results are what plain SQL computes from the same snapshot.
#
# A comparison is one repeatable read transaction, in which the job is run and its
# results are compared with a recomputation, in both directions.  Nothing stands
# still for it.
#
# The first part shows that such a test finds what it is for: roll-ups by orders
# of steps that are known to be wrong, which lose changes only where transactions
# commit at a bad moment, under the same writers; and the right ones beside them.
#
# BATCHAGG_STRESS_SECONDS is how long each part writes; BATCHAGG_STRESS_MODES are
# the ones to be tested, with spaces between.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Stress;
use Test::More;

my $SECONDS = $ENV{BATCHAGG_STRESS_SECONDS} // 8;
my $COMPARISONS = 20;

# How a source is tracked, and how many of its rows a run may read for one that
# is new: undef where that is all of them.
my %modes = (
	full => { shape => 'plain' },
	log => { shape => 'plain', track => "SELECT batchagg_track_source('visit', 'log', time_column => 'ts', id_column => 'user_id')", reads => 0.05 },
	log_by_time => { shape => 'plain', track => "SELECT batchagg_track_source('visit', 'log', time_column => 'ts')", reads => 0.05 },
	log_partitioned => { shape => 'partitioned', track => "SELECT batchagg_track_source('visit', 'log', time_column => 'ts', id_column => 'user_id')", reads => 0.05 },
	snapshot => { shape => 'plain', track => "SELECT batchagg_track_source('visit', 'snapshot')", reads => 0.1 },
	lookback => { shape => 'plain', track => "UPDATE batchjob_definitions SET lookback = '60 days'" });

my $node = start_stressed();

# --- orders that are known to be wrong, and right ones ---------------------------

# Each roll-up adds up hourly sums in table folded; its cursor says how far it has
# come.  Where it folds changes, they are the rows of table change, one for each
# version of a row that came (n = 1) or went (n = -1).
my $fold = 'INSERT INTO folded SELECT :what, user_id, hour, n * pages, n FROM change';
my $again = <<'SQL';
gone AS (DELETE FROM folded f USING mark m WHERE f.what = :what AND (f.user_id, f.hour) = (m.user_id, m.hour))
INSERT INTO folded SELECT :what, v.user_id, date_trunc('hour', ts), pages, 1 FROM visit v
WHERE (v.user_id, date_trunc('hour', ts)) IN (SELECT user_id, hour FROM mark)
SQL
my %orders = (

	# Rows made since the last run: but they may have been committed after it.
	created_at => <<"SQL",
$fold WHERE created_at > (SELECT created_at FROM cursor WHERE what = :what) AND created_at <= now();
UPDATE cursor SET created_at = now() WHERE what = :what;
SQL

	# Rows beyond the greatest id that was seen: likewise.
	greatest_id => <<"SQL",
WITH new AS ($fold WHERE id > (SELECT id FROM cursor WHERE what = :what) RETURNING 1)
UPDATE cursor SET id = greatest(id, (SELECT max(id) FROM change)) WHERE what = :what;
SQL

	# What is older than all transactions under way, and the horizon of the next
	# run looked up after the scan.
	horizon_after => <<"SQL",
$fold WHERE xid >= (SELECT horizon FROM cursor WHERE what = :what) AND xid < pg_snapshot_xmin(pg_current_snapshot());
\\sleep 20 ms
UPDATE cursor SET horizon = pg_snapshot_xmin(pg_current_snapshot()) WHERE what = :what;
SQL

	# Groups that are marked as changed, computed again; then the marks are removed.
	marks_after => <<"SQL",
WITH mark AS (SELECT user_id, hour FROM marks WHERE what = :what), $again;
DELETE FROM marks WHERE what = :what;
SQL

	# The horizon looked up once, before.
	right_horizon => <<"SQL",
SELECT pg_snapshot_xmin(pg_current_snapshot()) AS horizon \\gset
\\sleep 20 ms
$fold WHERE xid >= (SELECT horizon FROM cursor WHERE what = :what) AND xid < ':horizon'::xid8;
UPDATE cursor SET horizon = ':horizon' WHERE what = :what;
SQL

	# What is visible now, and was not in the snapshot of the last run.
	right_snapshot => <<"SQL",
WITH new AS ($fold WHERE NOT pg_visible_in_snapshot(xid, (SELECT snapshot FROM cursor WHERE what = :what)) RETURNING 1)
UPDATE cursor SET snapshot = pg_current_snapshot() WHERE what = :what;
SQL

	# Marks removed and groups computed in one snapshot.
	right_marks => <<"SQL");
WITH mark AS (DELETE FROM marks WHERE what = :what RETURNING user_id, hour), $again;
SQL

# A horizon lies behind what is visible, so its rest is added where it is read.
my $tables = <<'SQL';
CREATE TABLE change (id bigserial, xid xid8 DEFAULT pg_current_xact_id(), created_at timestamptz DEFAULT now(), user_id integer, hour timestamptz, pages integer, n integer);
CREATE TABLE marks (what text, user_id integer, hour timestamptz);
CREATE TABLE cursor (what text PRIMARY KEY, created_at timestamptz DEFAULT '-infinity', id bigint DEFAULT 0, horizon xid8 DEFAULT '0',
	snapshot pg_snapshot DEFAULT '1:1:');
CREATE TABLE folded (what text, user_id integer, hour timestamptz, pages integer, n integer);
CREATE INDEX ON folded (what, user_id, hour);
CREATE FUNCTION note_row(v visit, n integer) RETURNS void LANGUAGE sql AS $$
	INSERT INTO change (user_id, hour, pages, n) VALUES (v.user_id, date_trunc('hour', v.ts), v.pages, n);
	INSERT INTO marks SELECT what, v.user_id, date_trunc('hour', v.ts) FROM cursor WHERE what LIKE '%marks%';
$$;
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF tg_op <> 'INSERT' THEN
		PERFORM note_row(old, -1);
	END IF;
	IF tg_op <> 'DELETE' THEN
		PERFORM note_row(new, 1);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER change AFTER INSERT OR UPDATE OR DELETE ON visit FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TABLE compared (what text, compared bigint, differences bigint, example text);

CREATE FUNCTION compare(which text) RETURNS void LANGUAGE sql AS $$
	WITH plain AS (
		SELECT user_id, date_trunc('hour', ts), sum(pages), count(*)
		FROM visit WHERE user_id IS NOT NULL AND isfinite(ts) GROUP BY 1, 2),
	stored AS (
		SELECT user_id, hour, sum(pages), sum(n) FROM (
			SELECT * FROM folded WHERE what = which
			UNION ALL
			SELECT what, user_id, hour, n * pages, n FROM change, cursor WHERE what = which AND what LIKE '%horizon%' AND xid >= horizon) f
		WHERE user_id IS NOT NULL AND isfinite(hour) GROUP BY 1, 2 HAVING sum(n) <> 0),
	difference AS (
		(TABLE plain EXCEPT ALL TABLE stored) UNION ALL (TABLE stored EXCEPT ALL TABLE plain))
	INSERT INTO compared
	SELECT which, (SELECT count(*) FROM plain), count(*), min(d::text) FROM difference d
$$;
SQL

subtest 'orders that are known to be wrong' => sub {
	my (%compared, $written, @runners);

	$node->safe_psql('postgres', 'CREATE DATABASE orders');
	make_visits($node, 'orders', 'plain');
	$node->safe_psql('orders', "$tables; TRUNCATE visit");
	for my $what (sort keys %orders)
	{
		my $sql = $orders{$what} =~ s/:what/'$what'/gr;
		my $compare = "BEGIN ISOLATION LEVEL REPEATABLE READ;\n${sql}SELECT compare('$what');\nCOMMIT;\n";

		$node->safe_psql('orders', "INSERT INTO cursor (what) VALUES ('$what')");
		push @runners, { $what => [ 5, "$sql\\sleep 20 ms\n" ], "compare_$what" => [ 1, $compare ] };
	}
	$written = stress($node, 'orders', $SECONDS, @runners);
	resolve_prepared($node, 'orders', 'all');
	%compared = compared($node, 'orders');
	for my $what (sort keys %orders)
	{
		my $c = $compared{$what};
		my $found = sprintf('%s: %s differences of %s groups in %s comparisons', $what, @$c{qw(differences compared times)});

		cmp_ok($c->{differences}, $what =~ /^right/ ? '==' : '>', 0, $found) or diag($c->{example});
		cmp_ok($c->{compared}, '>', 0, '... and there are groups');
	}
	note("$written transactions written");
};

# --- the engine ------------------------------------------------------------------

# Job 1 by itself; jobs 2 and 3 share the event, and their scans where they can.
# Job 3 is an hour behind.
my $jobs = <<'SQL';
CREATE EXTENSION batchagg;
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR'), ('EVERYDAY'), ('EVERYDAY');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay, resource_filter) VALUES
	(1, 'user', 'visit', '1-hour', 0, NULL), (1, 'user', 'visit', '1-day', 0, NULL), (1, 'user', 'visit', '1-week', 0, NULL),
	(2, 'user', 'visit', '1-hour', 0, NULL), (2, 'user', 'visit', '1-day', 0, 'status = "active"'), (2, '*', 'visit', '1-day', 0, NULL),
	(3, 'user', 'visit', '1-hour', 1, NULL), (3, 'user', 'visit', '1-day', 1, NULL);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES
	(1, 'pages', 'sum,avg,count,min,max,std,first,last'), (1, 'load', 'sum,count,last'),
	(2, 'pages', 'sum,median,p95,distinct'), (2, 'load', 'count,min,median'),
	(3, 'pages', 'sum,count,first'), (3, 'load', 'avg,max');
INSERT INTO metricsandtables (metricname, tablename, time_column) VALUES ('pages', 'visit', 'ts'), ('load', 'visit', 'ts');

CREATE TABLE compared (what text, compared bigint, differences bigint, example text);

-- Compares the results of a job, whose last run this is, with plain SQL.
CREATE FUNCTION compare(run bigint) RETURNS void LANGUAGE sql AS $$
	WITH wanted AS (
		SELECT d.*, metric_name, aggregate, range_to
		FROM batchagg_runs r JOIN batchjob_definitions d USING (job_id) JOIN batchjob_metrics m USING (job_id),
			unnest(string_to_array(aggregation_types, ',')) aggregate
		WHERE run_id = run),
	metric AS (
		SELECT id, metric_name, granularity, focal_entity, resource_filter, range_to, array_agg(aggregate) AS aggregates FROM wanted GROUP BY 1, 2, 3, 4, 5, 6),
	grouped AS (
		SELECT m.id, CASE focal_entity WHEN '*' THEN '*' ELSE user_id::text END AS entity_id,
			date_trunc(split_part(granularity, '-', 2), ts, 'UTC') AS bucket, metric_name, aggregates,
			sum(value), avg(value), count(value), min(value), max(value), stddev(value) AS std,
			(array_agg(value ORDER BY ts, value) FILTER (WHERE value IS NOT NULL AND 'first' = ANY (aggregates)))[1] AS first,
			(array_agg(value ORDER BY ts DESC, value DESC) FILTER (WHERE value IS NOT NULL AND 'last' = ANY (aggregates)))[1] AS last,
			percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY value) FILTER (WHERE 'median' = ANY (aggregates)) AS p,
			count(DISTINCT value) FILTER (WHERE 'distinct' = ANY (aggregates))
		FROM metric m, visit, LATERAL (VALUES ('pages', pages::float8), ('load', load)) v(name, value)
		WHERE v.name = metric_name AND ts < range_to AND isfinite(ts) AND (resource_filter IS NULL OR status = 'active')
			AND (user_id IS NOT NULL OR focal_entity = '*')
		GROUP BY 1, 2, 3, 4, 5),
	plain AS (
		SELECT id, entity_id, bucket, metric_name, aggregate, value, count
		FROM grouped g(id, entity_id, bucket, metric_name, aggregates, sum, avg, count, min, max, std, first, last, p, "distinct"),
			LATERAL (VALUES ('sum', sum), ('avg', avg), ('count', count), ('min', min), ('max', max), ('std', std), ('first', first), ('last', last),
				('median', p[1]), ('p95', p[2]), ('distinct', "distinct")) a(aggregate, value)
		WHERE aggregate = ANY (aggregates) AND value IS NOT NULL),
	stored AS (
		SELECT definition_id AS id, entity_id, "timestamp" AS bucket, metric_name, aggregation_type AS aggregate, metric_value AS value, sample_count AS count
		FROM RuleExecutionResults WHERE job_id = (SELECT job_id FROM batchagg_runs WHERE run_id = run)),
	-- What plain SQL does not give to the last bit, where it is as good as equal, counts as equal.
	rounded AS (
		SELECT id, entity_id, bucket, metric_name, aggregate, CASE WHEN abs(s.value - p.value) <= 1e-9 * abs(p.value) THEN p.value ELSE s.value END AS value, s.count
		FROM stored s LEFT JOIN (SELECT * FROM plain WHERE aggregate IN ('std', 'median', 'p95')) p USING (id, entity_id, bucket, metric_name, aggregate)),
	difference AS (
		SELECT 'missing ' || d::text AS line FROM (TABLE plain EXCEPT ALL TABLE rounded) d
		UNION ALL
		SELECT 'wrong ' || d::text FROM (TABLE rounded EXCEPT ALL TABLE plain) d)
	INSERT INTO compared
	SELECT 'job ' || (SELECT job_id FROM batchagg_runs WHERE run_id = run), (SELECT count(*) FROM plain),
		(SELECT count(*) FROM difference), (SELECT run || ': ' || string_agg(line, ' ') FROM (SELECT line FROM difference LIMIT 4) l)
$$;
SQL

my $run_alone = "SELECT run_id AS run FROM batchagg_run_job(1) \\gset\n";
my $run_both = "SELECT max(run_id) FILTER (WHERE job_id = 2) AS two, max(run_id) FILTER (WHERE job_id = 3) AS three FROM batchagg_run_event('EVERYDAY') \\gset\n";
my $maintenance = "VACUUM (ANALYZE) batchagg_marks;\nANALYZE visit;\nCREATE SCHEMA other;\nDROP SCHEMA other;\n";
my @runners = (

	# What makes all sessions look tables up anew, as autovacuum does now and then.
	{ maintenance => [ 1, "$maintenance\\sleep 20 ms\n" ] },
	{ run_alone => [ 2, $run_alone ], compare_alone => [ 1, "BEGIN ISOLATION LEVEL REPEATABLE READ;\n${run_alone}SELECT compare(:run);\nCOMMIT;\n" ] },
	{   run_both => [ 2, $run_both ],
		compare_both => [ 1, "BEGIN ISOLATION LEVEL REPEATABLE READ;\n${run_both}SELECT compare(:two), compare(:three);\nCOMMIT;\n" ] });

# Marks by themselves: each transaction that writes has one, whatever its session
# has to look up anew in the middle of it.
subtest 'marks' => sub {
	my $insert = 'INSERT INTO visit (user_id, ts, pages) VALUES (1, now(), 1);';
	my ($rows, $unmarked);

	$node->safe_psql('postgres', 'CREATE DATABASE marks');
	make_visits($node, 'marks', 'plain');
	$node->safe_psql('marks', "$jobs; TRUNCATE visit; ALTER TABLE visit ADD writer xid8 DEFAULT pg_current_xact_id()");
	# Marks that no run needs are deleted: a cursor keeps them.
	$node->safe_psql('marks', "$modes{log}{track}; SELECT batchagg_run_job(1)");
	clients($node, 'marks', $SECONDS,
		[ 8, { mark => [ 1, $insert ], mark_later => [ 1, "BEGIN;\n$insert\n\\sleep 5 ms\nCOMMIT;\n" ] } ],
		[ 1, { vacuum => [ 1, "VACUUM (ANALYZE) batchagg_marks;\nANALYZE visit;\n" ] } ],
		[ 1, { schemas => [ 1, "CREATE SCHEMA another;\nDROP SCHEMA another;\n" ] } ]);
	($rows, $unmarked) = split /\|/, $node->safe_psql('marks',
		'SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (SELECT FROM batchagg_marks WHERE xid = writer)) FROM visit');
	cmp_ok($rows, '>', 100, 'transactions are written');
	is($unmarked, 0, "none of $rows transactions is unmarked");
};

# Runs and compares all jobs once.
sub compare_all
{
	my ($database) = @_;

	$node->safe_psql($database, "BEGIN ISOLATION LEVEL REPEATABLE READ; $_ COMMIT")
	  for "${run_alone}SELECT compare(:run);", "${run_both}SELECT compare(:two), compare(:three);";
}

my $results = 'SELECT definition_id, entity_id, timestamp, metric_name, aggregation_type, metric_value, sample_count FROM RuleExecutionResults WHERE job_id = 1';

# The rows that a run of job 1 reads and changes, as 'read|changed'.
sub run_one
{
	my ($database) = @_;

	return $node->safe_psql($database, 'SELECT rows_read, changed FROM batchagg_run_job(1)');
}

sub test_mode
{
	my ($mode) = @_;
	my ($shape, $track, $reads) = @{ $modes{$mode} }{qw(shape track reads)};
	my ($database, $times, $written, $rows, $read, %compared) = ("stress_$mode", 0, 0);

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	make_visits($node, $database, $shape);
	$node->safe_psql($database, $jobs);
	$node->safe_psql($database, $track) if $track;
	# A busy machine needs more time.
	for (1 .. 50)
	{
		$written += stress($node, $database, $SECONDS, @runners);
		last if $node->safe_psql($database, 'SELECT count(*) FROM compared') >= $COMPARISONS;
	}

	# While some are still prepared, and when they have ended.
	compare_all($database);
	resolve_prepared($node, $database, 'all');
	compare_all($database);
	is($node->safe_psql($database, "SELECT count(*) FROM pg_prepared_xacts WHERE database = '$database'"), 0, 'no transaction is left');

	%compared = compared($node, $database);
	for my $what ('job 1', 'job 2', 'job 3')
	{
		my $c = $compared{$what};

		is($c->{differences}, 0, "$what: $c->{compared} results in $c->{times} comparisons") or diag($c->{example});
		$times += $c->{times};
	}
	cmp_ok($times, '>=', $COMPARISONS, "$times comparisons");
	is($node->safe_psql($database, "SELECT job_id, error_message FROM batchagg_runs WHERE status <> 'succeeded' LIMIT 3"), '', 'no run failed');

	# Nothing becomes due any more.  The cost is that of the change, and whatever
	# has come together from changes is what a full run stores, to the bit.
	$node->poll_query_until($database, "SELECT max(ts) < now() FROM visit WHERE ts < 'infinity'") or die;
	run_one($database);
	$node->safe_psql($database, "INSERT INTO visit (user_id, ts, pages) VALUES (1, now() - interval '10 days', 1)");
	$rows = $node->safe_psql($database, 'SELECT count(*) FROM visit');
	($read, my $changed) = split /\|/, run_one($database);
	cmp_ok($changed, '>', 0, 'a row that is inserted changes results');
	cmp_ok($read, '<', $rows * $reads, "... for which $read rows of $rows are read") if $reads;
	if ($track)
	{
		$node->safe_psql($database, 'UPDATE batchjob_definitions SET lookback = NULL');
		$node->safe_psql($database, "SELECT batchagg_untrack_source('visit')") if $track =~ /track_source/;
		$node->safe_psql($database, "CREATE TABLE incremental AS $results; SELECT * FROM batchagg_run_job(1)");
		is($node->safe_psql($database, "SELECT count(*) FROM (($results EXCEPT TABLE incremental) UNION ALL (TABLE incremental EXCEPT $results)) d"),
			0, 'a full run has the same results');
	}

	note($node->safe_psql($database, <<"SQL"));
SELECT format('$mode: $written transactions written, %s runs, %s ms each, which read %s rows and changed %s; $rows rows in the end', count(*),
	round(avg(extract(epoch FROM finished_at - started_at)) * 1000), round(avg(rows_read)), round(avg(changed))) FROM batchagg_runs
SQL
	$node->safe_psql('postgres', "DROP DATABASE $database");
}

for my $mode (split ' ', $ENV{BATCHAGG_STRESS_MODES} // join(' ', sort keys %modes))
{
	subtest $mode => sub { test_mode($mode) };
}

$node->stop;
done_testing();
