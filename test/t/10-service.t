# The service as its users meet it: jobs run by their events, changes count from
# their commit, each setting from a reload, and what runs can be seen in all the
# places where one looks.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

# For busy machines; what is awaited takes milliseconds.
my $patience = 60;

# Left alone until the end.
my $alone = start_node(name => 'alone');
make_source($alone, 'postgres');
my $alone_job = make_job($alone, 'postgres', event => 'EVERYMINUTE');

my $node = start_node(name => 'main', conf => "max_prepared_transactions = 5\nautovacuum = off\n");
make_source($node, 'postgres', 2000);
$node->safe_psql('postgres', 'CREATE ROLE analyst LOGIN; CREATE ROLE other LOGIN');
make_gate($node, 'postgres', 'gated', 1);

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub wait_until { return wait_for($node, 'postgres', $_[0], $_[1], $patience); }

# Milliseconds from a commit at $time, as the server writes it, to the start of
# the job's last run.
sub delay
{
	my ($job, $time) = @_;
	return sql("SELECT (extract(epoch FROM max(started_at) - '$time') * 1000)::integer FROM batchagg_ledger WHERE job_id = $job");
}

my $keeper = $node->background_psql('postgres');
sub shut { $keeper->query_safe('SELECT pg_advisory_lock(1)'); }
sub open_gate { $keeper->query_safe('SELECT pg_advisory_unlock(1)'); }
sub now_before { return sql('SELECT clock_timestamp()'); }

