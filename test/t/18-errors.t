# Runs that fail: what is recorded, what is tried again and when, and that
# nobody else suffers.

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

my $patience = 60;
my $node = start_node(conf => "autovacuum = off\n");

# A view flaky_<code> for each SQLSTATE, which fails with that while it is in
# the table mood; and a record of all waits in the ledger.
make_source($node, 'postgres');
make_gate($node, 'postgres', 'gated', 1);
my @transient = qw(40001 40P01 55P03 53100 53200 53300 57P03 08006 58030);
my @permanent = qw(22003 22012 23505 42703 57014 P0001 XX000);
$node->safe_psql('postgres', <<'SQL' . join '', map { "CREATE VIEW flaky_$_ AS SELECT * FROM visit WHERE weather('$_');\n" } @transient, @permanent);
CREATE ROLE analyst LOGIN;
CREATE ROLE small LOGIN;
GRANT SELECT ON visit TO small;
CREATE TABLE mood (sqlstate text);
CREATE FUNCTION weather(code text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM public.mood WHERE sqlstate = code) THEN
		RAISE 'bad weather %', code USING ERRCODE = code;
	END IF;
	RETURN true;
END $$;
CREATE TABLE waits (job_id integer, attempt integer, seconds float8);
CREATE FUNCTION note_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.waits VALUES (new.job_id, new.attempt, extract(epoch FROM new.not_before - new.finished_at));
	RETURN NULL;
END $$;
CREATE TRIGGER note_wait AFTER UPDATE ON batchagg_ledger FOR EACH ROW WHEN (new.state = 'waiting') EXECUTE FUNCTION note_wait();
SQL

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub wait_until { return wait_for($node, 'postgres', $_[0], $_[1], $patience); }

# Makes a job's slot due once more, and waits for its end.
sub ends
{
	my ($job, $state, $what) = @_;

	make_due($node, 'postgres', $job);
	wait_until(slot_is($job, $state), "$what: $state");
}

# The last run of a job failed with a code, at its first attempt, which was the
# only one since $runs of them.
sub fails_for_good
{
	my ($job, $code, $what) = @_;
	my $runs = sql("SELECT count(*) FROM batchagg_runs WHERE job_id = $job");

	ends($job, 'failed', $what);
	is(last_run($node, 'postgres', $job), "failed|$code", '... recorded');
	is(sql("SELECT count(*) - $runs, max(attempt) FILTER (WHERE status = 'failed') FROM batchagg_runs WHERE job_id = $job"), '1|1', '... and not retried');
	is(sql("SELECT state, reason = last_error FROM batchagg_jobs WHERE job_id = $job"), 'failed|t', '... and batchagg_jobs says why');
}

# A statement in a session of its own.
sub start
{
	my ($sql) = @_;
	my %session = (out => '', err => '');

	$session{process} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $sql ],
		'>', \$session{out}, '2>', \$session{err});
	return \%session;
}

my $keeper = $node->background_psql('postgres');
sub shut { $keeper->query_safe('SELECT pg_advisory_lock(1)'); }
sub open_gate { $keeper->query_safe('SELECT pg_advisory_unlock(1)'); }

sub at_gate
{
	my ($job) = @_;
	wait_until("SELECT count(*) = 1 FROM batchagg_progress WHERE job_id = $job AND phase = 'reading' AND pid IN (SELECT pid FROM pg_locks WHERE NOT granted)", 'the run is under way');
}

# Started first, as they take the longest: transient errors, with 2 retries
# after 1 and 2 seconds.
sql("INSERT INTO mood VALUES " . join ',', map { "('$_')" } @transient, @permanent);
my %flaky = map { $_ => make_job($node, 'postgres', source => "flaky_$_", set => 'max_retries = 2, retry_delay = 1', due => 1) } @transient, @permanent;

