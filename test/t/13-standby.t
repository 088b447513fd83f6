# Where the service must not work: on a standby, until it is promoted; in a server
# that pg_upgrade has started; in single-user mode.  What it has done before it
# does not do again after a promotion.

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

my $processes = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'batchagg%'";

my $primary = start_node(name => 'primary', allows_streaming => 1,
	conf => "batchagg.max_concurrent_jobs = 2\n");
make_source($primary, 'postgres', 5000);
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
make_jobs($primary, 'postgres', 3, 400);

# The standby.
wait_for($primary, 'postgres', 'SELECT count(*) > 100 FROM batchagg_runs', 'the primary works off a backlog', 60);
wait_for($standby, 'postgres', 'SELECT count(*) > 100 FROM batchagg_runs', '... as the standby sees');
is($standby->safe_psql('postgres', $processes), 0, '... which has no process of the service');
my ($status, $stdout, $stderr) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT batchagg_start()");
isnt($status, 0, 'batchagg_start() there');
like($stderr, qr/ERROR:  25006: cannot execute batchagg_start\(\) during recovery/, '... gives a clear error');
is($standby->safe_psql('postgres', 'SELECT batchagg_stop()'), 'f', 'batchagg_stop() has nothing to stop');
($status, $stdout, $stderr) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT * FROM batchagg_run_due()");
like($stderr, qr/ERROR:  25006: cannot execute batchagg_run_due\(\) in a read-only transaction/, 'batchagg_run_due() neither');
is($standby->safe_psql('postgres', "SELECT count(*) > 0 AND bool_and(reason = 'the service is not running' OR reason LIKE 'the run of slot % is under way') FROM batchagg_slots WHERE state = 'waiting' AND attempt = 0"),
	't', 'batchagg_slots says why slots wait');
is($standby->safe_psql('postgres', $processes), 0, 'still there is no process');
unlike(slurp_file($standby->logfile), qr/batchagg (launcher|scheduler)/, '... nor was there one');

# Its promotion, in the middle of runs.
$primary->stop('immediate');
my $waiting = $standby->safe_psql('postgres', "SELECT sum(slots) FROM batchagg_slots WHERE state = 'waiting'");
cmp_ok($waiting, '>', 100, "$waiting slots wait when the primary dies");
my $known = $standby->safe_psql('postgres', 'SELECT coalesce(max(run_id), 0) FROM batchagg_runs');
my $began = time();
$standby->promote;
my $promoted = time();
my $took = try_for($standby, 'postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'", 30);
cmp_ok($took // 30, '<', 5, sprintf('the service lives %.2f s after the promotion, which took %.2f s', $took // 30, $promoted - $began));
$took = try_for($standby, 'postgres', "SELECT count(*) > 0 FROM batchagg_runs WHERE run_id > $known AND status = 'succeeded'", 30);
cmp_ok($took // 30, '<', 10, sprintf('a slot is done %.2f s later', $took // 30));
my $until = $standby->safe_psql('postgres', "SELECT date_trunc('minute', clock_timestamp())");
wait_for($standby, 'postgres', "SELECT count(*) = 3 FROM batchagg_ledger WHERE slot = '$until' AND state = 'done'",
	'the backlog is worked off', 120);
is(accounts($standby, 'postgres', $until), '', 'each slot is done, by one run, there or here');
is(exact($standby, 'postgres'), 't|0', 'the results are exact');
note(figures($standby, 'postgres'));
note($standby->safe_psql('postgres', "SELECT count(*) || ' runs were the primary''s' FROM batchagg_runs WHERE run_id <= $known"));
$standby->stop;

# What pg_upgrade starts.
my $data = $standby->data_dir;
my $log = PostgreSQL::Test::Utils::tempdir() . '/upgrade.log';
command_ok(
	[ 'pg_ctl', '-w', '-D', $data, '-l', $log, '-o', '-p ' . $standby->port . ' -b -c synchronous_commit=off -c fsync=off -c full_page_writes=off', 'start' ],
	'server in binary upgrade mode');
sleep(2);
is($standby->safe_psql('postgres', $processes), 0, '... has no process of the service');
($status, $stdout, $stderr) = $standby->psql('postgres', 'SELECT batchagg_start()');
like($stderr, qr/ERROR:  the service of batchagg cannot run in binary upgrade mode/, '... and gets none');
is($standby->safe_psql('postgres', 'SELECT count(*) > 0 FROM RuleExecutionResults'), 't', '... results can be read');
command_ok([ 'pg_ctl', '-w', '-D', $data, '-m', 'smart', 'stop' ], '... it stops');
unlike(slurp_file($log), qr/batchagg launcher/, '... and there was no launcher');

# Single-user mode.
for my $preloaded (1, 0)
{
	my ($input, $output) = ("SELECT status, run_id FROM batchagg_run_job(1);\nSELECT batchagg_start();\n", '');

	IPC::Run::run(
		[ 'postgres', '--single', '-F', '-D', $data, $preloaded ? () : ('-c', 'shared_preload_libraries='), 'postgres' ],
		'<', \$input, '>', \$output, '2>&1', IPC::Run::timeout(60));
	like($output, qr/status = "succeeded"/, 'single-user mode: a job is run, the library ' . ($preloaded ? '' : 'not ') . 'preloaded');
	like($output, qr/ERROR:  the service of batchagg cannot run in single-user mode/, '... there is no service');
	unlike($output, qr/batchagg launcher started|PANIC|TRAP/, '... nor a sign of it');
}

$standby->start;
wait_for($standby, 'postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'",
	'a start as usual: the service lives');
is(exact($standby, 'postgres'), 't|0', '... the results are exact');
$standby->stop;
done_testing();
