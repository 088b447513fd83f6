# The service where there is more to do than it may, or can, do at once: how many
# workers there are, who comes first, and what is said of those that wait.

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

my $node = start_node(conf => <<'CONF');
batchagg.max_concurrent_jobs = 3
batchagg.log_level = warning
CONF

# Runs that take some time, little of it a processor's.  Jobs of different sources,
# as those of the same one run together.
sub make_database
{
	my ($database) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	make_source($node, $database, 100);
	$node->safe_psql($database, <<'SQL');
SELECT format('CREATE VIEW slow%s AS WITH s AS MATERIALIZED (SELECT pg_sleep(0.2)) SELECT v.* FROM visit v, s', i)
FROM generate_series(0, 9) i \gexec
GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
SQL
}

make_database($_) for 'one', 'two', 'three';

sub clear
{
	for my $database ('one', 'two', 'three')
	{
		$node->safe_psql($database, 'DELETE FROM batch_jobs');
		wait_for($node, 'postgres',
			"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'batchagg worker' AND datname = '$database'",
			"no worker is left in $database", 30);
		$node->safe_psql($database, 'TRUNCATE batchagg_ledger; DELETE FROM batchagg_runs');
	}
}

# Jobs whose last $minutes slots will be due when start_jobs() is called.
sub prepare_jobs
{
	my ($database, $n, $minutes, %more) = @_;
	my $ids = join(',', make_jobs($node, $database, $n, $minutes, 'slow0',
		event_name => "'* * * * *'", enable_flag => 'false', %more));

	$node->safe_psql($database, "UPDATE batchjob_definitions SET entity = 'slow' || job_id % 10 WHERE job_id IN ($ids)");
}

sub start_jobs
{
	my ($database) = @_;

	$node->safe_psql($database, 'UPDATE batch_jobs SET enable_flag = true WHERE NOT enable_flag');
}

sub flood
{
	my ($database, $n, $minutes) = @_;

	prepare_jobs($database, $n, $minutes);
	start_jobs($database);
}

# Counts workers with a job again and again for some seconds; the most there were,
# and how often that was looked at.  One that ends is still seen for a moment when
# its place has been given to another.
sub most_workers
{
	my ($seconds) = @_;

	return split /\|/, $node->safe_psql('postgres', <<"SQL");
CREATE TEMP TABLE seen (n integer);
DO \$\$
DECLARE
	until timestamptz := clock_timestamp() + $seconds * interval '1 second';
BEGIN
	WHILE clock_timestamp() < until LOOP
		INSERT INTO seen SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'batchagg worker' AND state = 'active';
		PERFORM pg_stat_clear_snapshot(), pg_sleep(0.01);
	END LOOP;
END \$\$;
SELECT max(n), count(*) FROM seen;
SQL
}

# The processor's ticks that a process has used: hundredths of a second.
sub ticks
{
	my ($pid) = @_;
	my @fields = split / /, slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr;

	return $fields[11] + $fields[12];
}

sub log_count
{
	my ($pattern) = @_;

	return scalar(() = slurp_file($node->logfile) =~ /$pattern/g);
}

# Restarts the server, and waits until the launcher has said what it has to say.
# Returns what the log says since.
sub restart
{
	my $offset = -s $node->logfile;
	my $log = '';

	$node->restart;
	for (1 .. 300)
	{
		$log = substr(slurp_file($node->logfile), $offset);
		last if $log =~ /batchagg launcher started/;
		sleep(0.1);
	}
	return $log;
}

#
# Never more workers than allowed, and jobs in turn
#
$node->safe_psql('one', 'CREATE ROLE another');
prepare_jobs('one', 6, 4);
prepare_jobs('one', 4, 6, owner => "'another'");
start_jobs('one');
my ($most, $looks) = most_workers(6);
is($most, 3, "at most 3 workers, in $looks looks, of two owners");
wait_for($node, 'one', "SELECT count(*) = 0 FROM batchagg_slots WHERE state NOT IN ('done', 'late')", 'all slots are run', 60);
my $now = $node->safe_psql('one', "SELECT date_trunc('minute', now()) - interval '1 minute'");
is(accounts($node, 'one', $now), '', 'each exactly once');
note(figures($node, 'one'));

