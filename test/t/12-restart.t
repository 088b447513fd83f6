# The server stops or crashes in the middle of a run: the slot is run again, and
# done once.  A job that takes the server down each time is given up.  A run
# whose slot has been taken over by another cannot commit.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = start_node(
	conf => <<'CONF');
restart_after_crash = on
batchagg.max_concurrent_jobs = 4
CONF
make_source($node, 'postgres', 5000);

# Runs that read `gated` wait while somebody holds the lock 1.  A run that reads
# `poison` kills its own process: a program that COPY starts is its child.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	RETURN true;
END $$;
CREATE FUNCTION poison() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	COPY (SELECT 1) TO PROGRAM 'kill -9 $PPID';
	RETURN true;
END $$;
CREATE VIEW gated AS SELECT v.* FROM visit v, (SELECT public.gate() OFFSET 0) g(open) WHERE g.open;
CREATE VIEW poisoned AS SELECT v.* FROM visit v, (SELECT public.poison() OFFSET 0) g(open) WHERE g.open;
SQL

# Closes the gate, until its session ends.
sub close_gate
{
	my $gate = IPC::Run::start(
		[ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-c', "SET application_name = 'gate'", '-c', 'SELECT pg_advisory_lock(1), pg_sleep(1000)' ],
		'>', \my $output, '2>', \my $errors);

	wait_for($node, 'postgres', "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted", '... the gate is closed');
	return $gate;
}

sub open_gate
{
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gate'");
}

# A hash of all that is stored.
sub traces
{
	return $node->safe_psql('postgres', "SELECT md5(string_agg(s::text, ',' ORDER BY layout_id, bucket, entity_id)) FROM batchagg_store s");
}

# A job with two slots to catch up with; while its first run waits in the
# middle, $act does something.  Then the gate is open, and both slots are done;
# of the first, the history is as expected.
sub round
{
	my ($what, $history, $act, $slots) = @_;
	my ($job, $gate);

	note($what);
	$gate = close_gate();
	($job) = make_jobs($node, 'postgres', 1, 0, 'gated', event_name => "'EVERYDAY'",
		scheduled_from => "date_trunc('day', now(), 'UTC') - interval '24 hours 1 minute'");
	wait_for($node, 'postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'batchagg worker' AND wait_event = 'advisory'",
		'... a run has come to the gate');
	$act->($job);
	$gate->finish;
	wait_for($node, 'postgres', "SELECT count(*) = 2 AND bool_and(state = 'done') FROM batchagg_ledger WHERE job_id = $job",
		"$what: both slots are done", 60);
	is( $node->safe_psql('postgres', "SELECT string_agg(attempt || ' ' || status, ', ' ORDER BY run_id) FROM batchagg_runs r
			WHERE job_id = $job AND slot = (SELECT min(slot) FROM batchagg_ledger WHERE job_id = $job)") =~ s/^$/none/r,
		$history, "... the first as expected: $history");
	is($node->safe_psql('postgres', "SELECT count(*) FROM batchagg_runs WHERE job_id = $job AND status = 'succeeded' AND slot = (SELECT max(slot) FROM batchagg_ledger WHERE job_id = $job)"),
		1, '... and the second once');
	is(exact($node, 'postgres'), 't|0', '... the results are exact');
}

for my $mode ('immediate', 'fast')
{
	round("$mode shutdown in mid-run", '1 interrupted, 2 succeeded', sub {
		$node->stop($mode);
		$node->start;
	});
}

round('terminated worker', '1 interrupted, 2 succeeded', sub {
	my ($worker) = activity($node, 'worker');

	$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker, 30000)");
	open_gate();
});

# A run is the worker's own: whoever else goes, it is not begun again.
round('terminated scheduler and launcher', '1 succeeded', sub {
	my ($scheduler) = activity($node, 'scheduler');
	my ($launcher) = activity($node, 'launcher');

	$node->safe_psql('postgres', "SELECT pg_terminate_backend($scheduler, 30000), pg_terminate_backend($launcher, 30000)");
	wait_for($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler' AND pid <> $scheduler",
		'... there is another scheduler');
	sleep(1);
	open_gate();
});

round('service stopped and started again', '1 succeeded', sub {
	is($node->safe_psql('postgres', 'SELECT batchagg_stop()'), 't', '... stopped');
	is(scalar activity($node, 'scheduler'), 0, '... the scheduler is gone');
	is(scalar activity($node, 'worker'), 1, '... the worker is not');
	is($node->safe_psql('postgres', 'SELECT batchagg_start()'), 't', '... started');
	wait_for($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'",
		'... there is a scheduler again');
	open_gate();
});

# Fences.  A run whose slot is another attempt's by now stores nothing.
my $before;
round('slot taken over by another attempt', '2 interrupted, 3 succeeded', sub {
	my ($job) = @_;

	$node->safe_psql('postgres', "UPDATE batchagg_ledger SET attempt = 2 WHERE job_id = $job AND state = 'running'");
	open_gate();
});
round('slot ended by somebody else', 'none', sub {
	my ($job) = @_;

	$before = traces();
	$node->safe_psql('postgres', "UPDATE batch_jobs SET enable_flag = false WHERE id = $job");
	$node->safe_psql('postgres', "UPDATE batchagg_ledger SET state = 'done' WHERE job_id = $job AND state = 'running'");
	open_gate();
	wait_for($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'batchagg worker' AND state = 'active'", '... the run ends');
	is(traces(), $before, '... and nothing of it is stored');
	$node->safe_psql('postgres', "UPDATE batch_jobs SET enable_flag = true WHERE id = $job");
});
my $fenced = () = slurp_file($node->logfile) =~ /ERROR: .* has been taken over by another run/g;
cmp_ok($fenced, '>=', 2, "$fenced messages say so in the log");

# Crash loop.
note('job that takes the server down');
my @others = make_jobs($node, 'postgres', 3, 300);
my $crashes = () = slurp_file($node->logfile) =~ /all server processes terminated; reinitializing/g;
my ($poison) = make_jobs($node, 'postgres', 1, 0, 'poisoned', event_name => "'EVERYDAY'", max_retries => 2, retry_delay => 1,
	scheduled_from => "date_trunc('day', now(), 'UTC') - interval '1 minute'");
wait_for($node, 'postgres', "SELECT count(*) = 1 FROM batchagg_ledger WHERE job_id = $poison AND state = 'failed'",
	'it is given up', 90);
is($node->safe_psql('postgres', "SELECT attempt || ' ' || reason FROM batchagg_ledger WHERE job_id = $poison"),
	'3 the worker ended before the run did', '... after its first attempt and two retries');
is($node->safe_psql('postgres', "SELECT string_agg(attempt || ' ' || status, ', ' ORDER BY run_id) FROM batchagg_runs WHERE job_id = $poison"),
	'1 interrupted, 2 interrupted, 3 interrupted', '... all in the history');
my ($first, $second) = split /\|/, $node->safe_psql('postgres', <<"SQL");
SELECT extract(epoch FROM b.finished_at - a.finished_at), extract(epoch FROM c.finished_at - b.finished_at)
FROM batchagg_runs a, batchagg_runs b, batchagg_runs c
WHERE a.job_id = $poison AND b.job_id = $poison AND c.job_id = $poison AND a.attempt = 1 AND b.attempt = 2 AND c.attempt = 3
SQL
cmp_ok($first, '>=', 0.75, sprintf('... the first retry after %.1f s', $first));
cmp_ok($second, '>=', 1.5, sprintf('... the second after %.1f s', $second));
is($node->safe_psql('postgres', "SELECT state FROM batchagg_jobs WHERE job_id = $poison"), 'failed', '... as batchagg_jobs says');
sleep(3);
$crashes = -$crashes + (() = slurp_file($node->logfile) =~ /all server processes terminated; reinitializing/g);
is($crashes, 3, '... and the server lives from then on');

my $until = $node->safe_psql('postgres', "SELECT date_trunc('minute', clock_timestamp())");
my $list = join(',', @others);
wait_for($node, 'postgres', "SELECT count(DISTINCT job_id) = 3 FROM batchagg_ledger WHERE job_id IN ($list) AND slot = '$until' AND state = 'done'",
	'the other jobs have gone on', 120);
is(accounts($node, 'postgres', $until, "job_id IN ($list)"), '', '... each of their slots is done, by one run');
is(exact($node, 'postgres'), 't|0', '... the results are exact');
note(figures($node, 'postgres'));

# A slot that somebody else has run, without a word to the scheduler, does not keep
# it from running others.  A clock for tests stands still while a run waits.
note('slot done by somebody else');
my $start = $node->safe_psql('postgres', "DELETE FROM batch_jobs; SELECT date_trunc('minute', clock_timestamp())");
my $gate = close_gate();
my ($waiting) = make_jobs($node, 'postgres', 1, 0, 'gated', scheduled_from => "'$start'");
my ($stolen, $companion) = make_jobs($node, 'postgres', 2, 0, 'visit', scheduled_from => "'$start'");
$node->safe_psql('postgres', "SELECT batchagg_set_clock('$start', timestamptz '$start' + interval '3 minutes')");
wait_for($node, 'postgres', "SELECT count(*) = 2 FROM batchagg_ledger WHERE job_id IN ($stolen, $companion) AND state = 'done'",
	'... the first slots are done');
sleep(1);
$node->safe_psql('postgres', "INSERT INTO batchagg_ledger (job_id, slot, state, attempt) VALUES ($stolen, timestamptz '$start' + interval '2 minutes', 'done', 1)");
open_gate();
$gate->finish;
wait_for($node, 'postgres', "SELECT count(*) = 9 FROM batchagg_ledger WHERE state = 'done'", '... and all others');
is($node->safe_psql('postgres', "SELECT string_agg(extract(minute FROM slot - '$start') || ' ' || status, ', ' ORDER BY run_id) FROM batchagg_runs WHERE job_id = $stolen"),
	'1 succeeded, 3 succeeded', '... that one is left alone');
$node->safe_psql('postgres', 'DELETE FROM batch_jobs; SELECT batchagg_set_clock(NULL, NULL)');

# A smart shutdown waits for sessions, not for the service.
my $began = time();
$node->stop('smart');
pass(sprintf('smart shutdown in %.1f s', time() - $began));
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP|signal (6|7|11)\b/, 'nothing else has crashed');

done_testing();
