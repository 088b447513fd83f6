# No job can end the service, nor keep it from the others: not by what its rows say,
# nor by the errors of its runs, nor by being in other hands.

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

my $node = start_node(conf => "autovacuum = off\n");

make_source($node, 'postgres', 100);
$node->safe_psql('postgres', 'CREATE ROLE alice LOGIN; CREATE ROLE mallory LOGIN; GRANT SELECT ON visit TO PUBLIC');
make_gate($node, 'postgres', 'gated', 1);

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub as_role
{
	my ($role, $sql) = @_;
	return $node->psql('postgres', $sql, connstr => $node->connstr('postgres') . " user=$role");
}
sub errors_since { return scalar(() = log_since($node, $_[0]) =~ /ERROR|FATAL/g); }

my ($scheduler) = activity($node, 'scheduler', 'postgres');
my $steady = make_job($node, 'postgres', owner => 'alice');

# The scheduler that was there at first is there still, and runs jobs.
sub all_is_well
{
	my ($what) = @_;

	make_due($node, 'postgres', $steady);
	wait_for($node, 'postgres', ran($steady), "$what: other jobs run");
	is(join(',', activity($node, 'scheduler', 'postgres')), $scheduler, '... by the same scheduler');
}

all_is_well('at first');

subtest 'rows' => sub {
	my %odd = (
		'updated_at' => "'294276-12-31 23:59:59+00'",
		'created_at' => "'infinity'",
		'scheduled_from' => "'294276-12-31 23:59:59+00'",
		'event_name' => "repeat('x', 10000000)",
		'job_name' => "repeat('x', 10000000)",
		'max_retries' => '2147483647',
		'retry_delay' => '2147483647');
	my $job = make_job($node, 'postgres', owner => 'mallory');

	for my $column (sort keys %odd)
	{
		my ($status, $out, $err) = as_role('mallory', "SET search_path = ''; UPDATE public.batch_jobs SET $column = $odd{$column} WHERE id = $job");
		isnt($status, 0, "$column = $odd{$column} is refused");
		($status) = as_role('mallory', "SET search_path = ''; INSERT INTO public.batch_jobs (event_name, $column) VALUES ('EVERYHOUR', $odd{$column})")
		  if $column ne 'event_name';
		isnt($status, 0, '... when it is inserted too');
	}
	for my $text (qw(focal_entity entity granularity timezone resource_filter))
	{
		my ($status) = as_role('mallory', "SET search_path = ''; UPDATE public.batchjob_definitions SET $text = repeat('x', 10000000) WHERE job_id = $job");
		isnt($status, 0, "$text of 10 MB is refused");
	}
	all_is_well('odd rows');

	# What a superuser can write all the same.
	for my $column (qw(updated_at scheduled_from))
	{
		sql("ALTER TABLE batch_jobs DROP CONSTRAINT batch_jobs_${column}_check; SET session_replication_role = replica;
			UPDATE batch_jobs SET $column = '294276-12-31 23:59:59.999999+00' WHERE id = $job");
		is(sql("SELECT count(*) FROM batchagg_jobs WHERE job_id = $job"), '1', "$column at the end of time: batchagg_jobs");
		all_is_well($column);
	}
	sql("DELETE FROM batch_jobs WHERE id = $job");
};

subtest 'an error of one job in the scheduler itself' => sub {
	my ($ownerless, $dead);
	my $place = -s $node->logfile;

	sql('CREATE ROLE leaver LOGIN');
	$ownerless = make_job($node, 'postgres', owner => 'leaver');
	remove_role($node, 'postgres', 'leaver');
	sql("ALTER TABLE batchagg_runs ADD CONSTRAINT odd CHECK (job_id <> $ownerless)");
	make_due($node, 'postgres', $ownerless);
	ok(defined try_for($node, 'postgres', "SELECT pg_sleep(0.5) IS NOT NULL", 5), 'a failure that cannot be recorded');
	ok($node->wait_for_log(qr/LOG:  batchagg job $ownerless in database "postgres" is put off: .*violates check constraint/, $place), '... is logged');
	all_is_well('one job that cannot be dealt with');
	sql("ALTER TABLE batchagg_runs DROP CONSTRAINT odd; DELETE FROM batch_jobs WHERE id = $ownerless");

	# A slot that has lost its worker.
	$place = -s $node->logfile;
	my $keeper = $node->background_psql('postgres');
	$keeper->query_safe('SELECT pg_advisory_lock(1)');
	$dead = make_job($node, 'postgres', owner => 'mallory', source => 'gated', due => 1);
	wait_for($node, 'postgres', "SELECT count(*) = 1 FROM batchagg_progress WHERE job_id = $dead AND phase = 'reading'", 'a run is under way');
	sql("ALTER TABLE batchagg_runs ADD CONSTRAINT odd CHECK (job_id <> $dead) NOT VALID");
	sql("SELECT pg_terminate_backend(pid) FROM batchagg_progress WHERE job_id = $dead");
	ok($node->wait_for_log(qr/LOG:  batchagg job $dead in database "postgres" is put off/, $place), 'an interrupted run that cannot be recorded');
	all_is_well('... is left alone');
	sql("ALTER TABLE batchagg_runs DROP CONSTRAINT odd; DELETE FROM batch_jobs WHERE id = $dead");
	$keeper->quit;
};

subtest 'an error that concerns all jobs' => sub {
	my $locker = $node->background_psql('postgres');
	my $job = make_job($node, 'postgres');
	my $place = -s $node->logfile;

	# The scheduler waits for five seconds to read the jobs.
	$locker->query_safe('BEGIN; LOCK TABLE batchjob_metrics IN ACCESS EXCLUSIVE MODE');
	sql("SELECT batchagg_wake()");
	ok($node->wait_for_log(qr/ERROR:  canceling statement due to lock timeout/, $place), 'the jobs cannot be read');
	$locker->query_safe('ROLLBACK');
	all_is_well('when they can again');
	$locker->quit;
};

subtest 'a slot of a job that is run by hand' => sub {
	my $job = make_job($node, 'postgres', owner => 'alice', source => 'gated', set => 'max_retries = 1000, retry_delay = 0');
	my $keeper = $node->background_psql('postgres');
	my $hand = $node->background_psql('postgres');
	my $place = -s $node->logfile;
	my $ran = sql("SELECT count(*) FROM batchagg_runs WHERE job_id = $job");

	$hand->query_safe("BEGIN; SELECT status FROM batchagg_run_job($job)");
	make_due($node, 'postgres', $job);
	wait_for($node, 'postgres', "SELECT reason = 'another run of the job is under way' FROM batchagg_slots WHERE job_id = $job AND state = 'waiting'",
		'it waits, and batchagg_slots says for what');
	sleep(4);
	is(sql("SELECT count(*) FROM batchagg_runs WHERE job_id = $job") - $ran, 0, '... it is no attempt');
	is(errors_since($place), 0, '... and no error in the log');
	$hand->query_safe('COMMIT');
	wait_for($node, 'postgres', ran($job), 'then it runs', 5);
	is(sql("SELECT max(attempt), count(*) - $ran FROM batchagg_runs WHERE job_id = $job"), '1|2', '... at the first attempt');

	# Between the scheduler's look and the worker's start.
	$hand->query_safe("BEGIN; DELETE FROM batchjob_definitions WHERE job_id = $job");
	make_due($node, 'postgres', $job);
	sleep(3);
	is(sql("SELECT count(*) - $ran FROM batchagg_runs WHERE job_id = $job"), '2', 'a definition that is being deleted: no attempt');
	is(errors_since($place), 0, '... nor an error in the log');
	$hand->query_safe('ROLLBACK');
	wait_for($node, 'postgres', ran($job), 'then it runs', 10);

	# A slot that waits for a retry.
	sql("CREATE TABLE weather (code text); INSERT INTO weather VALUES ('40001'); GRANT SELECT ON weather TO PUBLIC;
		CREATE FUNCTION may_read() RETURNS boolean LANGUAGE plpgsql AS \$\$ DECLARE bad text := (SELECT code FROM public.weather);
		BEGIN IF bad IS NOT NULL THEN RAISE 'bad' USING ERRCODE = bad; END IF; RETURN true; END \$\$;
		CREATE VIEW outdoors AS SELECT * FROM visit WHERE may_read(); GRANT SELECT ON outdoors TO PUBLIC");
	my $retried = make_job($node, 'postgres', owner => 'alice', source => 'outdoors', set => 'max_retries = 10, retry_delay = 1', due => 1);
	wait_for($node, 'postgres', "SELECT attempt >= 1 AND state = 'waiting' FROM batchagg_ledger WHERE job_id = $retried", 'a slot waits for a retry');
	$hand->query_safe("BEGIN; DELETE FROM batchjob_definitions WHERE job_id = $retried");
	sql('UPDATE weather SET code = NULL');
	sleep(4);
	my $attempt = sql("SELECT max(attempt) FROM batchagg_runs WHERE job_id = $retried");
	$hand->query_safe('ROLLBACK');
	wait_for($node, 'postgres', ran($retried), '... which it gets when the job is free again', 15);
	is(sql("SELECT max(attempt) - $attempt FROM batchagg_runs WHERE job_id = $retried"), '1', '... as the next attempt');
	$hand->quit;
	$keeper->quit;
	sql("DELETE FROM batch_jobs WHERE id IN ($job, $retried)");
};

subtest 'cancels' => sub {
	my ($bad, $good, $out, $err, $status);

	sql("CREATE FUNCTION cancelled() RETURNS integer LANGUAGE plpgsql AS \$\$ BEGIN RAISE 'not really' USING ERRCODE = '57014'; END \$\$;
		CREATE VIEW cancelled AS SELECT user_id, ts, cancelled() AS pages FROM visit; GRANT SELECT ON cancelled TO PUBLIC");
	$bad = make_job($node, 'postgres', source => 'cancelled');
	$good = make_job($node, 'postgres');
	for my $call ('batchagg_run_all()', "batchagg_run_event((SELECT event_name FROM batch_jobs WHERE id = $bad))")
	{
		($status, $out, $err) = $node->psql('postgres', "SET client_min_messages = error; SELECT job_id, status FROM $call WHERE job_id IN ($bad, $good) ORDER BY 1");
		is($out, "$bad|failed\n$good|succeeded", "$call: an error of the code of cancels is an error of one job");
	}
	# In the service too, where they run together.
	sql("UPDATE batch_jobs SET owner = 'mallory' WHERE id IN ($bad, $good)");
	make_due($node, 'postgres', $bad, $good);
	wait_for($node, 'postgres', ran($good), 'the service runs the one');
	wait_for($node, 'postgres', slot_is($bad, 'failed'), '... and not the other');

	# A cancel is one of all.
	my $keeper = $node->background_psql('postgres');
	$keeper->query_safe('SELECT pg_advisory_lock(1)');
	my $slow = make_job($node, 'postgres', source => 'gated');
	my $by_hand = IPC::Run::start([ 'psql', '-X', '-At', '-d', $node->connstr('postgres'), '-c', 'SELECT count(*) FROM batchagg_run_all()' ],
		'>', \$out, '2>', \$err);
	wait_for($node, 'postgres', "SELECT count(*) = 1 FROM batchagg_progress WHERE job_id = $slow", 'run_all is at a job');
	sql("SELECT pg_cancel_backend(pid) FROM batchagg_progress WHERE job_id = $slow");
	$by_hand->finish;
	like($err, qr/ERROR:  canceling statement due to user request/, 'a true cancel ends run_all');
	$keeper->quit;
	sql("DELETE FROM batch_jobs WHERE id IN ($bad, $good, $slow)");
	all_is_well('at last');
};

unlike(slurp_file($node->logfile), qr/TRAP|PANIC|signal 11/, 'nothing has crashed');
$node->stop;
done_testing();
