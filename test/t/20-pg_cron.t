# Jobs started by pg_cron: the real one runs them, and its entries follow every
# change of jobs, events and settings, whoever makes it.  Needs pg_cron installed
# for this server (Debian: postgresql-<version>-cron).

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('main');

plan skip_all => 'pg_cron is not installed for this PostgreSQL'
  if !-e $node->config_data('--sharedir') . '/extension/pg_cron.control';

# As background workers, pg_cron's commands need no connection, and so no line
# in pg_hba.conf that lets the entry's user in without a password.
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.use_background_workers = on
cron.timezone = 'GMT'
max_worker_processes = 20
CONF
$node->start;

# What is wrong is said in a role's own words and with a way out.
sub fails_with
{
	my ($database, $sql, $expected, $name) = @_;
	my ($status, $stdout, $stderr) = $node->psql($database, $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	isnt($status, 0, "$name fails");
	like($stderr, $expected, '... and says why');
}

# The entries of pg_cron as lines of name, schedule and command.
sub entries
{
	return $node->safe_psql('postgres', 'SELECT jobname, schedule FROM cron.job ORDER BY jobname::text COLLATE "C"');
}

sub entries_are
{
	my ($expected, $name) = @_;

	is(entries(), join("\n", @$expected), $name);
}

# Runs SQL, after which the entries are as expected.
sub changes
{
	my ($sql, $expected, $name) = @_;

	$node->safe_psql('postgres', "SET search_path = \"roll'up\", public;\n$sql");
	entries_are($expected, $name);
}

# Starts SQL in a transaction that then stays open for a while.
sub start_slowly
{
	my ($sql, $seconds) = @_;
	my $script = "SET search_path = \"roll'up\", public; BEGIN; $sql; SELECT pg_sleep($seconds); COMMIT;";
	my $session = IPC::Run::start([ 'psql', '-Xqt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', $script ]);

	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
	  or die 'the slow transaction did not get to sleep';
	return $session;
}

# A stand-in for batchagg_run_due(), where that is not there yet.
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE analyst;
CREATE ROLE helper;
CREATE SCHEMA "roll'up";
CREATE EXTENSION batchagg SCHEMA "roll'up";
GRANT USAGE ON SCHEMA "roll'up" TO PUBLIC;
CREATE TABLE visit (user_id text, ts timestamptz, pages integer);
INSERT INTO visit VALUES ('alice', '2024-10-07 09:05+02', 3), ('bob', '2024-10-07 10:05+02', 4);
GRANT SELECT ON visit TO PUBLIC;
SET search_path = "roll'up", public;
INSERT INTO batch_jobs (event_name, owner) VALUES ('everyminute', 'analyst');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'visit', '1-hour');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'pages', 'sum');
SQL

subtest 'what is missing is said' => sub {
	fails_with('postgres', q{SELECT "roll'up".batchagg_use_pg_cron()},
		qr/ERROR:  55000: extension "pg_cron" is not installed in this database\nHINT:  Run CREATE EXTENSION pg_cron\./,
		'a database without pg_cron');
	$node->safe_psql('postgres', 'CREATE DATABASE other');
	$node->safe_psql('other', 'CREATE EXTENSION batchagg');
	fails_with('other', 'SELECT batchagg_use_pg_cron()',
		qr/ERROR:  55000: pg_cron does not serve database "other"\nDETAIL:  .*"postgres" \(setting cron\.database_name\)\.\nHINT:  .*schedule_in_database/,
		'another database than that of pg_cron');
	is($node->safe_psql('other', 'SELECT driver FROM batchagg_service'), 'worker', '... where the worker stays');
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_cron');
	fails_with('postgres', q{SET ROLE helper; SELECT "roll'up".batchagg_use_pg_cron()},
		qr/ERROR:  42501: permission denied/, 'an ordinary role');
	entries_are([], 'nothing was entered');
};

# Entries of others, which stay as they are.
$node->safe_psql('postgres', <<'SQL');
SELECT cron.schedule('batchagg by hand', '0 5 * * *', 'SELECT 1');
SELECT cron.schedule('vacuum', '0 6 * * *', 'SELECT ''"roll''''up".batchagg_run_due(1)''');
SQL
my @others = ('batchagg by hand|0 5 * * *', 'vacuum|0 6 * * *');
my $every_minute = 'batchagg EVERYMINUTE|* * * * *';

