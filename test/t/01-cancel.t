# Cancelling a run, by hand or by a timeout: it ends at once wherever it is, and
# leaves nothing behind, neither rows nor temporary files.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

# Longest time from a cancel to the end of the run, in seconds.  It is usually a
# few milliseconds; this is for busy machines.
my $patience = 1;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
autovacuum = off
CONF
$node->start;

# 50,000 rows in random order, in about as many groups by the hour; and sources
# that never end.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION batchagg;
CREATE TABLE visit (user_id text, ts timestamptz, pages integer, seconds float8);
INSERT INTO visit
SELECT md5((i % 50021)::text), '2024-01-01 00:00+00'::timestamptz + i::bigint * 7919 % 2592000 * interval '1 second', i % 1000, i % 777 / 8.0
FROM generate_series(1, 50000) i;
CREATE VIEW many AS SELECT v.* FROM visit v, generate_series(1, 100) WHERE pages > 500;
CREATE VIEW endless AS
SELECT i % 5 AS user_id, '2024-01-01 00:00+00'::timestamptz + i * interval '1 second' AS ts, i AS pages, i AS seconds
FROM generate_series(1, 2000000000) i;
CREATE VIEW asleep AS SELECT * FROM endless WHERE pg_sleep(1000) IS NOT NULL;
INSERT INTO batch_jobs (event_name) SELECT 'EVERYHOUR' FROM generate_series(1, 4);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
VALUES (1, 'user', 'visit', '1-hour'), (1, 'user', 'visit', '1-day'), (2, '*', 'many', '1-year'), (3, 'user', 'endless', '1-hour'),
	(4, 'user', 'asleep', '1-hour');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
SELECT j, m, 'sum,p95,distinct' FROM generate_series(1, 4) j, unnest(ARRAY['pages', 'seconds']) m;

-- Cancels a backend and says how many seconds it took to end what it did.
CREATE FUNCTION cancel(pid integer) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	begun timestamptz := clock_timestamp();
BEGIN
	PERFORM pg_cancel_backend(pid);
	WHILE EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = cancel.pid AND a.state = 'active') AND clock_timestamp() < begun + interval '60 seconds' LOOP
		PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();
	END LOOP;
	RETURN extract(epoch FROM clock_timestamp() - begun);
END $$;
SQL

# A session that runs a job in a transaction, which is rolled back in any case.
sub start_run
{
	my ($job, @settings) = @_;
	my %run = (out => '', err => '');

	$run{process} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', '-' ],
		'<', \join('', map({ "SET $_;\n" } @settings),
			"BEGIN;\nSELECT pg_backend_pid();\nSELECT status FROM batchagg_run_job($job);\nROLLBACK;\n"),
		'>', \$run{out}, '2>', \$run{err});
	$run{process}->pump_nb until $run{out} =~ /^(\d+)\n/;
	$run{pid} = $1;
	return \%run;
}

# What must stay as it is.
my $traces = <<'SQL';
SELECT count(*), md5(string_agg(s::text, ',' ORDER BY layout_id, bucket, entity_id)) FROM batchagg_store s;
SELECT count(*), md5(string_agg(l::text, ',' ORDER BY id)) FROM batchagg_layouts l;
SELECT count(*) FROM batchagg_runs;
SELECT count(*) FROM pg_ls_tmpdir();
SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND mode = 'ExclusiveLock';
SQL

# Cancels runs of a job at $times moments spread over what a run takes.
sub cancel_everywhere
{
	my ($what, $times, $job, @settings) = @_;
	my $before = $node->safe_psql('postgres', 'VACUUM batchagg_store') . $node->safe_psql('postgres', $traces);
	my ($run, $begun, $longest, $canceled, @others) = (undef, time, 0, 0);
	my $length;

	$run = start_run($job, @settings);
	$run->{process}->finish;
	$length = time - $begun;
	like($run->{out}, qr/succeeded/, "$what: a run that is left alone");

	for my $i (1 .. $times)
	{
		my $took;

		$run = start_run($job, @settings);
		sleep($length * $i / ($times + 1));
		$took = $node->safe_psql('postgres', "SELECT cancel($run->{pid})");
		$longest = $took if $took > $longest;
		$run->{process}->finish;
		if ($run->{err} =~ /ERROR:  canceling statement due to user request/)
		{
			$canceled++;
		}
		elsif ($run->{err} ne '' || $run->{out} !~ /succeeded/)
		{
			push @others, $run->{err};
		}
	}
	note(sprintf('%s: a run takes %.0f ms; %d of %d canceled, within %.0f ms',
			$what, $length * 1000, $canceled, $times, $longest * 1000));
	# Short ones may all end before.
	cmp_ok($canceled, '>', $length > 0.5 ? 0 : -1, "$what: runs are canceled");
	is("@others", '', '... or end before');
	cmp_ok($longest, '<', $patience, '... at once');
	is($node->safe_psql('postgres', $traces), $before, '... and leave nothing behind');
}