subtest 'changes count from their commit' => sub {
	my $session = $node->background_psql('postgres');
	my ($job, $time);

	wait_until("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler' AND datname = 'postgres'",
		'CREATE EXTENSION brings a scheduler');

	$time = now_before();
	$job = make_job($node, 'postgres', due => 1);
	wait_until(ran($job), 'a new job runs');
	note("new: " . delay($job, $time) . ' ms');
	is(last_run($node, 'postgres', $job), 'succeeded|', '... and its run is recorded');

	$session->query_safe("BEGIN; DELETE FROM batchagg_ledger WHERE job_id = $job");
	$session->query_safe("UPDATE batch_jobs SET scheduled_from = now() - interval '1 hour' WHERE id = $job");
	sleep(1);
	is(sql("SELECT count(*) FROM batchagg_runs WHERE job_id = $job"), '1', 'nothing happens before the commit');
	$session->query_safe('COMMIT');
	wait_until("SELECT count(*) = 2 FROM batchagg_runs WHERE job_id = $job", 'the job runs again after it');

	$job = make_job($node, 'postgres', event => '0 0 29 2 *');
	my $event = Service::quiet_event();
	$time = now_before();
	sql("BEGIN; UPDATE batch_jobs SET event_name = '$event' WHERE id = $job;
		UPDATE batch_jobs SET scheduled_from = now() - interval '1 hour' WHERE id = $job; COMMIT");
	wait_until(ran($job), 'a job that is given another event runs');
	note("changed: " . delay($job, $time) . ' ms');

	sql("UPDATE batch_jobs SET enable_flag = false WHERE id = $job");
	make_due($node, 'postgres', $job);
	sleep(1);
	is(sql("SELECT count(*) FROM batchagg_ledger WHERE job_id = $job"), '0', 'a disabled job does not run');
	is(sql("SELECT state FROM batchagg_jobs WHERE job_id = $job"), 'disabled', '... and says so');
	$time = now_before();
	sql("UPDATE batch_jobs SET enable_flag = true WHERE id = $job");
	wait_until(ran($job), 'enabled, it runs');
	note("enabled: " . delay($job, $time) . ' ms');

	sql("DELETE FROM batch_jobs WHERE id = $job");
	is(sql("SELECT count(*) FROM batchagg_ledger WHERE job_id = $job"), '0', 'a deleted job has no slots');

	$job = $session->query_safe("BEGIN; INSERT INTO batch_jobs (event_name, scheduled_from) VALUES ('EVERYMINUTE', now() - interval '1 hour') RETURNING id");
	$session->query_safe('ROLLBACK');
	sleep(0.5);
	is(sql("SELECT count(*) FROM batchagg_ledger WHERE job_id = $job"), '0', 'a job that was rolled back leaves no slots');
	$session->quit;
};

# Jobs made in a transaction that another session ends.
sub prepared
{
	my ($end) = @_;
	my ($job, $began);

	$job = make_job($node, 'postgres');
	sql("BEGIN; UPDATE batch_jobs SET scheduled_from = now() - interval '1 hour' WHERE id = $job; PREPARE TRANSACTION 'p'");
	sleep(0.5);
	is(sql("SELECT count(*) FROM batchagg_ledger WHERE job_id = $job"), '0', 'nothing happens while it is prepared');
	sql("$end PREPARED 'p'");
	return $job;
}

subtest 'prepared transactions' => sub {
	my $rolled_back = prepared('ROLLBACK');
	my $job = prepared('COMMIT');
	my $took = wait_until(ran($job), 'COMMIT PREPARED');

	cmp_ok($took // 999, '<', 10 + 3, '... within 10 seconds');
	is(sql("SELECT count(*) FROM batchagg_ledger WHERE job_id = $rolled_back"), '0', 'ROLLBACK PREPARED');
};

subtest 'processes' => sub {
	my $job = make_job($node, 'postgres', owner => 'analyst', source => 'gated');

	is(sql("SELECT count(*), count(datname), count(usename) FROM pg_stat_activity WHERE backend_type = 'batchagg launcher'"),
		'1|0|1', 'one launcher, in no database');
	is(sql("SELECT datname FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'"), 'postgres', 'one scheduler');
	like(sql("SELECT query FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'"), qr/^batchagg scheduler of database postgres$/, '... whose activity is said');
	shut();
	make_due($node, 'postgres', $job);
	wait_until("SELECT count(*) = 1 FROM batchagg_progress WHERE job_id = $job AND phase = 'reading'", 'the job reads');
	is( sql("SELECT a.usename, a.datname, a.state, a.application_name FROM pg_stat_activity a JOIN batchagg_progress p USING (pid) WHERE a.backend_type = 'batchagg worker' AND p.job_id = $job"),
		'analyst|postgres|active|batchagg worker', 'the worker is its owner');
	like(sql("SELECT query FROM pg_stat_activity WHERE pid = (SELECT pid FROM batchagg_progress WHERE job_id = $job)"),
		qr/^batchagg worker: job $job, slot .*, attempt 1$/, '... and says what it is at');
	open_gate();
	wait_until(ran($job), 'it ends');
	wait_until("SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'batchagg worker'", 'idle workers go');
};

subtest 'phases of a run' => sub {
	my $job = make_job($node, 'postgres', owner => 'analyst', source => 'gated');
	my $locker = $node->background_psql('postgres');
	my $phase = "SELECT count(*) = 1 FROM batchagg_progress WHERE job_id = $job AND pid IN (SELECT pid FROM pg_locks WHERE NOT granted) AND phase";

	shut();
	$locker->query_safe('BEGIN; LOCK TABLE batchagg_store IN EXCLUSIVE MODE');
	make_due($node, 'postgres', $job);
	wait_until("$phase = 'planning'", 'planning');
	$locker->query_safe('ROLLBACK; BEGIN; LOCK TABLE batchagg_cursors IN EXCLUSIVE MODE');
	wait_until("$phase = 'reading'", 'reading');
	is( sql("SELECT jobs, source, scan, scans, attempt, run_id > 0, slot = (SELECT slot FROM batchagg_ledger WHERE job_id = $job) FROM batchagg_progress WHERE job_id = $job"),
		'1|gated|1|1|1|t|t', '... what, and for which slot');
	is(sql("SELECT state FROM batchagg_slots WHERE job_id = $job"), 'running', '... batchagg_slots');
	is(sql("SELECT state FROM batchagg_jobs WHERE job_id = $job"), 'running', '... batchagg_jobs');
	open_gate();
	wait_until("$phase = 'storing'", 'storing');
	is(sql("SELECT rows_read FROM batchagg_progress WHERE job_id = $job"), sql('SELECT count(*) FROM visit'), '... all rows read');
	$locker->query_safe('ROLLBACK');
	wait_until(ran($job), 'done');
	is(sql("SELECT count(*) FROM batchagg_progress"), '0', '... and gone');
	$locker->quit;
};

subtest 'notifications' => sub {
	my $listener = $node->background_psql('postgres');
	my $good = make_job($node, 'postgres', set => "job_name = 'good \"one\"'");
	my $bad = make_job($node, 'postgres');
	my (%of, $out);

	sql("UPDATE batchjob_definitions SET entity = 'not_there' WHERE job_id = $bad");
	$listener->query_safe('LISTEN batchagg');
	make_due($node, 'postgres', $good, $bad);
	wait_until(ran($good), 'one succeeds');
	wait_until(slot_is($bad, 'failed'), 'one fails');
	for (1 .. 50)
	{
		$out .= $listener->query('SELECT 1');
		last if $out =~ /failed/ && $out =~ /succeeded/;
		sleep(0.1);
	}
	while ($out =~ /Asynchronous notification "batchagg" with payload "(\{.*\})" received/g)
	{
		my $told = decode_json($1);
		$of{$told->{job_id}} = $told;
	}
	is($of{$good}->{status}, 'succeeded', 'success is told');
	is($of{$good}->{run_id}, sql("SELECT run_id FROM batchagg_runs WHERE job_id = $good"), '... with the run');
	is($of{$bad}->{status}, 'failed', 'failure is told');
	is($of{$bad}->{sqlstate}, '42P01', '... with its code');
	is(join(',', sort keys %{$of{$bad}}), 'job_id,run_id,sqlstate,status', '... and nothing else');
	$listener->quit;
};

subtest 'counters' => sub {
	is( sql(<<'SQL'), '0', 'batchagg_stats counts what batchagg_runs has');
SELECT count(*) FROM batchagg_stats s
JOIN (SELECT job_id, count(*) AS runs, count(*) FILTER (WHERE status <> 'succeeded') AS failures, coalesce(sum(rows_read), 0) AS rows_read,
	coalesce(sum(changed), 0) AS changed FROM batchagg_runs GROUP BY 1) r USING (job_id)
WHERE (s.runs, s.failures, s.rows_read, s.changed) IS DISTINCT FROM (r.runs, r.failures, r.rows_read, r.changed)
	OR s.runs <> (SELECT sum(n) FROM unnest(histogram) n)
SQL
	note('counters: ' . sql('SELECT sum(runs), sum(failures), sum(rows_read) FROM batchagg_stats'));
	cmp_ok(sql('SELECT sum(failures) FROM batchagg_stats'), '>', 0, '... failures too');
};

subtest 'log' => sub {
	my $good = make_job($node, 'postgres');
	my $bad = make_job($node, 'postgres', source => 'visit');
	my %lines;

	sql("CREATE VIEW broken AS SELECT user_id, ts, 1 / (pages - pages) AS pages FROM visit;
		UPDATE batchjob_definitions SET entity = 'broken' WHERE job_id = $bad");
	for my $level (qw(warning info debug))
	{
		my $place = -s $node->logfile;
		my $text;

		set_conf($node, 'batchagg.log_level' => $level);
		make_due($node, 'postgres', $good, $bad);
		wait_until(ran($good), "$level: one succeeds");
		wait_until(slot_is($bad, 'failed'), '... one fails');
		$text = log_since($node, $place);
		$lines{$level} = () = $text =~ /LOG:  batchagg job $good\b/g;
		like($text, qr/ERROR:  division by zero\n.*CONTEXT:  [^\n]*batchagg job $bad, source \S*broken, slot /s,
			'... an error is logged in any case, and says where it was');
	}
	note("lines of a run: " . join(', ', map { "$_ $lines{$_}" } sort keys %lines));
	is($lines{warning}, 0, 'warning: no line');
	is($lines{info}, 1, 'info: one');
	cmp_ok($lines{debug}, '>', 1, 'debug: more');
	set_conf($node, 'batchagg.log_level' => 'info');
};

subtest 'batchagg.enabled' => sub {
	my $job = make_job($node, 'postgres');

	set_conf($node, 'batchagg.enabled' => 'off');
	make_due($node, 'postgres', $job);
	wait_until("SELECT reason = 'the setting batchagg.enabled is off' FROM batchagg_slots WHERE job_id = $job", 'off: the slot waits');
	sleep(0.5);
	is(sql("SELECT count(*) FROM batchagg_ledger WHERE job_id = $job"), '0', '... and is not run');
	set_conf($node, 'batchagg.enabled' => 'on');
	wait_until(ran($job), 'on: it is run');
};

subtest 'batchagg.enabled of a database' => sub {
	my $job = make_job($node, 'postgres');
	my $schedulers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'";

	sql('ALTER DATABASE postgres SET batchagg.enabled = off');
	$node->reload;
	wait_until("SELECT ($schedulers) = 0", 'off: the scheduler goes');
	make_due($node, 'postgres', $job);
	is(sql("SELECT reason FROM batchagg_slots WHERE job_id = $job"), 'the setting batchagg.enabled is off', 'the slot waits');
	sleep(1);
	is(sql($schedulers), '0', '... and a change of jobs brings nobody');
	is(sql("SELECT count(*) FROM batchagg_run_due() WHERE job_id = $job"), '1', 'another scheduler than the service can run it');

	make_due($node, 'postgres', $job);
	sql('ALTER DATABASE postgres SET batchagg.enabled = on');
	$node->reload;
	wait_until(ran($job), 'on: it is run');
	sql('ALTER SYSTEM SET batchagg.enabled = off');
	$node->reload;
	wait_until("SELECT ($schedulers) = 0", '... and the server\'s off is stronger');
	sql('ALTER SYSTEM RESET batchagg.enabled');
	sql('ALTER DATABASE postgres RESET batchagg.enabled');
	$node->reload;
	wait_until("SELECT ($schedulers) = 1", 'reset: the scheduler is back');
};

subtest 'batchagg.databases' => sub {
	my $job = make_job($node, 'postgres');

	$node->safe_psql('postgres', 'CREATE DATABASE "Other"');
	$node->safe_psql('Other', 'CREATE EXTENSION batchagg');
	set_conf($node, 'batchagg.databases' => '"Other"');
	wait_until("SELECT string_agg(datname, ',') = 'Other' FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'", 'another database only');
	make_due($node, 'postgres', $job);
	wait_until("SELECT reason LIKE 'there is no scheduler%' FROM batchagg_slots WHERE job_id = $job", 'a slot elsewhere waits, and it is said why');
	set_conf($node, 'batchagg.databases' => 'postgres');
	wait_until("SELECT string_agg(datname, ',') = 'postgres' FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'", 'this database only');
	wait_until(ran($job), 'its slot is run');
	set_conf($node, 'batchagg.databases' => '*');
	wait_until("SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'", 'all databases');
	sql('DROP DATABASE "Other"');
};

subtest 'batchagg.max_concurrent_jobs' => sub {
	my @jobs = map { make_job($node, 'postgres', owner => $_, source => 'gated') } qw(analyst other);
	my $running = "SELECT count(*) = %d FROM batchagg_progress WHERE phase = 'reading'";

	set_conf($node, 'batchagg.max_concurrent_jobs' => 1);
	shut();
	make_due($node, 'postgres', @jobs);
	wait_until(sprintf($running, 1), 'one runs');
	wait_until("SELECT count(*) = 1 FROM batchagg_slots WHERE job_id IN ($jobs[0], $jobs[1]) AND reason LIKE 'waiting for a worker slot: batchagg.max_concurrent_jobs (1)%'",
		'the other waits, and it is said why');
	sleep(0.5);
	is(sql(sprintf($running, 1)), 't', '... still');
	set_conf($node, 'batchagg.max_concurrent_jobs' => 2);
	wait_until(sprintf($running, 2), 'both run');
	open_gate();
	wait_until(ran($_), "job $_ is done") for @jobs;
	set_conf($node, 'batchagg.max_concurrent_jobs' => 10);
};

# A job that always fails, but might not.
sql(<<'SQL');
CREATE FUNCTION busy() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE 'busy' USING ERRCODE = '55P03'; END $$;
CREATE VIEW busy AS SELECT user_id, ts, busy() AS pages FROM visit;
SQL
my $busy = make_job($node, 'postgres', source => 'busy');

subtest 'batchagg.max_retries' => sub {
	for my $retries (0, 2)
	{
		set_conf($node, 'batchagg.max_retries' => $retries);
		make_due($node, 'postgres', $busy);
		wait_until(slot_is($busy, 'failed'), "$retries: the slot fails");
		is(sql("SELECT attempt FROM batchagg_slots WHERE job_id = $busy AND state = 'failed'"), $retries + 1, '... after that many retries');
	}
};

subtest 'batchagg.retry_delay' => sub {
	for my $delay (100, 1000)
	{
		set_conf($node, 'batchagg.retry_delay' => $delay . 's');
		make_due($node, 'postgres', $busy);
		wait_until(slot_is($busy, 'waiting'), "$delay: the slot waits");
		my $wait = sql("SELECT extract(epoch FROM not_before - finished_at)::integer FROM batchagg_slots WHERE job_id = $busy AND state = 'waiting' AND attempt > 0");
		note("$delay s: waits $wait s");
		cmp_ok($wait, '>=', 0.75 * $delay - 1, '... as long');
		cmp_ok($wait, '<=', 1.25 * $delay + 1, '... and not longer');
	}
	set_conf($node, 'batchagg.retry_delay' => '0');
	sql("UPDATE batch_jobs SET enable_flag = false WHERE id = $busy");
};

subtest 'batchagg.job_timeout' => sub {
	my $job = make_job($node, 'postgres', source => 'gated');

	shut();
	set_conf($node, 'batchagg.job_timeout' => '1s');
	make_due($node, 'postgres', $job);
	wait_until(slot_is($job, 'failed'), 'the run is ended');
	is( sql("SELECT error_sqlstate, error_message, finished_at - started_at < interval '$patience s' FROM batchagg_runs WHERE job_id = $job"),
		'57014|canceling job due to job timeout|t', '... by the timeout');
	open_gate();
	set_conf($node, 'batchagg.job_timeout' => '1h');
	make_due($node, 'postgres', $job);
	wait_until(ran($job), 'with more time it is done');
};

subtest 'batchagg.timezone' => sub {
	# Half an hour ago in Tokyo, and in eight and a half hours here.
	my ($minute, $hour) = (gmtime(time() + 9 * 3600 - 1800))[1, 2];
	my $job = make_job($node, 'postgres', event => "$minute $hour * * *");

	make_due($node, 'postgres', $job);
	sleep(0.5);
	is(sql("SELECT count(*) FROM batchagg_slots WHERE job_id = $job"), '0', 'not due in UTC');
	set_conf($node, 'batchagg.timezone' => 'Asia/Tokyo');
	wait_until(ran($job), 'due in Tokyo');
	set_conf($node, 'batchagg.timezone' => 'UTC');
};

# The groups that a run has stored when it comes upon the last row of the store,
# which is locked.
sub stored_before_last
{
	my ($job, $size) = @_;
	my $locker = $node->background_psql('postgres');
	my $groups;

	set_conf($node, 'batchagg.batch_size' => $size);
	sql('UPDATE visit SET pages = pages + 1');
	$locker->query_safe("BEGIN; SELECT FROM batchagg_store s JOIN batchagg_layouts l ON l.id = s.layout_id WHERE l.job_id = $job
		ORDER BY bucket DESC, entity_id DESC LIMIT 1 FOR UPDATE OF s");
	make_due($node, 'postgres', $job);
	wait_until("SELECT count(*) = 1 FROM batchagg_progress WHERE job_id = $job AND phase = 'storing' AND pid IN (SELECT pid FROM pg_locks WHERE NOT granted)",
		"$size: the run waits for a row");
	$groups = sql("SELECT groups FROM batchagg_progress WHERE job_id = $job");
	$locker->query_safe('ROLLBACK');
	wait_until(ran($job), '... and is done');
	$locker->quit;
	return $groups;
}

subtest 'batchagg.batch_size' => sub {
	my $job = make_job($node, 'postgres', due => 1);
	my ($small, $large, $all);

	wait_until(ran($job), 'a first run');
	$all = sql("SELECT groups FROM batchagg_runs WHERE job_id = $job");
	$small = stored_before_last($job, 10);
	$large = stored_before_last($job, 1000);
	note("of $all groups, $small are stored in steps of 10 when the last one comes, and $large in steps of 1000");
	cmp_ok($small, '>=', $all - 30, 'small steps');
	is($large, 0, 'one step');
};

subtest 'batchagg.work_mem' => sub {
	my $job = make_job($node, 'postgres');
	my %runs;

	sql("UPDATE visit SET user_id = pages * 1000 + user_id");
	sql("UPDATE batchjob_metrics SET aggregation_types = 'sum,p95' WHERE job_id = $job");
	for my $memory (qw(64kB 64MB))
	{
		my $place = -s $node->logfile;

		set_conf($node, 'batchagg.work_mem' => $memory, 'batchagg.log_level' => 'debug');
		make_due($node, 'postgres', $job);
		wait_until(ran($job), "$memory: a run");
		($runs{$memory}) = log_since($node, $place) =~ /LOG:  batchagg job $job in database "postgres", .* (\d+) sorted runs in temporary files/;
	}
	note("sorted runs in temporary files: " . join(', ', map { "$_ $runs{$_}" } sort keys %runs));
	cmp_ok($runs{'64kB'}, '>', 0, 'little memory');
	is($runs{'64MB'}, 0, 'much memory');
	set_conf($node, 'batchagg.log_level' => 'info', 'batchagg.work_mem' => -1);
	sql("UPDATE batchjob_metrics SET aggregation_types = 'sum' WHERE job_id = $job");
};

subtest 'batchagg.history_retention' => sub {
	my $last = make_job($node, 'postgres', event => '0 0 29 2 *');
	my $job = make_job($node, 'postgres', due => 1);

	wait_until(ran($job), 'a run of today');
	# Job $last has old slots only; of these, its last must stay.
	sql(<<"SQL");
INSERT INTO batchagg_ledger (job_id, slot, state) SELECT j, now() - i * interval '1 day', 'done' FROM unnest(ARRAY[$last, $job]) j, generate_series(10, 29) i;
INSERT INTO batchagg_runs (job_id, slot, started_at, finished_at, status)
SELECT j, now() - i * interval '1 day', now() - i * interval '1 day', now() - i * interval '1 day', 'succeeded' FROM unnest(ARRAY[$last, $job]) j, generate_series(10, 29) i;
SQL
	sleep(3);
	is(sql("SELECT count(*) FROM batchagg_runs WHERE started_at < now() - interval '9 days'"), '40', 'what is younger than 30 days stays');
	set_conf($node, 'batchagg.history_retention' => 20);
	wait_until("SELECT min(started_at) > now() - interval '20 days 1 hour' FROM batchagg_runs", 'runs of more than 20 days ago go');
	set_conf($node, 'batchagg.history_retention' => 5);
	wait_until("SELECT min(started_at) > now() - interval '5 days' FROM batchagg_runs", 'runs of more than 5 days ago go');
	is( sql("SELECT job_id = $last, count(*), max(slot) > now() - interval '11 days' FROM batchagg_ledger WHERE slot < now() - interval '5 days' GROUP BY 1"),
		't|1|t', "... and slots, but a job's last");
	is(sql("SELECT count(*) FROM batchagg_ledger WHERE job_id = $job AND state = 'done'"), '1', "... and today's");
};

subtest 'stopping and starting, preloaded' => sub {
	my $job = make_job($node, 'postgres');

	is(sql('SELECT batchagg_start()'), 'f', 'it runs');
	is(sql('SELECT batchagg_stop()'), 't', 'stop');
	is(join(',', map { activity($node, $_) } qw(launcher scheduler)), '', 'no process is left');
	wait_until("SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'batchagg%'", '... nor a worker');
	is(sql('SELECT batchagg_stop()'), 'f', 'it does not run');
	make_due($node, 'postgres', $job);
	like(sql("SELECT reason FROM batchagg_slots WHERE job_id = $job"), qr/^the service is not running: call batchagg_start\(\)/, 'a slot waits');
	is(sql('SELECT batchagg_start()'), 't', 'start');
	wait_until(ran($job), 'the slot is run');

	for my $function ("batchagg_start()", "batchagg_stop()", "batchagg_set_clock(NULL, NULL)")
	{
		my ($status, $out, $err) = $node->psql('postgres', "SET ROLE analyst; SELECT $function");
		like($err, qr/ERROR:  permission denied/, "$function is not for everybody");
	}
	sql('GRANT EXECUTE ON FUNCTION batchagg_start(), batchagg_stop() TO analyst');
	for my $function ("batchagg_start()", "batchagg_stop()")
	{
		my ($status, $out, $err) = $node->psql('postgres', "SET ROLE analyst; SELECT $function");
		like($err, qr/ERROR:  permission denied .*\nDETAIL:  Only superusers/, "$function is for superusers, whoever may call it");
	}
};

$keeper->quit;
$node->stop;

subtest 'not preloaded' => sub {
	my $plain = PostgreSQL::Test::Cluster->new('plain');
	my ($job, $idle);

	$plain->init;
	$plain->append_conf('postgresql.conf', "fsync = off\nmax_worker_processes = 16\n");
	$plain->start;
	make_source($plain, 'postgres');
	$job = make_job($plain, 'postgres', due => 1);
	like($plain->safe_psql('postgres', "SELECT reason FROM batchagg_slots WHERE job_id = $job"), qr/^the service is not running: /, 'nothing runs by itself');
	$idle = make_job($plain, 'postgres');
	is($plain->safe_psql('postgres', "SELECT state, reason FROM batchagg_jobs WHERE job_id = $idle"),
		'unattended|the service is not running: call batchagg_start(), or add batchagg to shared_preload_libraries', 'a job that nothing starts says so');
	is($plain->safe_psql('postgres', 'SELECT batchagg_start()'), 't', 'start');
	wait_for($plain, 'postgres', "SELECT state = 'scheduled' AND reason IS NULL FROM batchagg_jobs WHERE job_id = $idle", 'now it is scheduled', $patience);
	is($plain->safe_psql('postgres', 'SELECT batchagg_start()'), 'f', 'start again');
	wait_for($plain, 'postgres', ran($job), 'the job runs', $patience);
	for my $round (1 .. 2)
	{
		is($plain->safe_psql('postgres', 'SELECT batchagg_stop()'), 't', 'stop');
		wait_for($plain, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'batchagg%'", 'nothing is left', $patience);
		make_due($plain, 'postgres', $job);
		is($plain->safe_psql('postgres', 'SELECT batchagg_start()'), 't', 'start');
		wait_for($plain, 'postgres', ran($job), 'the job runs', $patience);
	}
	is(exact($plain, 'postgres'), 't|0', 'all results are exact');
	$plain->restart;
	sleep(1);
	is($plain->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'batchagg%'"), '0', 'after a restart it is gone');
	is($plain->safe_psql('postgres', 'SELECT batchagg_start()'), 't', '... and can be started');
	$plain->stop;
};

subtest 'jobs run with nobody looking' => sub {
	wait_for($alone, 'postgres', "SELECT count(*) >= 2 AND max(state) = 'done' AND min(state) = 'done' FROM batchagg_ledger", 'two minutes', 150);
	note('slots and delays: ' . $alone->safe_psql('postgres',
		"SELECT string_agg(format('%s %s ms', to_char(slot, 'HH24:MI'), (extract(epoch FROM started_at - slot) * 1000)::integer), ', ' ORDER BY slot) FROM batchagg_ledger"));
	is( $alone->safe_psql('postgres', <<'SQL'), 't|t|t|t', 'each minute once, and soon');
SELECT count(*) = extract(epoch FROM max(slot) - min(slot)) / 60 + 1, bool_and(slot = date_trunc('minute', slot)),
	max(started_at - slot) < interval '20 seconds', count(*) = (SELECT count(*) FROM batchagg_runs) FROM batchagg_ledger
SQL
	is(exact($alone, 'postgres'), 't|0', 'the results are exact');
	$alone->stop;
};

done_testing();
