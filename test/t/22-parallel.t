# Runs that read with parallel workers: what becomes of them where workers are
# ended, or cannot be had.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
autovacuum = off
min_parallel_table_scan_size = 0
max_worker_processes = 8
batchagg.log_level = debug
CONF
$node->start;

# To read slow takes minutes.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION batchagg;
CREATE TABLE visit (user_id text, ts timestamptz, pages integer);
INSERT INTO visit
SELECT 'u' || i % 300, '2024-01-01 00:00+00'::timestamptz + i * interval '1 minute', i % 1000 FROM generate_series(1, 20000) i;
CREATE VIEW slow AS SELECT * FROM visit WHERE pg_sleep(0.01) IS NOT NULL;
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR'), ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
SELECT j, 'user', (ARRAY['visit', 'slow'])[j], g FROM generate_series(1, 2) j, unnest(ARRAY['1-hour', '1-day']) g;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'pages', 'sum,p95'), (2, 'pages', 'sum,p95');
SET batchagg.max_parallel_workers_per_run = 0;
SELECT batchagg_run_job(1);
SQL

sub sql { return $node->safe_psql('postgres', $_[0]); }

# How many workers a run of job 1 had, and how many rows it changed.
sub run_visit
{
	my ($settings) = @_;
	my $place = -s $node->logfile;
	my $changed = sql("$settings; SELECT changed FROM batchagg_run_job(1)");
	my ($workers) = slurp_file($node->logfile, $place) =~ /read public\.visit with (\d+) workers/;

	return "$workers|$changed";
}

is(run_visit('SET batchagg.max_parallel_workers_per_run = 3'), '3|0', 'workers read what one process reads');
is(run_visit("SET batchagg.max_parallel_workers_per_run = 3; SET batchagg.work_mem = '64kB'"), '3|0',
	'... with temporary files too');

my $waiting = "SELECT count(*) = 2 FROM pg_stat_activity
	WHERE backend_type = 'parallel worker' AND query = 'batchagg scan' AND wait_event = 'PgSleep'";
my $nothing_left = "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'";

# Runs a job that workers are at, does something to it, and returns the error.
sub interrupted
{
	my ($interruption, @settings) = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'),
			map({ ('-c', $_) } map({ "SET $_" } @settings), 'SELECT status FROM batchagg_run_job(2)') ],
		'<', \undef, '>', \$out, '2>', \$err);

	if ($interruption)
	{
		$node->poll_query_until('postgres', $waiting);
		sql($interruption);
	}
	$run->finish;
	return $err;
}

sub check_traces
{
	my ($what) = @_;

	ok($node->poll_query_until('postgres', $nothing_left), "$what: no worker is left");
	is(sql('SELECT count(*) FROM pg_ls_tmpdir()'), 0, '... nor a temporary file');
	is(sql('SELECT count(*) FROM RuleExecutionResults WHERE job_id = 2'), 0, '... nor a result');
}

# The leader shows how far all are.
my $leader = "(SELECT pid FROM batchagg_progress WHERE rows_estimated > 0)";
my $worker = "(SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker')";

like(interrupted("SELECT pg_terminate_backend($worker)"), qr/ERROR:  terminating .* due to administrator command/,
	'a worker is terminated');
check_traces('run without a worker');
like(interrupted("SELECT pg_terminate_backend($worker)", 'parallel_leader_participation = off'),
	qr/ERROR:  terminating .* due to administrator command/, 'a worker is terminated, while the leader waits');
check_traces('run that waits for a worker');
like(interrupted("SELECT pg_cancel_backend($leader)"), qr/ERROR:  canceling statement due to user request/,
	'the leader is canceled');
check_traces('canceled run');
like(interrupted("SELECT pg_cancel_backend($leader)", 'parallel_leader_participation = off'),
	qr/ERROR:  canceling statement due to user request/, 'the leader is canceled, while it waits');
check_traces('canceled run');
like(interrupted("SELECT pg_terminate_backend($leader)"), qr/FATAL:  terminating connection/, 'the leader is terminated');
check_traces('terminated run');
like(interrupted('', 'batchagg.job_timeout = 1'), qr/ERROR:  canceling job due to job timeout/, 'a timeout');
check_traces('run that takes too long');
like(interrupted('', "statement_timeout = '1s'"), qr/ERROR:  canceling statement due to statement timeout/, 'a statement timeout');
check_traces('statement that takes too long');

# Where there are no more processes, or fewer.
is(run_visit('SET max_parallel_workers = 1'), '1|0', 'fewer workers');
$node->append_conf('postgresql.conf', "max_worker_processes = 1\nmax_logical_replication_workers = 1\n");
$node->restart;
is(run_visit('SET batchagg.max_parallel_workers_per_run = 3'), '0|0', 'no worker can be started');
is(run_visit('SET batchagg.max_parallel_workers_per_run = 3; SET parallel_leader_participation = off'), '0|0',
	'... though the leader would rather not read');

done_testing();