cancel_everywhere('first run in memory', 5, 1, "batchagg.work_mem = '512MB'");
cancel_everywhere('first run with temporary files', 8, 1, "batchagg.work_mem = '128kB'");
cancel_everywhere('first run with workers', 8, 1, "batchagg.work_mem = '1MB'", 'min_parallel_table_scan_size = 0');
cancel_everywhere('one group', 3, 2);

$node->safe_psql('postgres', 'SELECT * FROM batchagg_run_job(1)');
$node->safe_psql('postgres', 'UPDATE visit SET pages = pages + 1');
cancel_everywhere('run that updates all', 5, 1);
$node->safe_psql('postgres', "UPDATE visit SET user_id = 'x' || user_id");
cancel_everywhere('run that replaces all', 5, 1);
$node->safe_psql('postgres', "UPDATE batchjob_definitions SET granularity = '2-hour' WHERE id = 1");
cancel_everywhere('run that drops old results', 5, 1, 'batchagg.batch_size = 10000');
$node->safe_psql('postgres', 'TRUNCATE visit');
cancel_everywhere('run that deletes all', 3, 1);

# Sources that never end.
for my $job (3, 4)
{
	my $run = start_run($job);
	my $took;

	sleep(0.3);
	$took = $node->safe_psql('postgres', "SELECT cancel($run->{pid})");
	$run->{process}->finish;
	note(sprintf('endless source %d: canceled within %.0f ms', $job, $took * 1000));
	like($run->{err}, qr/canceling statement due to user request/, "endless source $job: canceled");
	cmp_ok($took, '<', $patience, '... at once');
}

# Timeouts.
sub times_out
{
	my ($what, $sql, $seconds, $message, $hint) = @_;
	my $before = $node->safe_psql('postgres', $traces);
	my $begun = time;
	my ($status, $stdout, $stderr) = $node->psql('postgres', $sql);
	my $took = time - $begun;

	note(sprintf('%s: after %.0f ms', $what, $took * 1000));
	like($stderr, $message, "$what: canceled");
	like($stderr, $hint, '... with a hint') if $hint;
	cmp_ok($took, '>=', $seconds, '... not before its time');
	cmp_ok($took, '<', $seconds + 5, '... nor long after it');
	is($node->safe_psql('postgres', $traces), $before, '... and leaves nothing behind');
}

my $our_message = qr/ERROR:  canceling job due to job timeout/;
my $our_hint = qr/HINT:  .*batch_jobs\.job_timeout/;

times_out('statement_timeout', "SET statement_timeout = '500ms'; SELECT * FROM batchagg_run_job(3)",
	0.5, qr/ERROR:  canceling statement due to statement timeout/);
times_out('batchagg.job_timeout', 'SET batchagg.job_timeout = 1; SELECT * FROM batchagg_run_job(3)',
	1, $our_message, $our_hint);
times_out('batchagg.job_timeout of a dry run', 'SET batchagg.job_timeout = 1; SELECT * FROM batchagg_run_job(3, true)',
	1, $our_message, $our_hint);
$node->safe_psql('postgres', 'UPDATE batch_jobs SET job_timeout = 1 WHERE id IN (3, 4)');
times_out('batch_jobs.job_timeout', 'SELECT * FROM batchagg_run_job(3)', 1, $our_message, $our_hint);
times_out('the sooner of both', "SET statement_timeout = '200ms'; SELECT * FROM batchagg_run_job(3)",
	0.2, qr/canceling statement due to statement timeout/);
times_out('asleep', 'SELECT * FROM batchagg_run_job(4)', 1,
	$our_message, $our_hint);

# A timeout of one job is its own affair: it is recorded, and the next one runs.
is( $node->safe_psql('postgres', 'SELECT job_id, status FROM batchagg_run_all()'),
	"1|succeeded\n2|succeeded\n3|failed\n4|failed", 'jobs that time out do not stop others');
is( $node->safe_psql('postgres', <<'SQL'), "3|57014|t\n4|57014|t", '... and are recorded');
SELECT job_id, error_sqlstate, finished_at - started_at BETWEEN '1 second' AND '6 seconds'
FROM batchagg_runs WHERE error_message LIKE '%job timeout' ORDER BY 1
SQL
# A timeout that is over does no harm to what comes after.
is( $node->safe_psql('postgres', <<'SQL'), "succeeded\n", 'a timeout ends with its run');
UPDATE batch_jobs SET job_timeout = 1 WHERE id = 1;
SELECT status FROM batchagg_run_job(1);
SELECT pg_sleep(1.5);
SQL
# Nor does one that is too long for milliseconds.
is( $node->safe_psql('postgres', <<'SQL'), 'succeeded', 'a timeout of years');
UPDATE batch_jobs SET job_timeout = 2147483647 WHERE id = 1;
SELECT status FROM batchagg_run_job(1);
SQL
# A cancel by hand of a statement that runs many jobs is not caught.
my $begun = time;
my ($status, $stdout, $stderr) =
  $node->psql('postgres', "SET statement_timeout = '500ms'; SELECT * FROM batchagg_run_event('EVERYHOUR')");
like($stderr, qr/canceling statement due to statement timeout/, 'a cancel stops all jobs of the statement');

$node->stop;
done_testing();
