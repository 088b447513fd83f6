# The service in a server with many databases: each that has the extension is
# served, however it comes and goes; and the service stands in the way of no
# command that needs a database for itself.

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

my $node = start_node(conf => "batchagg.log_level = warning\nmax_worker_processes = 24\n");

# Psql's answer: what it said on stderr, or '' where all went well; and seconds.
sub command
{
	my ($database, $sql, @more) = @_;
	my $began = time();
	my ($status, $stdout, $stderr) = $node->psql($database, $sql, @more);

	return ($status == 0 ? '' : $stderr, time() - $began);
}

# The command works, within some seconds.
sub works
{
	my ($sql, $what, $seconds) = @_;
	my ($error, $took) = command('postgres', $sql);

	is($error, '', sprintf('%s (%.2f s)', $what // $sql, $took));
	cmp_ok($took, '<', $seconds // 5, '... without waiting');
	return $took;
}

# Waits until a database has one scheduler, or none; fails where not in time.
sub served
{
	my ($database, $what, $seconds) = @_;

	return wait_for($node, 'postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler' AND datname = '$database'",
		$what // "$database is served", $seconds // 10);
}

sub deserted
{
	my ($database, $what, $seconds) = @_;

	return wait_for($node, 'postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'batchagg %' AND datname = '$database'",
		$what // "nobody of the service is in $database", $seconds // 15);
}

# A database with the extension and a source; a view whose scan takes a while.
sub make_database
{
	my ($name) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	make_source($node, $name, 300);
	$node->safe_psql($name,
		'CREATE VIEW slow AS WITH s AS MATERIALIZED (SELECT pg_sleep(3)) SELECT v.* FROM visit v, s;
		 CREATE VIEW endless AS WITH s AS MATERIALIZED (SELECT pg_sleep(1000)) SELECT v.* FROM visit v, s;');
}

# One job, each slot of which is to be run, from $minutes minutes ago on.
sub add_job
{
	my ($database, $minutes, $source) = @_;

	return (make_jobs($node, $database, 1, $minutes, $source // 'visit', event_name => "'* * * * *'"))[0];
}

# All slots up to now are run, each once, and the results are right.  Those that wait
# are one row, whose slot, the last, may be of a minute that has begun since.
sub all_well
{
	my ($database, $what, $which) = @_;
	my $now = $node->safe_psql($database, "SELECT date_trunc('minute', now())");
	my $wanted = $which // 'true';

	wait_for($node, $database,
		"SELECT count(*) = 0 FROM batchagg_slots WHERE first_slot <= '$now' AND state NOT IN ('done', 'late') AND $wanted",
		"$what: all slots are dealt with", 60);
	is(accounts($node, $database, $now, $which), '', "$what: each slot exactly once");
	is(exact($node, $database), 't|0', "$what: the results are exact") if !$which;
}

# A command given while a run is under way; waits for that to begin first.
sub run_under_way
{
	my ($database, $job) = @_;

	wait_for($node, 'postgres',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = '$database' AND backend_type = 'batchagg worker' AND wait_event = 'PgSleep'",
		"a run is under way in $database", 20);
}

sub log_count
{
	my ($pattern) = @_;
	my $log = slurp_file($node->logfile);

	return scalar(() = $log =~ /$pattern/g);
}

#
# Two databases
#
make_database('one');
make_database('two');
served('one');
served('two');
add_job($_, 5), add_job($_, 3) for 'one', 'two';
all_well($_, "database $_") for 'one', 'two';
is(scalar(activity($node, 'launcher')), 1, 'there is one launcher');
is(scalar(activity($node, 'scheduler')), 2, '... and a scheduler for each of the two');

#
# The extension comes and goes
#
$node->safe_psql('postgres', 'CREATE DATABASE three');
$node->safe_psql('three', 'CREATE EXTENSION batchagg');
served('three', 'CREATE EXTENSION is noticed', 5);
$node->safe_psql('three', 'DROP EXTENSION batchagg');
deserted('three', 'DROP EXTENSION ends the scheduler', 5);
make_source($node, 'three', 100);
served('three', 'CREATE EXTENSION is noticed again', 5);
add_job('three', 2);
all_well('three', 'the extension created again');

# A DROP EXTENSION that stays open for longer than the scheduler waits for locks,
# while there is something to do.
my $failures = log_count('lock timeout');
$node->safe_psql('three', 'CREATE VIEW brief AS WITH s AS MATERIALIZED (SELECT pg_sleep(0.1)) SELECT v.* FROM visit v, s');
add_job('three', 60, 'brief');
is((command('three', 'BEGIN; DROP EXTENSION batchagg CASCADE; SELECT pg_sleep(7); ROLLBACK'))[0], '',
	'DROP EXTENSION is rolled back');
add_job('three', 2);
served('three', 'the service goes on', 20);
all_well('three', 'after DROP EXTENSION was rolled back');
note('messages of lock timeouts meanwhile: ' . (log_count('lock timeout') - $failures));

#
# Commands that need a database for themselves
#

add_job('three', 1);
all_well('three', 'before it is renamed');
works('ALTER DATABASE three RENAME TO drei');
served('drei', 'the service goes on under the new name', 5);
add_job('drei', 2);
all_well('drei', 'after the new name');

my $before = $node->safe_psql('drei', 'SELECT count(*) FROM batchagg_ledger');
add_job('drei', 1);
all_well('drei', 'before it is copied');
works('CREATE DATABASE copy TEMPLATE drei');
served('copy', 'the copy is served', 5);
served('drei', 'and so is the original', 5);
add_job($_, 2) for 'copy', 'drei';
all_well($_, "$_ after the copy") for 'copy', 'drei';

# The same during a run.
my $job = add_job('two', 1, 'slow');
run_under_way('two');
works('CREATE DATABASE copy_of_two TEMPLATE two', 'CREATE DATABASE TEMPLATE during a run of 3 s', 8);
served('copy_of_two', 'the copy is served', 5);
served('two', 'and so is the original', 5);
all_well($_, "$_ after the copy") for 'copy_of_two', 'two';
is($node->safe_psql('two', "SELECT count(*) FROM batchagg_runs WHERE job_id = $job AND status <> 'succeeded'"),
	'0', 'the run was left to finish');
works('DROP DATABASE copy_of_two');
works('DROP DATABASE copy');

# ALTER DATABASE SET TABLESPACE moves files.
my $place = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$place'");
works('ALTER DATABASE drei SET TABLESPACE elsewhere');
served('drei', 'the service goes on', 5);
add_job('drei', 1);
all_well('drei', 'in another tablespace');

# In a transaction that takes its time.
is((command('postgres', 'BEGIN; ALTER DATABASE drei RENAME TO three; SELECT pg_sleep(2); ROLLBACK'))[0], '',
	'a new name is taken back');
served('drei', 'the service goes on', 5);
is((command('postgres', 'BEGIN; ALTER DATABASE drei RENAME TO three; SELECT pg_sleep(2); COMMIT'))[0], '',
	'a new name in a long transaction');
served('three', 'the service goes on', 5);

#
# DROP DATABASE
#
make_database('doomed');
served('doomed');
add_job('doomed', 1, 'endless');
run_under_way('doomed');
my @pids = (activity($node, 'worker', 'doomed'), activity($node, 'scheduler', 'doomed'));
works('DROP DATABASE doomed', 'DROP DATABASE during an endless run', 8);
sleep(1);
is(scalar(grep { kill 0, $_ } @pids), 0, 'no process is left');
sleep(4);
is(log_count('batchagg \w+ FATAL:  database'), 0,
	'nobody tries to get into it, or into one whose name has changed');

# It fails: somebody is connected.
my $sleeper = IPC::Run::start([ 'psql', '-Xqt', '-d', $node->connstr('two'), '-c', 'SELECT pg_sleep(9)' ]);
wait_for($node, 'postgres',
	"SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'two' AND backend_type = 'client backend'", 'a client is connected');
add_job('two', 1);
my ($error, $took) = command('postgres', 'DROP DATABASE two');
like($error, qr/is being accessed by other users/, sprintf('DROP DATABASE fails where a client is connected (%.2f s)', $took));
served('two', 'the service resumes', 5);
add_job('two', 2);
all_well('two', 'after DROP DATABASE failed');
$sleeper->kill_kill;

# Who may not drop it cannot pause the service either.
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN CREATEDB');
my ($scheduler) = activity($node, 'scheduler', 'two');
for my $sql ('DROP DATABASE two', 'ALTER DATABASE two RENAME TO zwei', 'CREATE DATABASE mine TEMPLATE two',
	'ALTER DATABASE two SET TABLESPACE elsewhere')
{
	($error, $took) = command('postgres', $sql, extra_params => [ '-U', 'stranger' ]);
	like($error, qr/must be owner|permission denied/, sprintf('refused: %s (%.2f s)', $sql, $took));
	cmp_ok($took, '<', 3, '... at once');
}
sleep(0.5);
is((activity($node, 'scheduler', 'two'))[0], $scheduler, 'the scheduler is the same as before');

#
# batchagg.databases
#
$node->append_conf('postgresql.conf', "batchagg.databases = 'one, three'");
$node->reload;
deserted('two', 'a database that is not in batchagg.databases is left');
ok(scalar(activity($node, 'scheduler', $_)), "$_ is in it and served") for 'one', 'three';
my $unserved = add_job('two', 2);
sleep(2);
is($node->safe_psql('two', "SELECT count(*) FROM batchagg_ledger WHERE job_id = $unserved"), '0', 'nothing is run there');
is($node->safe_psql('two', "SELECT DISTINCT reason FROM batchagg_slots WHERE job_id = $unserved AND state = 'waiting'"),
	'there is no scheduler in this database', '... and it says why');
is(scalar(activity($node, 'scheduler', 'two')), 0, 'a change of jobs does not bring it back');
$node->append_conf('postgresql.conf', "batchagg.databases = '*'");
$node->reload;
served('two', 'included again, it is served');
all_well('two', 'included again');

#
# Databases that allow no connections, and templates
#
$node->safe_psql('postgres', 'ALTER DATABASE two ALLOW_CONNECTIONS false');
deserted('two', 'a database that allows no connections is left');
$node->restart;
served('one', 'after a restart one is served');
sleep(1);
is(scalar(activity($node, 'scheduler', 'two')), 0, '... and the one that allows no connections is not');
$node->safe_psql('postgres', 'ALTER DATABASE two ALLOW_CONNECTIONS true');
served('two', 'it allows connections again, and is served', 15);
$node->safe_psql('postgres', 'ALTER DATABASE two IS_TEMPLATE true');
deserted('two', 'a template is left');
add_job('two', 1);
sleep(1);
is(scalar(activity($node, 'scheduler', 'two')), 0, 'a change of jobs does not bring it back');
works('CREATE DATABASE from_template TEMPLATE two');
served('from_template', 'a copy of it is served', 5);
$node->safe_psql('postgres', 'ALTER DATABASE two IS_TEMPLATE false');
served('two', 'no template any more, it is served', 15);
all_well($_, "$_, template or not") for 'two', 'from_template';

# The extension in template1 comes with each new database, which is served.
$node->safe_psql('template1', 'CREATE EXTENSION batchagg');
sleep(1);
is(scalar(activity($node, 'scheduler', 'template1')), 0, 'template1 is not served');
works('CREATE DATABASE plain', 'CREATE DATABASE from it');
served('plain', '... which is served', 5);
$node->safe_psql('template1', 'DROP EXTENSION batchagg');
works('DROP DATABASE plain');

#
# A broken database
#
my $lines = log_count('version 0\.9, but');
my $looks = log_count('LOG:  extension "batchagg" in database "from_template" has version 0\.9');
$node->safe_psql('from_template', "UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'batchagg'");
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . (activity($node, 'scheduler', 'from_template'))[0] . ')');
deserted('from_template', 'a database of another version is left');
$scheduler = (activity($node, 'scheduler', 'one'))[0];
add_job('one', 2);
all_well('one', 'beside a broken database');
sleep(8);
is(log_count('LOG:  extension "batchagg" in database "from_template" has version 0\.9') - $looks, 1, 'the log says so once');
cmp_ok(log_count('version 0\.9, but') - $lines, '<=', 4, '... and not for each job that was due');
is((activity($node, 'scheduler', 'one'))[0], $scheduler, 'the scheduler of another database is the same as before');
$node->safe_psql('from_template', "UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'batchagg'");
add_job('from_template', 1);
served('from_template', 'repaired, it is served once its jobs change', 5);
$node->safe_psql('from_template', "UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'batchagg'");
is((command('from_template', 'DROP EXTENSION batchagg CASCADE'))[0], '', 'the extension of another version can be dropped');
deserted('from_template', '... and the scheduler goes', 15);

all_well($_, "in the end, $_") for 'one', 'two', 'three';
is(log_count('TRAP|PANIC|signal 11'), 0, 'nothing has crashed');
note($_ . ': ' . figures($node, $_)) for 'one', 'two', 'three';

$node->stop;
done_testing();
