# A run keeps to its memory, however many groups it has and however large they are.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the memory of a process is looked up in /proc' unless -r '/proc/self/status';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# Pages of shared memory count as a process's own once it has touched them.
$node->append_conf('postgresql.conf', <<'CONF');
shared_buffers = 8MB
fsync = off
autovacuum = off
CONF
$node->start;

# Two million groups, of which none comes twice: about 300 MB of states.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION batchagg;
CREATE VIEW visit AS
SELECT 'user ' || i % 400009 AS user_id, i % 400009 AS line_id, '2024-01-01 00:00+00'::timestamptz + i / 400009 * interval '1 hour' AS ts, i::float8 AS pages
FROM generate_series(1, 2000000) i;
CREATE VIEW points AS SELECT 1 AS user_id, '2024-01-01 00:00+00'::timestamptz + CASE WHEN i % 100 = 0 THEN i / 100 % 5 ELSE 0 END * interval '1 day' AS ts,
	i::bigint * 7919 % 3000017 AS pages
FROM generate_series(1, 3000000) i;
INSERT INTO batch_jobs (event_name) SELECT 'EVERYHOUR' FROM generate_series(1, 3);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
VALUES (1, 'user', 'visit', '1-hour'), (2, 'line', 'visit', '1-hour'), (2, 'line', 'visit', '1-day'), (3, 'user', 'points', '1-day'), (3, 'user', 'points', '1-month');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (1, 'pages', 'sum,min,max,std,first,last'), (2, 'pages', 'sum,p95'), (3, 'pages', 'p95,median,distinct');
SQL

# A process's own memory at its peak, in kB.
sub peak_memory
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m ? $1 : die;
}

# How much more than a session that does nothing a dry run takes, in kB, and
# the number of groups it had.
sub memory_of_run
{
	my ($job, $work_mem) = @_;
	my ($input, $output, $errors) = ("SELECT pg_backend_pid();\nSELECT count(*) FROM batchagg_run_job(99);\n", '', '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$input, '>', \$output, '2>', \$errors,
		IPC::Run::timeout(600));
	my ($pid, $before, $groups);

	$session->pump until $output =~ /\n/ && $errors =~ /does not exist/;
	($pid) = $output =~ /^(\d+)\n/;
	$before = peak_memory($pid);
	$output = '';
	$input = "SET batchagg.work_mem = '$work_mem';\nSELECT 'groups', groups FROM batchagg_run_job($job, true);\n";
	$session->pump until $output =~ /groups\|(\d+)\n/;
	$groups = $1;
	$before = peak_memory($pid) - $before;
	$input = "\\q\n";
	$session->finish;
	return ($before, $groups);
}

# What malloc() keeps of memory that was freed, in large pieces of different sizes, is
# up to 20 MB; the contexts' own sum is within the setting.
for my $case (
	[ 'text ids', 1, '16MB', 16 * 1024 ],
	[ 'text ids', 1, '64MB', 64 * 1024 ],
	[ 'integer ids at two granularities', 2, '32MB', 32 * 1024 ])
{
	my ($what, $job, $work_mem, $kilobytes) = @$case;
	my ($memory, $groups) = memory_of_run($job, $work_mem);

	note(sprintf('%s: %d groups in work_mem %s: %.1f MB', $what, $groups, $work_mem, $memory / 1024));
	cmp_ok($groups, '>', 1900000, "$what: many groups");
	cmp_ok($memory, '<', $kilobytes * 1.25 + 20 * 1024, "... within $work_mem");
}

my ($ample) = memory_of_run(1, '1GB');
note(sprintf('text ids with ample memory: %.1f MB', $ample / 1024));
cmp_ok($ample, '>', 128 * 1024, 'with ample memory it is used');

# Values for percentiles go to files too, even where nearly all are one group's: 24 MB.
for my $work_mem (4, 16)
{
	my ($memory) = memory_of_run(3, "${work_mem}MB");

	note(sprintf('3,000,000 values of one group in work_mem %dMB: %.1f MB', $work_mem, $memory / 1024));
	cmp_ok($memory, '<', ($work_mem * 1.25 + 12) * 1024, "a group's values within ${work_mem}MB");
}

$node->stop;
done_testing();
