# Runs under way: what others see of them, who sees them, and who may cancel
# them.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;

# A gate in the sources of jobs: rows come through while nobody holds lock 1,
# and the function catches an error of its own for each.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION batchagg;
CREATE ROLE analyst LOGIN;
CREATE ROLE colleague LOGIN;
CREATE ROLE stranger LOGIN;
CREATE ROLE signaler LOGIN;
GRANT analyst TO colleague;
GRANT pg_signal_backend TO signaler;
CREATE TABLE visit (user_id text, ts timestamptz, pages integer);
INSERT INTO visit SELECT 'u' || i % 7, '2024-01-01 00:00+00'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 5000) i;
CREATE FUNCTION gate(i integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF i = 4000 THEN
		BEGIN
			RAISE division_by_zero;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	ELSIF i = 4500 THEN
		PERFORM pg_advisory_lock_shared(1);
		PERFORM pg_advisory_unlock_shared(1);
	END IF;
	RETURN true;
END $$;
CREATE VIEW gated AS SELECT * FROM visit WHERE gate(pages);
ANALYZE visit;
GRANT SELECT ON gated, visit TO analyst;
INSERT INTO batch_jobs (event_name, owner) SELECT 'EVERYHOUR', 'analyst' FROM generate_series(1, 2);
INSERT INTO batch_jobs (event_name) VALUES ('EVERYDAY');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
VALUES (1, 'user', 'gated', '1-hour'), (2, 'user', 'gated', '1-day'), (3, 'user', 'gated', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT j, 'pages', 'sum' FROM generate_series(1, 3) j;
SQL

my $keeper = $node->background_psql('postgres');
sub shut { $keeper->query_safe('SELECT pg_advisory_lock(1)'); }
sub open_gate { $keeper->query_safe('SELECT pg_advisory_unlock(1)'); }

# Starts a statement, and waits until its run stands at the gate.
sub start
{
	my ($sql, $user) = @_;
	my %session = (out => '', err => '');

	$session{process} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') . " user=$user", '-c', $sql ],
		'>', \$session{out}, '2>', \$session{err});
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
	  or die 'no run at the gate';
	return \%session;
}

my ($user) = $node->safe_psql('postgres', 'SELECT current_user');
sub as_role
{
	my ($role, $sql) = @_;
	return $node->safe_psql('postgres', $sql, connstr => $node->connstr('postgres') . " user=$role dbname=postgres");
}

is($node->safe_psql('postgres', 'SELECT count(*) FROM batchagg_progress'), '0', 'no run');

shut();
my $run = start('SELECT status FROM batchagg_run_job(1)', 'analyst');
is( $node->safe_psql('postgres', <<'SQL'), "1|1|1|1|reading|gated|1|1|t|t|0|0|t|t|t", 'a run that reads');
SELECT run_id, job_id, jobs, attempt, phase, source, scan, scans, rows_read BETWEEN 4400 AND 4499, rows_estimated > 0, groups, results_written,
	slot <= started_at, started_at BETWEEN now() - interval '1 hour' AND now(), pid = (SELECT a.pid FROM pg_stat_activity a WHERE usename = 'analyst')
FROM batchagg_progress
SQL
is(as_role('colleague', 'SELECT count(*) FROM batchagg_progress()'), '1', 'members of the owner see it');
is(as_role('stranger', 'SELECT count(*) FROM batchagg_progress()'), '0', 'others do not');
is(as_role('signaler', 'SELECT count(*) FROM batchagg_progress'), '0', '... whatever they may signal');
$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
is($node->safe_psql('elsewhere', 'CREATE EXTENSION batchagg; SELECT count(*) FROM batchagg_progress'), '0', '... nor do other databases');

# Live within a transaction, too.
my $watcher = $node->background_psql('postgres');
$watcher->query_safe('BEGIN');
is($watcher->query_safe('SELECT count(*) FROM batchagg_progress'), '1', 'seen in a transaction');

my ($status, $out, $err) = $node->psql('postgres', 'SELECT batchagg_cancel(1)', connstr => $node->connstr('postgres') . ' user=stranger');
like($err, qr/WARNING:  run 1 is not under way/, 'to a stranger it does not exist');
is($out, 'f', '... and is not canceled');
($status, $out, $err) = $node->psql('postgres', 'SELECT batchagg_cancel(2)');
like($err, qr/WARNING:  run 2 is not under way/, 'no such run');
is($out, 'f', '... is no error');
is(as_role('colleague', 'SELECT batchagg_cancel(1)'), 't', 'a member of the owner may');
$run->{process}->finish;
like($run->{err}, qr/canceling statement due to user request/, '... and it ends');
is($watcher->query_safe('SELECT count(*) FROM batchagg_progress'), '0', '... and is gone at once');
$watcher->quit;

$run = start('SELECT status FROM batchagg_run_job(1, true)', 'analyst');
is($node->safe_psql('postgres', 'SELECT run_id IS NULL, job_id FROM batchagg_progress'), 't|1', 'a dry run has no number');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM batchagg_progress');
$run->{process}->finish;

# Jobs that run together are one run.
$run = start("SELECT job_id, status FROM batchagg_run_event('EVERYHOUR')", 'analyst');
is($node->safe_psql('postgres', 'SELECT job_id, jobs FROM batchagg_progress'), '1|2', 'jobs together');
open_gate();
$run->{process}->finish;
is($run->{out}, "1|succeeded\n2|succeeded\n", '... that ends well');
is($node->safe_psql('postgres', 'SELECT count(*) FROM batchagg_progress'), '0', '... and is gone');

# pg_signal_backend does not reach superusers' sessions.
shut();
for my $case ([ 'analyst', 1, qr/^$/, 't' ], [ $user, 3, qr/WARNING:  run \d+ is not under way/, 'f' ])
{
	my ($who, $job, $message, $answer) = @$case;

	$run = start("SELECT status FROM batchagg_run_job($job)", $who);
	my $id = $node->safe_psql('postgres', 'SELECT run_id FROM batchagg_progress');
	($status, $out, $err) = $node->psql('postgres', "SELECT batchagg_cancel($id)", connstr => $node->connstr('postgres') . ' user=signaler');
	like($err, $message, "pg_signal_backend and a run of $who") ;
	is($out, $answer, '... canceled or not');
	$node->safe_psql('postgres', "SELECT batchagg_cancel($id)") if $answer eq 'f';
	$run->{process}->finish;
	like($run->{err}, qr/canceling statement due to user request/, '... and it ends');
}

# Nor does the owner of a job, where another role runs it.
$run = start('SELECT status FROM batchagg_run_job(1)', $user);
my $others = as_role('analyst', 'SELECT run_id FROM batchagg_progress');
($status, $out, $err) = $node->psql('postgres', "SELECT batchagg_cancel($others)", connstr => $node->connstr('postgres') . ' user=analyst');
like($err, qr/WARNING:  permission denied to cancel run $others\nDETAIL:  Role "\Q$user\E" runs the job in a statement of its own/, 'a statement of somebody else\'s');
is($out, 'f', '... is not canceled');
open_gate();
$run->{process}->finish;
is($run->{out}, "succeeded\n", '... and ends well');

# A run that was canceled leaves no record; one whose process died neither.
is($node->safe_psql('postgres', "SELECT string_agg(job_id || ' ' || status, ',' ORDER BY run_id) FROM batchagg_runs"),
	'1 succeeded,2 succeeded,1 succeeded', 'canceled runs leave no record');

$keeper->quit;
$node->stop;
done_testing();
