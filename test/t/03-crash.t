# A server that crashes in the middle of a run: the store is as it was before,
# no temporary file stays, and the next run is exact.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# Results reach the disk before the run commits, and temporary files are used.
$node->append_conf('postgresql.conf', <<'CONF');
shared_buffers = 1MB
batchagg.work_mem = 64kB
autovacuum = off
CONF
$node->start;

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION batchagg;
CREATE TABLE visit (user_id integer, ts timestamptz, pages integer);
INSERT INTO visit SELECT i % 997, '2024-01-01 00:00+00'::timestamptz + i * interval '1 minute', i % 1000 FROM generate_series(1, 20000) i;
CREATE VIEW slow AS SELECT v.* FROM visit v WHERE user_id < 997 OR pg_sleep(1000) IS NULL;
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'visit', '1-hour'), (1, 'user', 'visit', '1-day'), (1, 'user', 'slow', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'pages', 'sum,median');
SELECT * FROM batchagg_run_job(1);
SQL

my $traces = <<'SQL';
SELECT count(*), md5(string_agg(s::text, ',' ORDER BY layout_id, bucket, entity_id)) FROM batchagg_store s;
SELECT count(*), md5(string_agg(l::text, ',' ORDER BY id)) FROM batchagg_layouts l;
SELECT count(*) FROM batchagg_runs;
SELECT count(*) FROM pg_ls_tmpdir();
SQL
my $exact = <<'SQL';
WITH plain AS (
	SELECT d.id, user_id::text, date_trunc(split_part(d.granularity, '-', 2), ts, 'UTC'), sum(pages)::float8 AS value
	FROM visit, batchjob_definitions d GROUP BY 1, 2, 3),
stored AS (
	SELECT definition_id, entity_id, "timestamp", metric_value FROM RuleExecutionResults WHERE aggregation_type = 'sum')
SELECT (SELECT count(*) > 0 FROM stored), count(*) FROM ((TABLE plain EXCEPT ALL TABLE stored) UNION ALL (TABLE stored EXCEPT ALL TABLE plain)) d
SQL
is($node->safe_psql('postgres', $exact), 't|0', 'the first run is exact');

for my $round ('updated', 'replaced')
{
	my $before = $node->safe_psql('postgres', $traces);
	my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('batchagg_store')");
	my ($output, $errors) = ('', '');
	my $run;

	# The run writes the results of the first definitions, and then waits for
	# a row that nobody reads to its end.
	$node->safe_psql('postgres', $round eq 'updated' ? 'UPDATE visit SET pages = pages + 1' : 'UPDATE visit SET user_id = 996 - user_id');
	$node->safe_psql('postgres', "INSERT INTO visit VALUES (997, '2024-01-20 00:00+00', 1)");
	$run = IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-c', 'SELECT * FROM batchagg_run_job(1)' ],
		'>', \$output, '2>', \$errors);
	ok( $node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
		"$round: the run has come to the last source");
	cmp_ok($node->safe_psql('postgres', "SELECT pg_relation_size('batchagg_store')"), '>', $size, '... and has written');
	$node->stop('immediate');
	$run->finish;
	isnt($errors, '', '... when the server crashes');

	$node->start;
	is($node->safe_psql('postgres', $traces), $before, '... which leaves the store as it was');
	$node->safe_psql('postgres', 'DELETE FROM visit WHERE user_id = 997');
	is($node->safe_psql('postgres', 'SELECT status FROM batchagg_run_job(1)'), 'succeeded', '... the next run succeeds');
	is($node->safe_psql('postgres', $exact), 't|0', '... and is exact');
	is($node->safe_psql('postgres', 'SELECT changed FROM batchagg_run_job(1)'), '0', '... and complete');
}

# A backend that is killed takes its run along, and nothing else.
my $before = $node->safe_psql('postgres', $traces);
my ($output, $errors) = ('', '');
$node->safe_psql('postgres', "UPDATE visit SET pages = pages + 1; INSERT INTO visit VALUES (997, '2024-01-20 00:00+00', 1)");
my $run = IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-c', 'SELECT * FROM batchagg_run_job(1)' ],
	'>', \$output, '2>', \$errors);
$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
$run->finish;
like($errors, qr/terminating connection due to administrator command/, 'a terminated run');
is($node->safe_psql('postgres', $traces), $before, '... leaves the store as it was');
$node->safe_psql('postgres', 'DELETE FROM visit WHERE user_id = 997');
is($node->safe_psql('postgres', 'SELECT status FROM batchagg_run_job(1)'), 'succeeded', '... and no lock');
is($node->safe_psql('postgres', $exact), 't|0', '... for the next one, which is exact');

$node->stop;
done_testing();
