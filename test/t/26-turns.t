# Whose turn it is where workers are scarce: nobody's jobs wait for those of somebody
# who has thousands of them, or one that takes long.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = start_node(conf => <<'CONF');
batchagg.max_concurrent_jobs = 1
batchagg.log_level = warning
batchagg.retry_delay = 60
autovacuum = off
CONF

make_source($node, 'postgres', 100);
$node->safe_psql('postgres', 'CREATE ROLE alice LOGIN; CREATE ROLE mallory LOGIN; CREATE ROLE bob LOGIN; GRANT SELECT ON visit TO PUBLIC');
make_gate($node, 'postgres', 'gated', 1);

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub as_role
{
	my ($role, $sql) = @_;
	return $node->safe_psql('postgres', $sql, connstr => $node->connstr('postgres') . " user=$role");
}

# Runs that begin while the scheduler is told of a slot, or sees that its time has come, on a busy machine
# as well.  Where turns are not taken by owner, there are thousands.
my $FEW = 500;

my $keeper = $node->background_psql('postgres');
sub shut { $keeper->query_safe('SELECT pg_advisory_lock(1)'); }
sub open_gate { $keeper->query_safe('SELECT pg_advisory_unlock(1)'); }

# Seconds until the next full minute, and the server's time then.
sub next_minute
{
	return split /\|/, sql("SELECT extract(epoch FROM t - clock_timestamp()), t FROM (SELECT date_trunc('minute', clock_timestamp()) + interval '1 minute') n (t)");
}

subtest 'a job that takes longer than the time between its slots' => sub {
	my ($first, @others, $slot, $wait);

	# All are planned before their slots come.  The first one has the lowest number.
	$first = make_job($node, 'postgres', event => 'EVERYMINUTE', source => 'gated');
	push @others, make_job($node, 'postgres', event => 'EVERYMINUTE') for 1 .. 3;
	# Jobs of one source would run together.
	for my $job (@others)
	{
		sql("CREATE VIEW visit$job AS SELECT * FROM visit; UPDATE batchjob_definitions SET entity = 'visit$job' WHERE job_id = $job");
	}
	shut();
	($wait, $slot) = next_minute();
	wait_for($node, 'postgres', "SELECT count(*) = 1 FROM batchagg_progress WHERE job_id = $first AND phase = 'reading'",
		'the first job has the only worker', 70);
	($wait) = next_minute();
	sleep($wait + 1);
	open_gate();
	wait_for($node, 'postgres', "SELECT count(*) = 3 FROM batchagg_ledger WHERE state = 'done' AND job_id <> $first",
		'the others run, each once', 20);
	is(sql("SELECT count(*) FROM batchagg_ledger o WHERE o.job_id <> $first AND o.started_at > (
			SELECT max(started_at) FROM batchagg_ledger WHERE job_id = $first AND slot > '$slot')"),
		'0', '... before the first one has its next turn');
	sql('DELETE FROM batch_jobs');
};

# How many slots of a job were run, before how many runs of others at most each of them
# had to wait, and how long, in milliseconds.
sub turns
{
	my ($job) = @_;
	return split /\|/, sql("SELECT count(*), max((SELECT count(*) FROM batchagg_runs o
			WHERE o.job_id <> $job AND o.started_at >= greatest(l.slot, j.created_at) AND o.started_at < l.started_at)),
			(extract(epoch FROM max(started_at - slot)) * 1000)::integer
		FROM batchagg_ledger l JOIN batch_jobs j ON j.id = l.job_id WHERE l.job_id = $job AND l.state = 'done'");
}

subtest 'one job with a slot for each minute of years' => sub {
	my ($hog) = make_jobs($node, 'postgres', 1, 10_000_000, 'visit', event_name => "'EVERYMINUTE'");
	my ($job, $before);

	wait_for($node, 'postgres', "SELECT count(*) > 20 FROM batchagg_ledger WHERE job_id = $hog AND state = 'done'", 'it runs slot after slot');
	$job = make_job($node, 'postgres', due => 1);
	wait_for($node, 'postgres', ran($job), '... and another of the same role gets its turn');
	(undef, $before) = turns($job);
	cmp_ok($before, '<', $FEW, '... before long');
	sql('DELETE FROM batch_jobs');
};

subtest 'one role with thousands of jobs and years of slots' => sub {
	my $n = $ENV{BATCHAGG_HOG} || 3000;
	my $job = make_job($node, 'postgres', event => 'EVERYMINUTE', owner => 'alice');
	my ($wait, $count, $before, $late);

	# Different schedules, sources and policies: nothing can be shared.
	as_role('mallory', <<"SQL");
INSERT INTO batch_jobs (event_name, missed_runs, scheduled_from, enable_flag)
SELECT CASE i % 4 WHEN 0 THEN 'EVERYMINUTE' WHEN 1 THEN format('%s %s * * *', i % 60, i / 60 % 24)
	WHEN 2 THEN format('%s,%s * * * *', i % 60, i / 60 % 60) ELSE '0 0 29 2 1' END,
	(ARRAY['each', 'coalesce', 'skip'])[i % 3 + 1], '2000-01-01', false FROM generate_series(1, $n) i;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
SELECT id, 'user', 'visit', '1-hour' FROM batch_jobs;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT id, 'pages', 'sum' FROM batch_jobs;
UPDATE batch_jobs SET enable_flag = true;
SQL
	# ... and they change all the time.
	my $changer = $node->background_psql('postgres');
	$changer->query_safe('SET SESSION AUTHORIZATION mallory');
	($wait) = next_minute();
	for my $minute (1 .. 2)
	{
		my $until = time() + ($minute == 1 ? $wait : 60) + 5;

		while (time() < $until)
		{
			$changer->query_safe('UPDATE batch_jobs SET job_name = clock_timestamp()::text WHERE id = (SELECT min(id) FROM batch_jobs)');
			sleep(0.1);
		}
	}
	$changer->quit;
	($count, $before, $late) = turns($job);
	note("$n jobs of one role beside it, $count slots of the other's job: $before runs of the many before one, $late ms late, at most; "
		. sql("SELECT count(*) FROM batchagg_ledger WHERE job_id <> $job") . ' slots of the many');
	cmp_ok($count, '>=', 2, 'each slot of the other role\'s job is run');
	cmp_ok($before, '<', $FEW, '... and few of the many before it');
	cmp_ok(sql("SELECT count(*) FROM batchagg_runs WHERE job_id <> $job"), '>', 50, 'the role with many has its turns too');
	is(sql("SELECT concat(status, ' ', error_message) FROM batchagg_runs WHERE status <> 'succeeded' LIMIT 5"), '', 'nothing has failed');
	sql('DELETE FROM batch_jobs');
};

