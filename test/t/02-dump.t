# Dump and restore: everything that a database holds of batchagg is there again
# in another one, runs go on where they were, and nothing is computed twice.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'batchagg'
max_worker_processes = 16
batchagg.enabled = off
CONF
$node->start;

# Jobs of every kind, in a schema of their own, some with results of several
# parts, some without.
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE analyst;
CREATE SCHEMA rollup;
CREATE EXTENSION batchagg SCHEMA rollup;
SET search_path = public, rollup;
GRANT USAGE ON SCHEMA rollup TO analyst;
CREATE TABLE "Visit" (user_id text, ts timestamptz, pages integer, seconds float8, status text);
INSERT INTO "Visit"
SELECT 'u' || i % 5, '2024-03-30 00:00+00'::timestamptz + i * interval '7 minutes', i % 101,
	CASE WHEN i % 3 > 0 THEN i / 7.0 END, CASE WHEN i % 2 = 0 THEN 'active' END
FROM generate_series(1, 1000) i;
CREATE TABLE readings (user_id text, ts timestamp, metric_name text, metric_value float8);
INSERT INTO readings SELECT 'u' || i % 3, '2024-03-30 00:00'::timestamp + i * interval '11 minutes', 'm' || i % 300, i FROM generate_series(1, 900) i;
GRANT SELECT ON "Visit", readings TO analyst;
INSERT INTO batchagg_events (event_name, schedule, timezone, description) VALUES ('SHIFT', '0 6,14,22 * * *', 'Europe/Berlin', 'New shift');
INSERT INTO metricsandtables (metricname, tablename) SELECT 'm' || i, 'readings' FROM generate_series(0, 299) i;
INSERT INTO metricsandtables (metricname, tablename, metric_column) VALUES ('duration', '"Visit"', 'seconds');
INSERT INTO batch_jobs (job_name, event_name, job_timeout, missed_runs) VALUES ('kpi', 'SHIFT', 60, 'each'), ('rows', 'EVERYHOUR', NULL, 'skip');
INSERT INTO batch_jobs (event_name, enable_flag, owner) VALUES ('15 * * * mon-fri', false, 'analyst');
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, timezone, resource_filter, job_delay, complete_only)
VALUES (1, 'user', 'Visit', '1-hour', 'Europe/Berlin', 'status = "active"', 0, false), (1, 'user', 'Visit', '1-day', 'Europe/Berlin', 'status = "active"', 2, true),
	(2, 'user', 'readings', '1-day', 'UTC', NULL, 0, false), (3, '*', 'Visit', '1-week', 'UTC', NULL, 0, false);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'pages', 'sum,avg,p95'), (1, 'duration', 'std,last'), (3, 'pages', 'sum');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT 2, 'm' || i, 'sum' FROM generate_series(0, 299) i;
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value, focal_entity)
VALUES ('u1', '2024-03-30 10:00+00', 'rain', 1.5, 'user'), ('u2', '2024-03-30 11:00+00', 'rain', 'NaN', 'user');
SELECT * FROM batchagg_run_all();
SELECT * FROM batchagg_run_job(3);
DELETE FROM batch_jobs WHERE id = 4;
UPDATE batch_jobs SET scheduled_from = now() - interval '3 days';
SELECT * FROM batchagg_run_due();
SELECT batchagg_track_source('"Visit"', id_column => 'user_id'), batchagg_track_source('readings', 'snapshot');
SELECT * FROM batchagg_run_all();
SELECT * FROM batchagg_run_job(3);
SQL

# All that is to be the same.
my @tables = qw(batchagg_events batch_jobs batchjob_definitions batchjob_metrics metricsandtables batchagg_layouts
  batchagg_positions batchagg_store batchagg_measurements batchagg_runs batchagg_counters batchagg_ledger batchagg_sources ruleexecutionresults);