is($node->safe_psql('postgres', q{SELECT "roll'up".batchagg_use_pg_cron(); SELECT driver FROM "roll'up".batchagg_service}),
	"1\npg_cron", 'pg_cron takes over');
entries_are([ $every_minute, @others ], '... with an entry for the event in use');
is( $node->safe_psql('postgres', q{SELECT command, username = current_user, database FROM cron.job WHERE jobname = 'batchagg EVERYMINUTE'}),
	q{SELECT "roll'up".batchagg_run_due('EVERYMINUTE')|t|postgres}, '... that runs what is due');

subtest 'entries follow the jobs' => sub {
	changes(q{INSERT INTO batch_jobs (job_name, event_name) VALUES ('a', 'EVERYHOUR'), ('b', 'EveryHour')},
		[ 'batchagg EVERYHOUR|0 * * * *', $every_minute, @others ], 'one entry for all jobs of an event');
	changes(q{UPDATE batch_jobs SET job_name = 'c' WHERE job_name = 'b'},
		[ 'batchagg EVERYHOUR|0 * * * *', $every_minute, @others ], 'a new name changes nothing');
	changes(q{UPDATE batch_jobs SET enable_flag = false WHERE job_name = 'a'},
		[ 'batchagg EVERYHOUR|0 * * * *', $every_minute, @others ], 'one job disabled, another one left');
	changes(q{UPDATE batch_jobs SET event_name = 'EVERYDAY8AMET' WHERE job_name = 'c'},
		[ 'batchagg EVERYDAY8AMET|0 12,13 * * *', $every_minute, @others ], 'another event, in a zone with two offsets');
	changes(q{UPDATE batch_jobs SET enable_flag = true WHERE job_name = 'a'},
		[ 'batchagg EVERYDAY8AMET|0 12,13 * * *', 'batchagg EVERYHOUR|0 * * * *', $every_minute, @others ], 'enabled again');
	changes(q{DELETE FROM batch_jobs WHERE job_name IN ('a', 'c')}, [ $every_minute, @others ], 'deleted');
	changes(q{BEGIN; INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR'); ROLLBACK}, [ $every_minute, @others ], 'rolled back');
	changes(q{INSERT INTO batch_jobs (event_name) VALUES (E'*/5 * * * \tmon-fri')},
		[ "batchagg */5 * * * \tMON-FRI|*/5 * * * 1-5", $every_minute, @others ], 'a cron expression');
	is($node->safe_psql('postgres', q{SELECT command FROM cron.job WHERE jobname LIKE '%FRI'}),
		qq{SELECT "roll'up".batchagg_run_due('*/5 * * * \tMON-FRI')}, '... is the event');
	changes(q{DELETE FROM batch_jobs WHERE event_name LIKE '%mon-fri'}, [ $every_minute, @others ], '... until it goes');
	changes(
		q{SELECT batchagg_create_job('EVERYWEEK', 'user', 'visit', '{1-day}', '{"pages": "sum"}', job_name => 'week')},
		[ $every_minute, 'batchagg EVERYWEEK|0 0 * * 0', @others ], 'a job made by a function');
	changes(q{SET ROLE analyst; DELETE FROM batch_jobs}, [ 'batchagg EVERYWEEK|0 0 * * 0', @others ],
		'an ordinary role that sees its own jobs only');
	changes(
		q{SET ROLE analyst;
		INSERT INTO batch_jobs (job_name, event_name) VALUES ('visits', 'EVERYMINUTE');
		INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
			SELECT id, 'user', 'visit', '1-hour' FROM batch_jobs WHERE job_name = 'visits';
		INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
			SELECT id, 'pages', 'sum' FROM batch_jobs WHERE job_name = 'visits'},
		[ $every_minute, 'batchagg EVERYWEEK|0 0 * * 0', @others ], '... and whose new one needs an entry');
	changes(q{DELETE FROM batch_jobs WHERE job_name = 'week'}, [ $every_minute, @others ], 'and back');
};

subtest 'entries follow the events' => sub {
	changes(q{INSERT INTO batchagg_events (event_name, schedule, timezone) VALUES ('it''s \ time', '0 8 * * *', 'Asia/Kolkata')},
		[ $every_minute, @others ], 'a new event, which nobody uses');
	changes(q{INSERT INTO batch_jobs (job_name, event_name) VALUES ('shift', 'It''s \ Time')},
		[ $every_minute, 'batchagg IT\'S \\ TIME|30 2 * * *', @others ], '... a job uses it');
	is($node->safe_psql('postgres', q{SELECT command FROM cron.job WHERE jobname LIKE '%TIME'}),
		q{SELECT "roll'up".batchagg_run_due( E'IT''S \\\\ TIME')} =~ s/\( /(/r, '... quoted');
	changes(q{UPDATE batchagg_events SET schedule = '0 9 * * mon', timezone = 'Europe/London' WHERE event_name LIKE 'it%'},
		[ $every_minute, 'batchagg IT\'S \\ TIME|0 8,9 * * 1', @others ], 'another schedule and zone');
	changes(q{INSERT INTO batchagg_events (event_name, schedule, timezone) VALUES ('EVERYMINUTE', '*/2 * * * *', NULL)},
		[ 'batchagg EVERYMINUTE|*/2 * * * *', 'batchagg IT\'S \\ TIME|0 8,9 * * 1', @others ], 'a row that wins over the grammar');
	changes(q{BEGIN; ALTER TABLE batchagg_events DISABLE TRIGGER batchagg_check_event; DELETE FROM batchagg_events WHERE event_name LIKE 'it%' OR event_name = 'EVERYMINUTE'; ALTER TABLE batchagg_events ENABLE TRIGGER batchagg_check_event; COMMIT},
		[ $every_minute, @others ], 'an event that is not known starts nothing');
	changes(q{DELETE FROM batch_jobs WHERE job_name = 'shift'}, [ $every_minute, @others ], '... nor does its job');

	# Names that pg_cron might cut.
	$node->safe_psql('postgres', <<'SQL');
SET search_path = "roll'up";
INSERT INTO batchagg_events (event_name, schedule) VALUES (repeat('x', 100) || 1, '1 * * * *'), (repeat('x', 100) || 2, '2 * * * *');
INSERT INTO batch_jobs (job_name, event_name) VALUES ('long1', repeat('x', 100) || 1), ('long2', repeat('x', 100) || 2),
	('long3', '3 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23 * * *');
SQL
	is( $node->safe_psql('postgres', <<'SQL'), "1 * * * *|63|t\n2 * * * *|63|t\n3 * * * *|63|t", 'long names are told apart');
SELECT schedule, length(jobname::text), jobname::text ~ '^batchagg .* #[0-9a-f]{8}$' FROM cron.job WHERE length(jobname::text) > 40 ORDER BY 1
SQL
	is($node->safe_psql('postgres', q{SELECT "roll'up".batchagg_use_pg_cron()}), 4, '... and found again');
	changes(
		q{DELETE FROM batch_jobs WHERE job_name LIKE 'long%'; DELETE FROM batchagg_events WHERE event_name LIKE 'xxx%'},
		[ $every_minute, @others ], '... and gone');
	changes(
		q{INSERT INTO batchagg_events (event_name, schedule) VALUES ('shift', '1 2 * * *'), ('Shift', '1 3 * * *');
		INSERT INTO batch_jobs (job_name, event_name) VALUES ('s1', 'shift'), ('s2', 'Shift')},
		[ $every_minute, 'batchagg SHIFT|* * * * *', @others ], 'names that differ by case, and mean different times');
	changes(q{DELETE FROM batch_jobs WHERE job_name LIKE 's_'; DELETE FROM batchagg_events WHERE NOT built_in},
		[ $every_minute, @others ], '... and gone');
};

subtest 'entries are put right' => sub {
	changes(q{SELECT cron.unschedule('batchagg EVERYMINUTE'); UPDATE batch_jobs SET event_name = 'EVERYMINUTE'},
		[ $every_minute, @others ], 'one that was removed');
	changes(q{UPDATE cron.job SET schedule = '0 0 1 1 *' WHERE jobname = 'batchagg EVERYMINUTE'; SELECT batchagg_use_pg_cron()},
		[ $every_minute, @others ], 'one that was changed');
	changes(
		q{SELECT cron.schedule('batchagg EVERYDAY', '0 0 * * *', 'SELECT rollup.batchagg_run_due(''EVERYDAY'')'); SELECT batchagg_use_pg_cron()},
		[ $every_minute, @others ], 'one that was left behind');
	is($node->safe_psql('postgres', q{SELECT cron.alter_job(jobid, active => false) FROM cron.job WHERE jobname LIKE '%MINUTE'; SELECT "roll'up".batchagg_use_pg_cron(); SELECT active FROM cron.job WHERE jobname LIKE '%MINUTE'}),
		"\n1\nf", 'but one that was set inactive stays so');
	$node->safe_psql('postgres', q{SELECT cron.alter_job(jobid, active => true) FROM cron.job WHERE jobname LIKE '%MINUTE'});
};

subtest 'transactions side by side' => sub {
	$node->safe_psql('postgres', q{INSERT INTO "roll'up".batch_jobs (job_name, event_name) VALUES ('old', 'EVERYDAY')});
	for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
	{
		my $slow = start_slowly(q{DELETE FROM batch_jobs WHERE job_name = 'old'}, 1);
		changes(
			qq{BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM batch_jobs;
			INSERT INTO batch_jobs (job_name, event_name) VALUES ('new', 'EVERYDAY'); COMMIT},
			[ 'batchagg EVERYDAY|0 0 * * *', $every_minute, @others ],
			"$level: an event's last job is deleted while another is inserted");
		ok($slow->finish, '... both succeed');
		$node->safe_psql('postgres', q{UPDATE "roll'up".batch_jobs SET job_name = 'old' WHERE job_name = 'new'});
	}
	changes(q{DELETE FROM batch_jobs WHERE job_name = 'old'}, [ $every_minute, @others ], 'then there is none');

	$node->safe_psql('postgres', q{SELECT "roll'up".batchagg_use_service()});
	my $slow = start_slowly(q{INSERT INTO batch_jobs (job_name, event_name) VALUES ('new', 'EVERYDAY')}, 1);
	changes('SELECT batchagg_use_pg_cron()', [ 'batchagg EVERYDAY|0 0 * * *', $every_minute, @others ],
		'pg_cron takes over while a job is inserted');
	ok($slow->finish, '... which succeeds');
	changes(q{DELETE FROM batch_jobs WHERE job_name = 'new'}, [ $every_minute, @others ], 'and back');
};

# By now a minute may have begun.  In the one in which the job was changed, it is not due yet.
ok( $node->poll_query_until('postgres', <<'SQL'),
SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded' AND command LIKE '%batchagg_run_due(''EVERYMINUTE'')'
	AND EXISTS (SELECT FROM "roll'up".batchagg_runs)
SQL
	'pg_cron ran the entry');
is( $node->safe_psql('postgres', q{SELECT DISTINCT j.job_name, r.status FROM "roll'up".batchagg_runs r JOIN "roll'up".batch_jobs j ON j.id = r.job_id}),
	'visits|succeeded', '... and so the job');
is( $node->safe_psql('postgres', q{SELECT entity_id, metric_value FROM "roll'up".RuleExecutionResults ORDER BY 1}),
	"alice|3\nbob|4", '... with its results');

subtest 'settings' => sub {
	$node->safe_psql('postgres', q{INSERT INTO "roll'up".batch_jobs (event_name) VALUES ('EVERYDAY'), ('EVERYDAY8AMET')});
	$node->append_conf('postgresql.conf', "batchagg.timezone = 'Asia/Kolkata'");
	$node->reload;
	$node->poll_query_until('postgres', q{SELECT "roll'up".batchagg_use_pg_cron() > 0 AND current_setting('batchagg.timezone') = 'Asia/Kolkata'});
	entries_are([ 'batchagg EVERYDAY|30 18 * * *', 'batchagg EVERYDAY8AMET|0 12,13 * * *', $every_minute, @others ],
		'another zone of events that name none');

	# A pg_cron before 1.5 ignores the setting, and so must we.
	$node->append_conf('postgresql.conf', "cron.timezone = 'America/New_York'");
	$node->restart;
	my $has_zone = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_settings WHERE name = 'cron.timezone' AND context = 'postmaster'});
	$node->safe_psql('postgres', q{SELECT "roll'up".batchagg_use_pg_cron()});
	entries_are(
		$has_zone
		? [ 'batchagg EVERYDAY|30 13,14 * * *', 'batchagg EVERYDAY8AMET|0 8 * * *', $every_minute, @others ]
		: [ 'batchagg EVERYDAY|30 18 * * *', 'batchagg EVERYDAY8AMET|0 12,13 * * *', $every_minute, @others ],
		'another zone of pg_cron, ' . ($has_zone ? 'which it knows' : 'which it does not know'));
};

subtest 'going back' => sub {
	changes('TRUNCATE batch_jobs CASCADE', [@others], 'no jobs, no entries');
	changes(q{INSERT INTO batch_jobs (event_name) VALUES ('EVERYDAY')}, [ 'batchagg EVERYDAY|' . $node->safe_psql('postgres', q{SELECT "roll'up".batchagg_pg_cron_schedule('EVERYDAY')}), @others ], 'a job, an entry');
	is($node->safe_psql('postgres', q{SELECT "roll'up".batchagg_use_service(); SELECT driver FROM "roll'up".batchagg_service}),
		"1\nworker", 'the worker takes over');
	entries_are([@others], '... no entry of ours is left');
	changes(q{INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR')}, [@others], '... and none is made');
};

subtest 'pg_cron refuses, or goes' => sub {
	# With this setting and a superuser's entry in its table, the launcher of
	# pg_cron 1.6 itself crashes.
	if ($node->safe_psql('postgres', q{SELECT extversion < '1.5' FROM pg_extension WHERE extname = 'pg_cron'}) eq 't')
	{
		$node->append_conf('postgresql.conf', 'cron.enable_superuser_jobs = off');
		$node->restart;
		fails_with('postgres', q{SELECT "roll'up".batchagg_use_pg_cron()}, qr/ERROR:  42501: cannot schedule jobs as superuser/,
			'what pg_cron does not allow');
		$node->append_conf('postgresql.conf', 'cron.enable_superuser_jobs = on');
		$node->restart;
	}
	is($node->safe_psql('postgres', q{SELECT "roll'up".batchagg_use_pg_cron()}), '2', 'pg_cron takes over again');

	my ($status, $stdout, $stderr) =
	  $node->psql('postgres', q{DROP EXTENSION pg_cron; INSERT INTO "roll'up".batch_jobs (event_name) VALUES ('EVERYWEEK')});
	is($status, 0, 'jobs can be changed when pg_cron has gone');
	like($stderr, qr/WARNING:  nothing starts the jobs of this database\n.*\nHINT:  Call batchagg_use_service\(\)\./, '... with a warning');
	is($node->safe_psql('postgres', q{SELECT "roll'up".batchagg_use_service(); SELECT driver FROM "roll'up".batchagg_service}),
		"0\nworker", '... and the worker takes over');

	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->restart;
	fails_with('postgres', q{SELECT "roll'up".batchagg_use_pg_cron()},
		qr/ERROR:  55000: pg_cron is not loaded\nHINT:  Add pg_cron to shared_preload_libraries, set cron\.database_name to "postgres"/,
		'a server without pg_cron');
};

subtest 'batchagg\'s own scheduler makes way, and comes back' => sub {
	my $schedulers = sub { "SELECT count(*) = $_[0] FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler' AND datname = 'postgres'" };

	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron, batchagg'\nmax_worker_processes = 20");
	$node->safe_psql('postgres', q{SELECT "roll'up".batchagg_use_service()});
	$node->restart;
	$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS pg_cron');
	ok($node->poll_query_until('postgres', $schedulers->(1)), 'the scheduler is there');
	$node->safe_psql('postgres', q{SELECT "roll'up".batchagg_use_pg_cron()});
	ok($node->poll_query_until('postgres', $schedulers->(0)), '... leaves when pg_cron drives');
	$node->safe_psql('postgres', q{SELECT "roll'up".batchagg_use_service()});
	ok($node->poll_query_until('postgres', $schedulers->(1)), '... and is back');
};

$node->stop;
done_testing();