subtest 'runs that do not end' => sub {
	my ($job, @hogs);

	set_conf($node, 'batchagg.max_concurrent_jobs' => 3);
	shut();
	for my $i (1 .. 4)
	{
		sql("CREATE VIEW gated$i AS SELECT * FROM gated; GRANT SELECT ON gated$i TO PUBLIC");
		push @hogs, make_job($node, 'postgres', owner => 'mallory', source => "gated$i", due => 1);
	}
	wait_for($node, 'postgres', "SELECT count(*) = 3 FROM batchagg_progress WHERE phase = 'reading'", 'a role alone has all workers');
	$job = make_job($node, 'postgres', owner => 'alice');
	open_gate();
	wait_for($node, 'postgres', ran($_), "job $_ ends") for @hogs;
	shut();
	make_due($node, 'postgres', @hogs);
	wait_for($node, 'postgres', "SELECT count(*) = 2 FROM batchagg_progress WHERE phase = 'reading'", 'beside another it leaves one to that');
	wait_for($node, 'postgres', "SELECT count(*) = 2 FROM batchagg_slots WHERE state = 'waiting' AND reason = 'waiting for a worker slot: the last one is kept for jobs of other roles'",
		'... and batchagg_slots says so');
	make_due($node, 'postgres', $job);
	wait_for($node, 'postgres', ran($job), '... which runs at once');
	is(sql("SELECT count(*) FROM batchagg_progress WHERE phase = 'reading'"), '2', '... beside the runs that do not end');
	open_gate();
	wait_for($node, 'postgres', ran($_), "job $_ ends") for @hogs;
	sql('DELETE FROM batch_jobs');
};

subtest 'retries' => sub {
	my $job;

	sql("CREATE FUNCTION busy() RETURNS integer LANGUAGE plpgsql AS \$\$ BEGIN RAISE '%', repeat('x', 100000) USING ERRCODE = '40001'; END \$\$;
		CREATE VIEW busy AS SELECT user_id, ts, busy() AS pages FROM visit; GRANT SELECT ON busy TO PUBLIC");
	my $place = -s $node->logfile;
	$job = make_job($node, 'postgres', owner => 'mallory', source => 'busy', set => 'max_retries = 1000, retry_delay = 0', due => 1);
	sleep(8);
	cmp_ok(sql("SELECT count(*) FROM batchagg_runs WHERE job_id = $job"), '<=', 5, 'attempts have pauses in between, whatever the job says');
	wait_for($node, 'postgres', "SELECT count(*) >= 2 FROM batchagg_runs WHERE job_id = $job", '... and there are some');
	cmp_ok(sql("SELECT max(octet_length(error_message)) FROM batchagg_runs"), '<', 5000, 'long messages are not recorded whole');
	cmp_ok(sql("SELECT max(octet_length(reason)) FROM batchagg_ledger"), '<', 10000, '... nor in the ledger');
	sql("DELETE FROM batch_jobs");
};

subtest 'mappings of others' => sub {
	my ($job, $runs);

	sql('CREATE VIEW failing AS SELECT user_id, ts, pages / (pages - pages) AS pages FROM visit; GRANT SELECT ON failing TO PUBLIC');
	$job = make_job($node, 'postgres', owner => 'alice', source => 'failing', due => 1);
	wait_for($node, 'postgres', slot_is($job, 'failed'), 'a slot has failed');
	for my $i (1 .. 5)
	{
		as_role('mallory', "SET client_min_messages = error; INSERT INTO metricsandtables (metricname, tablename) VALUES ('pages', 'nowhere$i')");
		sleep(0.4);
	}
	sleep(2);
	is(sql("SELECT count(*) FROM batchagg_runs WHERE job_id = $job"), '1', 'mappings of another role do not have it tried again');
	as_role('alice', "SET client_min_messages = error; INSERT INTO metricsandtables (metricname, tablename) VALUES ('pages', 'visit')");
	wait_for($node, 'postgres', "SELECT count(*) > 1 FROM batchagg_runs WHERE job_id = $job", 'one of its owner does');
	as_role('alice', 'DELETE FROM metricsandtables');
	sql('DELETE FROM batch_jobs');
};

$keeper->quit;
unlike(slurp_file($node->logfile), qr/TRAP|PANIC|signal 11/, 'nothing has crashed');
$node->stop;
done_testing();