my @sequences = qw(batch_jobs_id_seq batchjob_definitions_id_seq batchagg_layouts_id_seq batchagg_runs_run_id_seq batchagg_sources_source_id_seq);
my $contents = join("\n",
	map({ "SELECT '$_', count(*), md5(string_agg(t::text, ',' ORDER BY t::text COLLATE \"C\")) FROM rollup.$_ t;" } @tables),
	map({ "SELECT '$_', last_value, is_called FROM rollup.$_;" } @sequences));
my $original = $node->safe_psql('postgres', $contents);
unlike($original, qr/\|0\|$/m, 'every table has rows');

for my $format ('plain', 'custom')
{
	my $file = $node->basedir . "/dump.$format";
	my $name = "copy_$format";

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->command_ok([ 'pg_dump', '--format', $format, '--file', $file, $node->connstr('postgres') ], "$format: dumped");
	if ($format eq 'plain')
	{
		$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $file, '-d', $node->connstr($name) ], '... and restored');
	}
	else
	{
		$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr($name), $file ], '... and restored');
	}
	is($node->safe_psql($name, $contents), $original, '... with everything');

	# What was tracked still is: all is marked, once.
	my $marks = "SELECT source, low, high, ids FROM rollup.batchagg_marks JOIN rollup.batchagg_sources USING (source_id) ORDER BY 1, 2, 3";
	my $settle = "SELECT rollup.batchagg_settle_source('\"Visit\"') IS NULL, rollup.batchagg_settle_source('readings') IS NULL";
	$node->safe_psql($name, 'DELETE FROM rollup.batchagg_marks');
	is($node->safe_psql($name, $settle), 't|t', "$format: tracking is whole");
	is($node->safe_psql($name, $marks), qq(public."Visit"|-infinity|infinity|\npublic.readings|-infinity|infinity|),
		'... and all is marked');
	is($node->safe_psql($name, "DELETE FROM rollup.batchagg_marks; $settle; $marks"), 't|t', '... once');

	# The jobs are the same, and so are their results.
	is( $node->safe_psql($name, 'SELECT job_id, status, changed FROM rollup.batchagg_run_all()'),
		"1|succeeded|0\n2|succeeded|0", '... whose runs find nothing changed');
	is($node->safe_psql($name, 'SELECT status, changed FROM rollup.batchagg_run_job(3)'), 'succeeded|0', '... for any owner');
	is( $node->safe_psql($name, <<'SQL'), 'succeeded|t', '... but see what has');
UPDATE "Visit" SET pages = pages + 1, status = 'active' WHERE user_id = 'u1';
SELECT status, changed > 0 FROM rollup.batchagg_run_job('kpi');
SQL
	is( $node->safe_psql($name, <<'SQL'), '0', '... exactly');
SELECT count(*) FROM (
	(SELECT user_id, date_trunc('hour', ts), sum(pages)::float8 FROM "Visit" WHERE status = 'active' GROUP BY 1, 2)
	EXCEPT ALL
	(SELECT entity_id, timestamp, metric_value FROM rollup.RuleExecutionResults WHERE result_name = 'tsum_hour_pages')
) d
SQL

	# Now what changes is marked.
	$node->safe_psql($name, 'DELETE FROM rollup.batchagg_marks');
	$node->safe_psql($name, <<'SQL');
SET timezone = 'UTC';
INSERT INTO "Visit" VALUES ('u7', '2024-04-01 10:00+00', 1);
INSERT INTO readings VALUES ('u7', '2024-04-02 10:00', 'm0', 1);
DELETE FROM readings WHERE ts = '2024-04-02 10:00';
SQL
	is( $node->safe_psql($name, "SET timezone = 'UTC'; $marks"),
		qq(public."Visit"|2024-04-01 10:00:00+00|2024-04-01 10:00:00+00|{u7}\npublic.readings|2024-04-02 10:00:00+00|2024-04-02 10:00:00+00|{u7}),
		'... what changes is marked');
	$node->safe_psql($name, q(DELETE FROM "Visit" WHERE user_id = 'u7'));

	# New rows have new identities.
	is( $node->safe_psql($name, "INSERT INTO rollup.batch_jobs (event_name) VALUES ('SHIFT') RETURNING id"), '5',
		'identities go on');
	is( $node->safe_psql($name, "SELECT run_id > (SELECT max(run_id) FROM rollup.batchagg_runs) FROM rollup.batchagg_run_job('rows')"),
		't', '... of runs too');
	$node->command_fails([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($name),
			'-c', "UPDATE rollup.batchagg_events SET schedule = '* * * * *' WHERE event_name = 'EVERYHOUR'" ],
		'built-in events are built-in still');
}