# While a slot of a job waits, no other job of its owner has two turns: the one that
# has waited longest comes first.  (A third start may be of one that ran meanwhile.)
is($node->safe_psql('one', <<'SQL'), '', 'an owner\'s jobs take turns');
SELECT w.job_id, w.slot, l.job_id, count(*)
FROM (SELECT *, greatest(slot, lag(started_at) OVER (PARTITION BY job_id ORDER BY slot)) AS since FROM batchagg_ledger) w
JOIN batchagg_ledger l ON l.job_id <> w.job_id AND l.started_at > w.since AND l.started_at < w.started_at
JOIN batch_jobs wj ON wj.id = w.job_id JOIN batch_jobs lj ON lj.id = l.job_id AND lj.owner = wj.owner
WHERE w.since > w.slot GROUP BY 1, 2, 3 HAVING count(*) > 2 LIMIT 5
SQL
is($node->safe_psql('one', 'SELECT count(DISTINCT owner) FROM batchagg_runs r JOIN batch_jobs j ON j.id = r.job_id'),
	'2', 'jobs of both owners');
clear();

#
# Nobody starves: one database has jobs without end, others have a few
#
flood('one', 8, 60);
wait_for($node, 'postgres', "SELECT count(*) = 3 FROM pg_stat_activity WHERE backend_type = 'batchagg worker' AND datname = 'one'",
	'the flood has all workers');
flood($_, 2, 2) for 'two', 'three';
for my $database ('two', 'three')
{
	wait_for($node, $database, "SELECT count(*) >= 2 FROM batchagg_ledger WHERE state = 'done'", "the few jobs of $database are run", 15);
	my $waited = $node->safe_psql($database, 'SELECT extract(epoch FROM max(l.started_at - greatest(l.slot, j.created_at))) FROM batchagg_ledger l JOIN batch_jobs j ON j.id = l.job_id');
	note("longest wait for a start in $database: $waited s");
	cmp_ok($waited, '<', 10, '... and did not wait long');
}
($most) = most_workers(1);
cmp_ok($most, '<=', 3, 'at most 3 workers');

# With one worker for three databases they take turns.
$node->append_conf('postgresql.conf', 'batchagg.max_concurrent_jobs = 1');
$node->reload;
wait_for($node, 'postgres', "SELECT count(*) <= 1 FROM pg_stat_activity WHERE backend_type = 'batchagg worker'",
	'the limit is lowered while jobs are running', 10);
flood($_, 2, 20) for 'two', 'three';
sleep(1);
my @before = map { $node->safe_psql($_, "SELECT count(*) FROM batchagg_ledger WHERE state = 'done'") } 'one', 'two', 'three';
($most) = most_workers(6);
my @after = map { $node->safe_psql($_, "SELECT count(*) FROM batchagg_ledger WHERE state = 'done'") } 'one', 'two', 'three';
my @ran = map { $after[$_] - $before[$_] } 0 .. 2;
is($most, 1, 'one worker and not more');
cmp_ok((sort { $a <=> $b } @ran)[0], '>=', 2, "three databases take turns with one worker: @ran runs");
like($node->safe_psql('one', "SELECT DISTINCT reason FROM batchagg_slots WHERE state = 'waiting' AND reason LIKE 'waiting for a worker slot%'"),
	qr/^waiting for a worker slot: batchagg\.max_concurrent_jobs \(1\) are in use$/, 'batchagg_slots says what they wait for');
$node->append_conf('postgresql.conf', 'batchagg.max_concurrent_jobs = 6');
$node->reload;
wait_for($node, 'postgres', "SELECT count(*) = 6 FROM pg_stat_activity WHERE backend_type = 'batchagg worker'",
	'the limit is raised', 10);
clear();

#
# max_worker_processes is used up
#
my $said_limit = 'batchagg can run \d+ jobs? at a time, fewer than batchagg\.max_concurrent_jobs';
is(log_count($said_limit), 0, 'so far there is nothing to be said about max_worker_processes');
$node->safe_psql('postgres', 'DROP DATABASE two; DROP DATABASE three');
$node->append_conf('postgresql.conf', "max_worker_processes = 4\nmax_parallel_workers = 4\nbatchagg.max_concurrent_jobs = 2\n");
like(restart(), qr/LOG:  batchagg can run 1 job at a time, fewer than batchagg\.max_concurrent_jobs \(2\), because max_worker_processes is 4\n.*HINT:  Increase max_worker_processes to 5 to run/,
	'the log says that two jobs, two launchers and a scheduler need 5');