subtest 'source dropped' => sub {
	sql('CREATE TABLE passing AS TABLE visit');
	my $job = make_job($node, 'postgres', source => 'passing');

	ends($job, 'done', 'with the table');
	sql('DROP TABLE passing');
	fails_for_good($job, '42P01', 'without it');
	sql('CREATE TABLE passing AS TABLE visit');
	ends($job, 'done', 'with a new one, the next slot');
};

subtest 'errors that stay' => sub {
	sql('CREATE TABLE narrow AS TABLE visit; CREATE VIEW cast_badly AS SELECT user_id, ts, (\'x\' || pages)::integer AS pages FROM visit;
		CREATE VIEW huge AS SELECT user_id, ts, 1.7e308::float8 AS pages FROM visit');
	my ($column, $cast, $filter, $overflow) = map { make_job($node, 'postgres', source => $_) } qw(narrow cast_badly visit huge);

	sql('ALTER TABLE narrow DROP COLUMN pages');
	fails_for_good($column, '42703', 'column dropped');
	sql('ALTER TABLE narrow ADD COLUMN pages integer; TRUNCATE narrow; INSERT INTO narrow SELECT * FROM visit');
	ends($column, 'done', 'column there, the next slot');

	fails_for_good($cast, '22P02', 'bad cast');
	fails_for_good($overflow, '22003', 'sum overflows');

	sql("UPDATE batchjob_definitions SET resource_filter = '1 / (pages - pages) > 0' WHERE job_id = $filter");
	fails_for_good($filter, '22012', 'filter');
	sql("UPDATE batch_jobs SET job_name = 'renamed' WHERE id = $filter");
	sleep(0.5);
	is(sql("SELECT count(*) FROM batchagg_runs WHERE job_id = $filter"), '1', 'a name is not what it failed for');
	sql("UPDATE batchjob_definitions SET resource_filter = NULL WHERE job_id = $filter");
	wait_until(slot_is($filter, 'done'), 'the definition changed, the failed slot is run at once');
	is(sql("SELECT attempt FROM batchagg_slots WHERE job_id = $filter AND state IN ('done', 'late')"), '2', '... as its second attempt');
};

subtest 'changes during a run' => sub {
	my $job = make_job($node, 'postgres', source => 'gated');
	my ($definition) = sql("INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES ($job, 'user', 'gated', '1-day') RETURNING id");
	my ($delete, $place);

	shut();
	make_due($node, 'postgres', $job);
	at_gate($job);
	$delete = start("DELETE FROM batchjob_definitions WHERE id = $definition");
	wait_until("SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'DELETE FROM batchjob_definitions%' AND wait_event_type = 'Lock'", 'deleting a definition waits');
	open_gate();
	wait_until(ran($job), 'the run ends well');
	$delete->{process}->finish;
	is($delete->{err}, '', '... and the definition is deleted');
	is(sql("SELECT count(*), count(DISTINCT definition_id) FROM batchagg_layouts WHERE job_id = $job"), '1|1', '... with its results');
	ends($job, 'done', 'the next slot');

	shut();
	make_due($node, 'postgres', $job);
	at_gate($job);
	$delete = start("DELETE FROM batch_jobs WHERE id = $job");
	wait_until("SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'DELETE FROM batch_jobs%' AND wait_event_type = 'Lock'", 'deleting a job waits');
	open_gate();
	$delete->{process}->finish;
	is($delete->{err}, '', '... until the run ends');
	sleep(0.5);
	is( sql("SELECT (SELECT count(*) FROM batchagg_ledger WHERE job_id = $job), (SELECT count(*) FROM batchagg_runs WHERE job_id = $job),
		(SELECT count(*) FROM batchagg_layouts WHERE job_id = $job), (SELECT count(*) FROM batchagg_counters WHERE job_id = $job)"),
		'0|0|0|0', '... and nothing is left');

	# The job is being deleted when its slot comes: nobody waits, and no run is tried.
	$job = make_job($node, 'postgres');
	my $session = $node->background_psql('postgres');
	set_conf($node, 'batchagg.enabled' => 'off');
	make_due($node, 'postgres', $job);
	$place = -s $node->logfile;
	$session->query_safe("BEGIN; DELETE FROM batch_jobs WHERE id = $job");
	set_conf($node, 'batchagg.enabled' => 'on');
	sleep(2);
	is(sql("SELECT count(*) FROM batchagg_runs WHERE job_id = $job"), '0', 'a job that is being deleted is not run');
	$session->query_safe('COMMIT');
	wait_until("SELECT count(*) = 0 FROM batchagg_ledger WHERE job_id = $job", '... and its slot goes with it');
	sleep(0.5);
	unlike(log_since($node, $place), qr/job $job .*(?:failed|does not exist)/, '... without an error');
	$session->quit;

	# The run fails, so the job may be gone when that is to be recorded.
	$job = make_job($node, 'postgres', source => 'gated');
	shut();
	make_due($node, 'postgres', $job);
	at_gate($job);
	$place = -s $node->logfile;
	$delete = start("DELETE FROM batch_jobs WHERE id = $job");
	wait_until("SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'DELETE FROM batch_jobs%' AND wait_event_type = 'Lock'", 'deleting a job waits');
	sql("SELECT batchagg_cancel(run_id) FROM batchagg_progress WHERE job_id = $job");
	$delete->{process}->finish;
	open_gate();
	is($delete->{err}, '', '... until the run fails');
	wait_until("SELECT count(*) = 0 FROM batchagg_progress WHERE job_id = $job", 'the run is gone');
	sleep(0.5);
	is(sql("SELECT count(*) FROM batchagg_ledger WHERE job_id = $job"), '0', '... and leaves no slot');

	# Jobs of the subtest before may still be retried.
	is(() = log_since($node, $place) =~ /ERROR:  (?!bad weather).*/g, 1, '... and one error in the log');
};

subtest 'timeout and cancel' => sub {
	my $job = make_job($node, 'postgres', owner => 'analyst', source => 'gated');

	shut();
	sql("UPDATE batch_jobs SET job_timeout = 1 WHERE id = $job");
	fails_for_good($job, '57014', 'job_timeout');
	like(sql("SELECT reason FROM batchagg_slots WHERE job_id = $job"), qr/job timeout/, '... with the reason');
	sql("UPDATE batch_jobs SET job_timeout = NULL WHERE id = $job");
	wait_until("SELECT count(*) = 1 FROM batchagg_progress WHERE job_id = $job AND phase = 'reading'", 'with more time the slot is run at once');
	is( $node->safe_psql('postgres', 'SELECT batchagg_cancel(run_id) FROM batchagg_progress', connstr => $node->connstr('postgres') . ' user=analyst'),
		't', 'the owner cancels the run');
	wait_until(slot_is($job, 'failed'), '... and it ends');
	is(last_run($node, 'postgres', $job), 'failed|57014', '... recorded');
	sleep(1);
	is(sql("SELECT count(*) FROM batchagg_runs WHERE job_id = $job"), '2', '... and not retried');
	open_gate();

	ends($job, 'done', 'the next slot');
	my ($pid) = split /\n/, sql("SELECT worker_pid FROM batchagg_runs WHERE job_id = $job ORDER BY run_id DESC LIMIT 1");
	my $place = -s $node->logfile;
	is(sql("SELECT pg_cancel_backend($pid)"), 't', 'a worker that is idle is canceled');
	sleep(0.3);
	ends($job, 'done', 'the next slot');
	is(sql("SELECT worker_pid FROM batchagg_runs WHERE job_id = $job ORDER BY run_id DESC LIMIT 1"), $pid, '... in the same worker');
	unlike(log_since($node, $place), qr/ERROR/, '... without a word');
};

subtest 'shared scans' => sub {
	my @jobs = map { make_job($node, 'postgres', source => 'gated') } 1 .. 4;
	my $list = join ',', @jobs;

	# One fails, as it divides by zero.
	sql("UPDATE batchjob_definitions SET resource_filter = '1 / (pages - pages) > 0' WHERE job_id = $jobs[1]");
	make_due($node, 'postgres', @jobs);
	wait_until("SELECT count(*) = 4 FROM batchagg_ledger WHERE job_id IN ($list) AND state IN ('done', 'failed')", 'jobs of one source');
	is(sql("SELECT string_agg(state, ',' ORDER BY job_id) FROM batchagg_ledger WHERE job_id IN ($list)"), 'done,failed,done,done', 'one fails, the others do not');
	is(sql("SELECT count(*), count(error_sqlstate), max(error_sqlstate) FROM batchagg_runs WHERE job_id IN ($list)"), '4|1|22012', '... each has one run');
	sql("UPDATE batchjob_definitions SET resource_filter = NULL WHERE job_id = $jobs[1]");
	wait_until(slot_is($jobs[1], 'done'), 'mended, it is done');

	# They are canceled together.
	shut();
	make_due($node, 'postgres', @jobs);
	wait_until("SELECT max(jobs) = 4 FROM batchagg_progress WHERE job_id = $jobs[0] AND phase = 'reading'", 'they run together');
	sql('SELECT batchagg_cancel(run_id) FROM batchagg_progress');
	wait_until("SELECT count(*) = 4 FROM batchagg_ledger WHERE job_id IN ($list) AND state = 'failed'", 'canceled, all end');
	is(sql("SELECT count(*) FROM batchagg_runs WHERE job_id IN ($list) AND error_sqlstate = '57014'"), '4', '... recorded');
	open_gate();
	make_due($node, 'postgres', @jobs);
	wait_until("SELECT count(*) = 4 FROM batchagg_ledger WHERE job_id IN ($list) AND state = 'done'", 'the next slot');
};

subtest 'a deletion that does not end' => sub {
	my ($job, $dead) = map { make_job($node, 'postgres', source => $_, set => 'retry_delay = 1, max_retries = 100') } qw(flaky_40001 gated);
	my $other = make_job($node, 'postgres');
	my $session = $node->background_psql('postgres');
	my $took;

	# Of a slot that waits, and of one whose worker dies.
	make_due($node, 'postgres', $job);
	wait_until(slot_is($job, 'waiting'), 'a slot waits');
	shut();
	make_due($node, 'postgres', $dead);
	at_gate($dead);
	$session->query_safe("BEGIN; DELETE FROM batch_jobs WHERE id = $job");
	my $delete = start("BEGIN; DELETE FROM batch_jobs WHERE id = $dead; SELECT pg_sleep(10); ROLLBACK");
	wait_until("SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%DELETE FROM batch_jobs%' AND wait_event_type = 'Lock'", 'deleting a job waits');
	sql("SELECT pg_terminate_backend(pid) FROM batchagg_progress WHERE job_id = $dead");
	sleep(2);
	for my $round (1, 2)
	{
		make_due($node, 'postgres', $other);
		$took = wait_until(ran($other), 'another job');
		cmp_ok($took // 999, '<', 5, '... does not wait');
	}
	open_gate();
	$delete->{process}->finish;
	wait_until("SELECT state = 'done' AND attempt > 1 FROM batchagg_ledger WHERE job_id = $dead", 'rolled back, the one is done');
	is(sql("SELECT string_agg(status, ',' ORDER BY run_id) FROM batchagg_runs WHERE job_id = $dead"), 'interrupted,succeeded', '... after an interrupted run');
	$session->query_safe('COMMIT');
	sleep(1.5);
	is(sql("SELECT count(*) FROM batchagg_ledger WHERE job_id = $job"), '0', 'committed, the other is gone');
	$session->quit;
};

subtest 'temp_file_limit' => sub {
	sql("ALTER ROLE small SET temp_file_limit = '1MB'; ALTER ROLE small SET work_mem = '64kB';
		CREATE VIEW sorted AS SELECT user_id, ts, pages FROM (SELECT v.*, n FROM visit v, generate_series(1, 100) n ORDER BY n, md5(pages::text) OFFSET 0) s WHERE n = 1;
		GRANT SELECT ON sorted TO small");
	my $job = make_job($node, 'postgres', owner => 'small', source => 'sorted', set => 'max_retries = 1');

	ends($job, 'failed', 'too little room');
	is(sql("SELECT count(*), min(error_sqlstate), max(error_sqlstate) FROM batchagg_runs WHERE job_id = $job"), '2|53400|53400', '... is retried');
	sql('ALTER ROLE small RESET ALL; SELECT batchagg_stop(), batchagg_start()');
	ends($job, 'done', 'with more room, the next slot');
};

subtest 'errors that pass' => sub {
	my $list = join ',', values %flaky;

	wait_until("SELECT count(*) = 0 FROM batchagg_ledger WHERE job_id IN ($list) AND state IN ('running', 'waiting')", 'all have ended');
	for my $code (@transient)
	{
		is( sql("SELECT count(*), max(attempt), min(error_sqlstate), max(error_sqlstate) FROM batchagg_runs WHERE job_id = $flaky{$code}"),
			"3|3|$code|$code", "$code is retried twice");
	}
	for my $code (@permanent)
	{
		is(sql("SELECT count(*), max(error_sqlstate) FROM batchagg_runs WHERE job_id = $flaky{$code}"), "1|$code", "$code is not retried");
	}
	note('waits: ' . sql("SELECT attempt, count(*), min(round(seconds::numeric, 2)), max(round(seconds::numeric, 2)) FROM waits WHERE job_id IN ($list) GROUP BY 1 ORDER BY 1"));
	is( sql("SELECT count(*), bool_and(seconds BETWEEN 0.74 * 2 ^ (attempt - 1) AND 1.26 * 2 ^ (attempt - 1)), count(DISTINCT seconds) > 5 FROM waits WHERE job_id IN ($list)"),
		2 * @transient . '|t|t', 'waits double, more or less');
	is( sql("SELECT bool_and(r.started_at >= before.finished_at + 0.99 * w.seconds * interval '1 second') FROM waits w
		JOIN batchagg_runs before ON before.job_id = w.job_id AND before.attempt = w.attempt
		JOIN batchagg_runs r ON r.job_id = w.job_id AND r.attempt = w.attempt + 1 WHERE w.job_id IN ($list)"), 't', 'no attempt comes sooner');
	sql('DELETE FROM mood');
	make_due($node, 'postgres', values %flaky);
	wait_until("SELECT count(*) = count(*) FILTER (WHERE state = 'done') FROM batchagg_ledger WHERE job_id IN ($list)", 'in fine weather all are done');

	# One that passes between two attempts.
	my $job = $flaky{40001};
	sql("INSERT INTO mood VALUES ('40001')");
	make_due($node, 'postgres', $job);
	wait_until(slot_is($job, 'waiting'), 'one attempt fails');
	sql('DELETE FROM mood');
	wait_until(slot_is($job, 'done'), 'the next does not');
	cmp_ok(sql("SELECT attempt FROM batchagg_ledger WHERE job_id = $job"), '>', 1, '... as a later attempt');
};

is(exact($node, 'postgres'), 't|0', 'all results are exact');
is(sql("SELECT count(*) FROM batchagg_ledger WHERE state IN ('running', 'waiting')"), '0', 'nothing is left open');
is(sql("SELECT count(*) FROM batchagg_layouts WHERE job_id NOT IN (SELECT id FROM batch_jobs)"), '0', '... nor left behind');
is( sql("SELECT count(*) FROM batchagg_stats s JOIN (SELECT job_id, count(*) AS runs FROM batchagg_runs WHERE error_message IS NULL OR error_message NOT LIKE 'job % is already running' GROUP BY 1) r USING (job_id) WHERE s.runs <> r.runs"),
	'0', 'the counters agree with the history');
$keeper->quit;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP/, 'nothing crashed');
$node->stop;
done_testing();
