# Workers run as the owners of jobs, whatever has been done to these, and a
# role sees of the service what concerns its own jobs.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my $patience = 60;
# Workers of the service have parallel workers of their own.
my $node = start_node(conf => "autovacuum = off\nmin_parallel_table_scan_size = 0\n");

make_source($node, 'postgres');
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE analyst LOGIN;
CREATE ROLE colleague LOGIN;
CREATE ROLE hermit NOLOGIN;
CREATE ROLE stranger LOGIN;
CREATE ROLE leaver LOGIN;
CREATE ROLE locked_out LOGIN;
CREATE ROLE limited LOGIN CONNECTION LIMIT 0;
GRANT analyst TO colleague;
GRANT SELECT ON visit TO analyst, hermit, leaver, locked_out, limited;
CREATE TABLE private (LIKE visit);
INSERT INTO private SELECT * FROM visit;
ALTER TABLE private ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON private TO PUBLIC;
CREATE POLICY analysts ON private TO analyst USING (user_id < 5);
CREATE POLICY hermits ON private TO hermit USING (user_id >= 15);
CREATE VIEW whoami AS SELECT user_id, ts, pages FROM visit WHERE current_user = 'analyst';
CREATE VIEW whoami_hermit AS SELECT user_id, ts, pages FROM visit WHERE current_user = 'hermit';
GRANT SELECT ON whoami, whoami_hermit TO PUBLIC;
SQL
make_gate($node, 'postgres', 'gated', 1);
$node->safe_psql('postgres', 'REVOKE SELECT ON visit FROM PUBLIC');

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub wait_until { return wait_for($node, 'postgres', $_[0], $_[1], $patience); }
sub as_role
{
	my ($role, $sql) = @_;
	return $node->safe_psql('postgres', $sql, connstr => $node->connstr('postgres') . " user=$role");
}

# A job that is due at once, and how its slot ends.
sub job_ends
{
	my ($state, $what, %job) = @_;
	my $job = make_job($node, 'postgres', due => 1, %job);

	wait_until(slot_is($job, $state), "$what: $state");
	return $job;
}

# A job that is made due once more, and how its slot ends.
sub again_ends
{
	my ($job, $state, $what) = @_;

	make_due($node, 'postgres', $job);
	wait_until(slot_is($job, $state), "$what: $state");
}

# The users that a job has results of.
sub users
{
	my ($job) = @_;
	return sql("SELECT count(DISTINCT entity_id), min(entity_id::integer), max(entity_id::integer) FROM RuleExecutionResults WHERE job_id = $job");
}

my $steady = make_job($node, 'postgres');

subtest 'rights' => sub {
	is(users(job_ends('done', 'row-level security', owner => 'analyst', source => 'private')), '5|0|4', '... decides what is read');
	is(users(job_ends('done', 'owner without login', owner => 'hermit', source => 'private')), '2|15|16', '... too');
	is(users(job_ends('done', 'current user', owner => 'analyst', source => 'whoami')), '17|0|16', '... is the owner');
	is(users(job_ends('done', '... without login', owner => 'hermit', source => 'whoami_hermit')), '17|0|16', '... is the owner');

	my $job = job_ends('failed', 'no privilege', owner => 'stranger');
	is(last_run($node, 'postgres', $job), 'failed|42501', '... recorded');
	like(sql("SELECT reason FROM batchagg_slots WHERE job_id = $job AND state = 'failed'"), qr/permission denied for source "public.visit"/, '... with the reason');
	is(sql("SELECT count(*) FROM batchagg_runs WHERE job_id = $job"), '1', '... and not retried');
	sql('GRANT SELECT ON visit TO stranger');
	again_ends($job, 'done', 'with the privilege');
	sql('REVOKE SELECT ON visit FROM stranger');
};