flood('one', 3, 3);
wait_for($node, 'one', "SELECT count(*) > 0 FROM batchagg_slots WHERE state = 'waiting'
	AND reason = 'waiting for a worker slot: the limit of 1, set by max_worker_processes (4), is reached'", 'batchagg_slots says what they wait for', 10);
($most) = most_workers(3);
is($most, 1, '... and no more are started');
is(log_count('could not start a worker in database'), 0, '... nor tried to');
$node->safe_psql('one', 'DELETE FROM batch_jobs');
$node->append_conf('postgresql.conf', 'max_logical_replication_workers = 0');
unlike(restart(), qr/$said_limit/, '... of which one is for logical replication');

# A second launcher ends at once; other schedulers take the place of workers.
make_database($_) for 'two', 'three';
wait_for($node, 'postgres', "SELECT count(*) = 3 FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'",
	'a launcher and three schedulers: 4 processes', 30);
flood('one', 3, 3);
wait_for($node, 'one', "SELECT count(*) = 3 FROM batchagg_slots WHERE state = 'waiting'
	AND reason = 'waiting for a worker slot: max_worker_processes (4) are in use'", 'batchagg_slots says what they wait for', 10);
my ($scheduler) = activity($node, 'scheduler', 'one');
my $used = ticks($scheduler);
sleep(6);
$used = ticks($scheduler) - $used;
cmp_ok($used, '<=', 12, sprintf('the scheduler does not spin: %.2f %% of a processor', $used / 6));
is(log_count('could not start a worker in database "one"'), 1, 'the log says so once');
is($node->safe_psql('one', "SELECT count(*) FROM batchagg_ledger"), '0', 'nothing is run, and nothing fails');

# A process comes free: the extension of another database goes.
$node->safe_psql('two', 'DROP EXTENSION batchagg');
wait_for($node, 'one', "SELECT count(*) > 0 FROM batchagg_ledger WHERE state = 'done'", 'with a process that comes free, jobs are run', 10);
wait_for($node, 'one', "SELECT count(*) = 0 FROM batchagg_slots WHERE state NOT IN ('done', 'late')", '... all of them, one at a time', 30);
is(log_count('could not start a worker in database "one"'), 1, 'the log says no more');
note(figures($node, 'one'));

# One process for the workers of two databases: neither starves.
flood('one', 4, 60);
flood('three', 1, 2);
wait_for($node, 'three', "SELECT count(*) >= 2 FROM batchagg_ledger WHERE state = 'done'",
	'a few jobs beside a flood, where there is one process for both', 20);
$node->safe_psql('one', 'DELETE FROM batch_jobs');
wait_for($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'batchagg worker'", 'no worker is left', 15);

# A launcher that cannot start a scheduler.
$node->safe_psql('two', 'CREATE EXTENSION batchagg');
wait_for($node, 'postgres', "SELECT count(*) = 3 FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'", 'the third scheduler is back');
# (It may have had to wait as well, which the log said then.)
my $said = log_count('could not start a scheduler');
$node->safe_psql('postgres', 'CREATE DATABASE four');
$node->safe_psql('four', 'CREATE EXTENSION batchagg');
sleep(5);
is(log_count('could not start a scheduler') - $said, 1, 'the log says once that a scheduler cannot be started');
$node->safe_psql('three', 'DROP EXTENSION batchagg');
$node->safe_psql('one', 'DROP EXTENSION batchagg CASCADE');
wait_for($node, 'postgres', "SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'",
	'with processes that come free, it is started', 10);

# What is said of the limit is said once, until it changes.
my $expected = qr/LOG:  batchagg can run 2 jobs at a time, fewer than batchagg\.max_concurrent_jobs \(5\), because max_worker_processes is 4/;
my $already = log_count($said_limit);
$node->append_conf('postgresql.conf', 'batchagg.max_concurrent_jobs = 5');
$node->reload;
ok($node->wait_for_log($expected), 'SIGHUP: the log says that there are too few processes');
ok($node->wait_for_log(qr/HINT:  Increase max_worker_processes to 7 to run/), '... and what to set');
$node->reload;
my ($status, $stdout, $stderr) = $node->psql('two', 'SELECT batchagg_start()');
is($stdout, 'f', 'the service was running');
is($stderr, '', '... and batchagg_start() does not warn');
sleep(1);
is(log_count($said_limit) - $already, 1, 'the log says it once');
like(restart(), $expected, '... and at each start');

is(log_count('TRAP|PANIC|signal 11'), 0, 'nothing has crashed');
$node->stop;
done_testing();
