# What the service costs while nothing is due, and while jobs are changed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use List::Util qw(sum);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my $JOBS = 1000;
my $SECONDS = 30;

# Bounds that a busy machine keeps too; on an idle one it is a third of them.
my $IDLE_PERCENT = 0.3;
my $PRIVATE_MB = 20;
my $SECONDS_FOR_CHANGES = 6;

plan skip_all => 'there is no /proc/<pid>/schedstat here' if !-r "/proc/$$/schedstat";

my $node = start_node(conf => "autovacuum = off\nbatchagg.log_level = warning\n");
make_source($node, 'postgres', 100);

# Seconds that a process has been on a processor.
sub seconds
{
	my ($pid) = @_;

	return (split / /, slurp_file("/proc/$pid/schedstat"))[0] / 1e9;
}

# Megabytes that are a process's own.
sub private
{
	my ($pid) = @_;
	my @kilobytes = slurp_file("/proc/$pid/smaps_rollup") =~ /^Private_\w+: +(\d+) kB/mg;

	return sum(@kilobytes) / 1024;
}

# Waits until a process has not been on a processor for a while.
sub settle
{
	my ($pid) = @_;
	my ($before, $now) = (-1, seconds($pid));

	for (1 .. 60)
	{
		last if $now - $before < 0.001;
		sleep(1);
		($before, $now) = ($now, seconds($pid));
	}
}

# Jobs of many kinds that are not due before the year is over: none in the minutes
# that the test takes.
$node->safe_psql('postgres', <<"SQL");
WITH job AS (INSERT INTO batch_jobs (event_name)
		SELECT format('%s %s %s %s *', i % 60, i % 24, 1 + i % 28, 1 + (extract(month FROM now())::integer + 5) % 12)
		FROM generate_series(1, $JOBS) i RETURNING id),
	definition AS (INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
		SELECT id, 'user', 'visit', '1-hour' FROM job)
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT id, 'pages', 'sum,median' FROM job;
SQL
is($node->safe_psql('postgres', 'SELECT count(*) FROM batchagg_expected_slots() WHERE slot IS NULL'), $JOBS, "$JOBS jobs, none due");
my ($launcher) = activity($node, 'launcher');
my ($scheduler) = activity($node, 'scheduler');
settle($scheduler);

# Nothing is due.
my ($of_launcher, $of_scheduler) = (seconds($launcher), seconds($scheduler));
sleep($SECONDS);
$of_launcher = seconds($launcher) - $of_launcher;
$of_scheduler = seconds($scheduler) - $of_scheduler;
my $percent = 100 * ($of_launcher + $of_scheduler) / $SECONDS;
cmp_ok($percent, '<', $IDLE_PERCENT, sprintf('idle with %d jobs: %.4f %% of a processor (launcher %.2f ms, scheduler %.2f ms in %d s)',
	$JOBS, $percent, 1000 * $of_launcher, 1000 * $of_scheduler, $SECONDS));
my $size = private($scheduler);
cmp_ok($size, '<', $PRIVATE_MB, sprintf('the scheduler has %.1f MB of its own, the launcher %.1f MB', $size, private($launcher)));

# Jobs are changed, one at a time.
my $before = seconds($scheduler);
my $began = time();
$node->safe_psql('postgres', <<"SQL");
DO \$\$
BEGIN
	FOR i IN 1 .. 200 LOOP
		UPDATE batch_jobs SET job_timeout = i WHERE id = i;
		COMMIT;
		PERFORM pg_sleep(0.01);
	END LOOP;
END \$\$
SQL
my $took = time() - $began;
settle($scheduler);
my $used = seconds($scheduler) - $before;
cmp_ok($used, '<', $SECONDS_FOR_CHANGES, sprintf('200 changes of %d jobs, in %.1f s: %.2f s of the scheduler', $JOBS, $took, $used));
my $grown = private($scheduler);
cmp_ok($grown - $size, '<', 4, sprintf('... which has %.1f MB of its own after that', $grown));

# The time of one change, from its commit to a run that it makes due.
$began = time();
$node->safe_psql('postgres',
	"UPDATE batch_jobs SET event_name = '* * * * *', scheduled_from = now() - interval '1 hour' WHERE id = 7;
	 UPDATE batch_jobs SET scheduled_from = now() - interval '1 hour' WHERE id = 7");
wait_for($node, 'postgres', "SELECT count(*) > 0 FROM batchagg_ledger WHERE job_id = 7 AND state = 'done'", 'a job made due is run', 10);
is($node->safe_psql('postgres', 'SELECT count(*) FROM batchagg_ledger WHERE job_id <> 7'), '0', '... and no other');

$node->stop;
done_testing();