subtest 'dropped owner' => sub {
	my $job = job_ends('done', 'while the role is there', owner => 'leaver');
	my $place = -s $node->logfile;

	my ($status, $out, $err) = $node->psql('postgres', 'DROP ROLE leaver');
	like($err, qr/role "leaver" cannot be dropped because some objects depend on it/, 'an owner cannot be dropped');
	remove_role($node, 'postgres', 'leaver');
	again_ends($job, 'failed', 'an owner who is gone all the same');
	is(last_run($node, 'postgres', $job), 'failed|42704', '... recorded');
	is(sql("SELECT reason FROM batchagg_slots WHERE job_id = $job"), "owner of job $job does not exist", '... with the reason');
	is(sql("SELECT state FROM batchagg_jobs WHERE job_id = $job"), 'failed', '... in batchagg_jobs too');
	like(log_since($node, $place), qr/LOG:  batchagg job $job in database "postgres" failed: owner of job $job does not exist\n.*HINT:  Set the job's owner/, '... and logged');
	again_ends($steady, 'done', 'other jobs');
	is(as_role('stranger', "SELECT count(*) FROM batchagg_jobs WHERE job_id = $job"), '0', '... and ordinary roles go on');
	sql("UPDATE batch_jobs SET owner = 'analyst' WHERE id = $job");
	wait_until(slot_is($job, 'done'), 'given to another role, the slot is run at once');
};

subtest 'owner dropped while its jobs run' => sub {
	sql('CREATE ROLE brief LOGIN');
	my $keeper = $node->background_psql('postgres');
	my $job;

	$keeper->query_safe('SELECT pg_advisory_lock(1)');
	$job = make_job($node, 'postgres', owner => 'brief', source => 'gated', due => 1);
	wait_until("SELECT count(*) = 1 FROM batchagg_progress WHERE job_id = $job AND phase = 'reading'", 'the run is under way');
	remove_role($node, 'postgres', 'brief');
	$keeper->query_safe('SELECT pg_advisory_unlock(1)');
	wait_until("SELECT state IN ('done', 'failed') FROM batchagg_ledger WHERE job_id = $job", 'it ends');
	note('the slot is ' . sql("SELECT state, reason FROM batchagg_ledger WHERE job_id = $job"));
	again_ends($job, 'failed', 'the next slot');
	$keeper->quit;
	sql("DELETE FROM batch_jobs WHERE id = $job");
};

subtest 'settings of the owner' => sub {
	my @timeouts = ("statement_timeout = '1ms'", "lock_timeout = '1ms'", "idle_in_transaction_session_timeout = '1ms'", "idle_session_timeout = '1ms'");
	push @timeouts, "transaction_timeout = '20ms'" if $node->pg_version >= 17;
	my @settings = (@timeouts, 'default_transaction_read_only = on', 'search_path = nowhere', 'role = stranger',
		'row_security = off', "default_transaction_isolation = 'serializable'", "DateStyle = 'SQL, DMY'",
		"TimeZone = 'Asia/Tokyo'", 'default_transaction_deferrable = on', 'enable_seqscan = off');
	my %job_of;

	for my $number (0 .. $#settings)
	{
		sql("CREATE ROLE odd$number LOGIN; GRANT SELECT ON visit TO odd$number; GRANT stranger TO odd$number; ALTER ROLE odd$number SET $settings[$number]");
		$job_of{$settings[$number]} = make_job($node, 'postgres', owner => "odd$number", due => 1);
	}
	for my $setting (@settings)
	{
		my $job = $job_of{$setting};

		wait_until(slot_is($job, 'done'), $setting);
		is(users($job), '17|0|16', '... is exact');
		is(sql("SELECT runs FROM batchagg_stats WHERE job_id = $job"), '1', '... and counted');
	}

	# No timeout but the job's own ends a run that takes its time, or waits for a lock.
	my $keeper = $node->background_psql('postgres');
	my %slow;
	$keeper->query_safe('SELECT pg_advisory_lock(1)');
	for my $number (0 .. $#timeouts)
	{
		$slow{$timeouts[$number]} = make_job($node, 'postgres', owner => "odd$number", source => 'gated', due => 1);
	}
	wait_until("SELECT count(*) = " . scalar(@timeouts) . " FROM pg_stat_activity WHERE backend_type = 'batchagg worker' AND wait_event_type = 'Lock'",
		'runs wait for a lock');
	sleep(1);
	$keeper->query_safe('SELECT pg_advisory_unlock(1)');
	for my $timeout (@timeouts)
	{
		wait_until(slot_is($slow{$timeout}, 'done'), "$timeout does not end a run");
		is(sql("SELECT max(attempt) FROM batchagg_runs WHERE job_id = $slow{$timeout}"), '1', '... at its first attempt');
	}
	$keeper->quit;

	# An error is the job's, whatever the owner's sessions make of one.
	sql("CREATE ROLE strict LOGIN; ALTER ROLE strict SET exit_on_error = on;
		CREATE VIEW dividing AS SELECT user_id, ts, pages / (pages - pages) AS pages FROM visit; GRANT SELECT ON dividing TO strict");
	my $strict = make_job($node, 'postgres', owner => 'strict', source => 'dividing', due => 1);
	wait_until(slot_is($strict, 'failed'), 'exit_on_error');
	like(sql("SELECT reason FROM batchagg_slots WHERE job_id = $strict"), qr/division by zero/, '... does not hide the error');

	# Those of the database; our own sessions are spared.
	local $ENV{PGOPTIONS} = '-c default_transaction_read_only=off -c statement_timeout=0 -c role=none -c exit_on_error=off';
	sql("ALTER DATABASE postgres SET $_") for "default_transaction_read_only = on", "statement_timeout = '1ms'", "role = 'stranger'",
		'exit_on_error = on';
	sql('SELECT batchagg_stop()');
	sql('SELECT batchagg_start()');
	my $job = make_job($node, 'postgres', owner => 'hermit', due => 1);
	make_due($node, 'postgres', $steady);
	wait_until(slot_is($steady, 'done'), 'settings of the database');
	wait_until(slot_is($job, 'done'), '... and an owner without login');
	sql('ALTER DATABASE postgres RESET ALL');
	sql('SELECT batchagg_stop()');
	sql('SELECT batchagg_start()');
};

subtest 'owners that cannot connect' => sub {
	my ($job, $before, $place);

	job_ends('done', 'CONNECTION LIMIT 0', owner => 'limited');

	$before = sql("SELECT count(*) FROM batchagg_runs");
	$place = -s $node->logfile;
	sql('REVOKE CONNECT ON DATABASE postgres FROM PUBLIC');
	$job = job_ends('failed', 'no right to connect', owner => 'locked_out', set => 'max_retries = 2, retry_delay = 1');
	note('no right to connect: ' . sql("SELECT status, error_sqlstate, error_message, attempt, round(extract(epoch FROM started_at - lag(started_at) OVER (ORDER BY run_id))::numeric, 2)
		FROM batchagg_runs WHERE job_id = $job ORDER BY run_id"));
	is(sql("SELECT count(*), max(attempt) FROM batchagg_runs WHERE job_id = $job"), '3|3', '... is recorded and retried');
	is( sql("SELECT bool_and(wait > 0.7 * 2 ^ (attempt - 2)) FROM (SELECT attempt, extract(epoch FROM started_at - lag(started_at) OVER (ORDER BY run_id)) AS wait FROM batchagg_runs WHERE job_id = $job) r"),
		't', '... with pauses');
	like(log_since($node, $place), qr/FATAL:  permission denied for database "postgres"/, '... and the log says why');
	isnt(sql("SELECT reason FROM batchagg_slots WHERE job_id = $job"), '', '... and the slot has a reason');
	again_ends($steady, 'done', 'other jobs');
	sql('GRANT CONNECT ON DATABASE postgres TO PUBLIC');
	again_ends($job, 'done', 'with that right');
};

subtest 'what roles see' => sub {
	my $mine = job_ends('done', 'a job of a role', owner => 'analyst');
	my $keeper = $node->background_psql('postgres');
	my $gated;

	$keeper->query_safe('SELECT pg_advisory_lock(1)');
	$gated = make_job($node, 'postgres', owner => 'analyst', source => 'gated', due => 1);
	wait_until("SELECT count(*) = 1 FROM batchagg_progress WHERE phase = 'reading'", '... and one that runs');
	for my $view (qw(batchagg_jobs batchagg_slots batchagg_runs batchagg_stats batchagg_progress batchagg_ledger))
	{
		my $all = sql("SELECT count(*) FROM $view");
		my $of_role = $view eq 'batchagg_progress' ? 1
		  : sql("SELECT count(*) FROM $view WHERE job_id IN (SELECT id FROM batch_jobs WHERE owner = 'analyst'::regrole)");
		my $seen = as_role('analyst', "SELECT count(*) FROM $view");

		note("$view: $seen of $all");
		is($seen, $of_role, "$view: the owner sees its own");
		is(as_role('colleague', "SELECT count(*) FROM $view"), $of_role, '... its members too');
		cmp_ok($all, '>', $seen, '... not those of others') if $view ne 'batchagg_progress';
		is(as_role('stranger', "SELECT count(*) FROM $view WHERE job_id IN ($mine, $gated)"), '0', '... strangers nothing');
	}
	$keeper->query_safe('SELECT pg_advisory_unlock(1)');
	wait_until(slot_is($gated, 'done'), 'it ends');
	for my $statement ("INSERT INTO batchagg_ledger (job_id, slot, state) VALUES ($mine, now(), 'done')", "UPDATE batchagg_ledger SET state = 'done'",
		'DELETE FROM batchagg_ledger', 'TRUNCATE batchagg_ledger', 'DELETE FROM batchagg_runs', 'UPDATE batchagg_counters SET runs = 0',
		'SELECT nextval(\'batchagg_runs_run_id_seq\')')
	{
		my ($status, $out, $err) = $node->psql('postgres', $statement, connstr => $node->connstr('postgres') . ' user=analyst');
		like($err, qr/ERROR:  permission denied for (table|sequence)/, $statement);
	}
	my ($status, $out, $err) = $node->psql('postgres', "UPDATE batch_jobs SET owner = 'stranger' WHERE id = $mine", connstr => $node->connstr('postgres') . ' user=analyst');
	isnt($status, 0, 'nobody gives jobs to roles whose rights they do not have');
	$keeper->quit;
};

is(sql("SELECT count(*) FROM batchagg_ledger WHERE state IN ('running', 'waiting')"), '0', 'nothing is left open');
$node->stop;
done_testing();