# Results that outlive their rows do so in another place, too, where columns have other numbers,
# as those that were dropped are not restored, and functions other oids.
my $lasting = 'SELECT definition_id, entity_id, timestamp, aggregation_type, metric_value FROM RuleExecutionResults ORDER BY 1, 2, 3, 4';
$node->safe_psql('postgres', $_) for ('CREATE DATABASE lasting', 'CREATE DATABASE lasting_copy');
$node->safe_psql('lasting', <<'SQL');
CREATE EXTENSION batchagg;
CREATE FUNCTION counts(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT n >= 0';
CREATE TABLE v (gone integer, user_id text, ts timestamptz, n float8);
INSERT INTO v SELECT 1, 'u' || g % 3, '2024-10-07+00'::timestamptz + g * interval '10 min', g FROM generate_series(0, 999) g;
ALTER TABLE v DROP gone;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'v', '{1-hour,1-day}', '{"n": "sum,count"}');
UPDATE batchjob_definitions SET keep_history = true, resource_filter = 'public.counts(n)';
SELECT batchagg_run_job(1);
DELETE FROM v WHERE user_id = 'u1' AND ts < '2024-10-10+00' OR ts < '2024-10-08 00:10+00';
SELECT batchagg_run_job(1);
SQL
$node->command_ok([ 'pg_dump', '--format', 'custom', '--file', $node->basedir . '/lasting', $node->connstr('lasting') ], 'kept history: dumped');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('lasting_copy'), $node->basedir . '/lasting' ], '... and restored');
is($node->safe_psql('lasting_copy', 'SELECT status FROM batchagg_run_job(1)'), 'succeeded', '... a run there');
is($node->safe_psql('lasting_copy', $lasting), $node->safe_psql('lasting', $lasting), '... keeps it');

# The service, which was off so far, does not start jobs that were restored
# until it is told to.
$node->append_conf('postgresql.conf', "batchagg.enabled = on\nbatchagg.databases = 'copy_plain, copy_custom'");
$node->reload;
for my $name ('copy_plain', 'copy_custom')
{
	my $slots = 'SELECT job_id, slot, state FROM rollup.batchagg_ledger ORDER BY 1, 2';
	my $before = $node->safe_psql($name, "CREATE TABLE restored AS SELECT * FROM rollup.batchagg_ledger; $slots");

	$node->safe_psql($name, <<'SQL');
SET search_path = rollup, public;
INSERT INTO batch_jobs (job_name, event_name, scheduled_from) VALUES ('due', 'EVERYHOUR', now() - interval '1 day') RETURNING id AS job \gset
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (:job, 'user', 'Visit', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (:job, 'pages', 'sum');
SQL
	sleep(2);
	is($node->safe_psql($name, $slots), $before, "$name: the service lets restored jobs be");
	is( $node->safe_psql($name, "SELECT DISTINCT reason FROM rollup.batchagg_slots WHERE state = 'waiting'"),
		'the jobs were restored from a dump: call batchagg_use_service()', '... and says why');
	$node->safe_psql($name, 'SELECT rollup.batchagg_use_service()');
	ok($node->poll_query_until($name, "SELECT count(*) = 1 FROM rollup.batchagg_slots WHERE job_name = 'due' AND state IN ('done', 'late')"),
		'... then it runs them');
	# (the hour may be a new one by now)
	is($node->safe_psql($name, 'TABLE restored EXCEPT TABLE rollup.batchagg_ledger'), '', '... and no slot again that was run before');
}

$node->stop;
done_testing();
