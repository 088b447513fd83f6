# Whatever a role can write is dumped and restored, and takes nobody else's rows along
# with it when it cannot be.  The same for rows of a machine, or a version, that took
# them and that the dump is not restored on.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "batchagg.enabled = off\ntimezone = 'UTC'");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE alice LOGIN;
CREATE ROLE mallory LOGIN;
CREATE ROLE root SUPERUSER;
CREATE EXTENSION batchagg;
GRANT CREATE ON SCHEMA public TO PUBLIC;
SQL
my $results = 'SELECT string_agg(entity_id || metric_value, \' \' ORDER BY entity_id) FROM RuleExecutionResults WHERE job_name = \'hers\'';

# Runs SQL as a role, statement by statement, whatever becomes of each.
sub try_as
{
	my ($role, $sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role ], on_error_stop => 0);

	return $err;
}

# Dumps the database; returns the script.
sub dump_of
{
	my ($what) = @_;
	my $file = $node->basedir . '/odd.sql';

	$node->command_ok([ 'pg_dump', '--file', $file, $node->connstr('postgres') ], "$what: dumped");
	return slurp_file($file);
}

# Restores a script into a new database; returns the errors.
sub restore
{
	my ($script) = @_;
	my $file = $node->basedir . '/restored.sql';

	open(my $handle, '>', $file) or die;
	print $handle $script;
	close($handle);
	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS copy');
	$node->safe_psql('postgres', 'CREATE DATABASE copy');
	my ($out, $err);
	IPC::Run::run([ 'psql', '-Xq', '-f', $file, '-d', $node->connstr('copy') ], '>', \$out, '2>', \$err);
	return join("\n", grep { /ERROR/ } split(/\n/, $err));
}

# Dumps and restores, and sees that alice has her results.
sub survives
{
	my ($what) = @_;

	is(restore(dump_of($what)), '', '... restored without an error');
	is($node->safe_psql('copy', $results), 'a1', "... and alice has her results");
}

try_as('alice', <<'SQL');
CREATE TABLE hers (user_id text, ts timestamptz, v integer);
INSERT INTO hers VALUES ('a', '2024-01-01', 1);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'hers', '{1-day}', '{"v": "sum"}', job_name => 'hers');
SELECT * FROM batchagg_run_job('hers');
SQL
is($node->safe_psql('postgres', $results), 'a1', 'alice has results');

# Numbers and times at their ends, as far as they are accepted.
try_as('mallory', <<'SQL');
CREATE TABLE his (user_id text, ts timestamptz, v float8, status text);
INSERT INTO his VALUES ('x', '4714-11-24 00:00:00+00 BC', 1), ('y', '294276-12-31 23:59:59.999999+00', 2), ('z', '2024-01-01', 'NaN'),
	('z', '2024-01-02', 'Infinity'), (E'\n\t\\', '2024-01-01', 3), ('', '2024-01-01', 4), ('i', 'infinity', 5), ('j', '-infinity', 5);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'his', '{1-day,1-hour}', '{"v": "sum"}', job_delay => 2147483647, job_name => 'delay');
SELECT status FROM batchagg_run_job('delay');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'his', '{1-day}', '{"v": "sum"}', job_delay => 1000000, job_name => 'delay less');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'his', ARRAY[g], '{"v": "sum,p95"}', job_name => E'g\n' || g) FROM unnest('{1-minute,1-day,1-week,10000-year,7-quarter}'::text[]) g;
SELECT count(*) FROM batchagg_run_all();
DELETE FROM his WHERE ts < '1900-01-01' OR ts > '2100-01-01';
SELECT count(*) FROM batchagg_run_all();
UPDATE batchjob_definitions SET keep_history = true WHERE granularity = '1-day';
SELECT count(*) FROM batchagg_run_all();
UPDATE batchjob_definitions SET lookback = '178956970 years 7 mons 2147483647 days 2562047788:00:54.775807';
UPDATE batchjob_definitions SET results_retention = '178956970 years 7 mons 2147483647 days 2562047788:00:54.775807';
UPDATE batchjob_definitions SET lookback = '100000 years';
UPDATE batchjob_definitions SET results_retention = '100000 years' WHERE granularity = '1-week';
UPDATE batch_jobs SET max_retries = 2147483647, retry_delay = 2147483647, job_timeout = 2147483647;
UPDATE batch_jobs SET scheduled_from = '294276-12-31 23:59:59.999999+00' WHERE job_name = 'delay';
UPDATE batch_jobs SET created_at = '-infinity', updated_at = 'infinity';
INSERT INTO batch_jobs (event_name, job_name, created_at) VALUES ('29 2 29 2 *', E'\\N', '4714-11-24 00:00:00+00 BC'), ('EVERYHOUR', '日本 "quoted"''s', 'infinity');
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value, updated_at) VALUES
	('', 'infinity', E'\\.', 'NaN', '-infinity'), (E'\t', '4714-11-24 00:00:00+00 BC', 'm', '-Infinity', '294276-12-31 23:59:59.999999+00');
SELECT count(*) FROM batchagg_run_all();
SQL
is($node->psql('postgres', "SET timezone = 'Pacific/Kiritimati'; SELECT * FROM batchagg_runs; SELECT * FROM batchagg_store; SELECT * FROM batchagg_jobs; SELECT * FROM batchagg_layouts"),
	0, 'whatever is stored can be read');
survives('numbers and times at their ends');

# Settings by which texts mean something else.
try_as('mallory', <<'SQL');
SET standard_conforming_strings = off;
SET backslash_quote = on;
SET escape_string_warning = off;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'his', '{1-day}', '{"v": "sum"}', resource_filter => $$status = 'it\'s'$$);
SET IntervalStyle = 'sql_standard';
SET DateStyle = 'German, DMY';
SELECT batchagg_create_job('EVERYHOUR', 'user', 'his', '{1-day}', '{"v": "sum"}', resource_filter => $$ts > '1.2.2024'$$);
UPDATE batchjob_definitions SET lookback = '1 mon -2 days +03:00';
SQL
survives('settings of the session');

# A job that is deleted by code in its own source.
try_as('mallory', <<'SQL');
CREATE FUNCTION gone(x float8) RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN DELETE FROM public.batch_jobs WHERE job_name = 'mine'; RETURN x; END $$;
CREATE VIEW deleting AS SELECT user_id, ts, public.gone(v) AS v FROM his;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'deleting', '{1-day}', '{"v": "sum"}', job_name => 'mine');
SELECT * FROM batchagg_run_job('mine');
SQL
is($node->safe_psql('postgres', 'SELECT count(*) FROM batchagg_store WHERE layout_id NOT IN (SELECT id FROM batchagg_layouts)'),
	'0', 'no results without their job');
survives('a job deleted in mid-run');

# What the other machine lacks: a time zone, an event's too, an operator of a filter, a table.
$node->safe_psql('postgres', <<'SQL');
INSERT INTO batchagg_events (event_name, schedule, timezone) VALUES ('NIGHTLY', '0 3 * * *', 'Asia/Kathmandu');
UPDATE batchjob_definitions SET resource_filter = 'v >= 0', timezone = 'Asia/Kathmandu' WHERE job_id = (SELECT min(id) FROM batch_jobs WHERE job_name LIKE 'delay%');
INSERT INTO metricsandtables (metricname, tablename, owner) VALUES ('v', 'public.his', 'mallory');
SQL
my $script = dump_of('what another machine lacks');
(my $other = $script) =~ s/Asia\/Kathmandu/Mars\/Olympus/g;
$other =~ s/v >= 0/v >=>> (0/g;
isnt($other, $script, '... and changed');
is(restore($other), '', '... restored without an error');
is($node->safe_psql('copy', $results), 'a1', '... with alice\'s results');
like(
	$node->safe_psql('copy', "SELECT string_agg(message, '; ') FROM batch_jobs j, batchagg_validate_job(j.id) WHERE j.job_name LIKE 'delay%'"),
	qr/invalid time zone "Mars\/Olympus"/, '... and a job says what is wrong with it');

# Owners are dumped by their names; a number, which is another role here, is refused.
my ($jobs) = $script =~ /^COPY public\.batch_jobs \(id, job_name, event_name, enable_flag, owner, .*?\n(.*?)^\\\.$/ms;
my %owners = map { (split(/\t/))[4] => 1 } split(/\n/, $jobs);
is(join(' ', sort keys %owners), 'alice mallory', 'owners are dumped by name');
my $superuser = $node->safe_psql('postgres', "SELECT 'root'::regrole::oid");
($other = $script) =~ s/\tmallory\t/\t$superuser\t/;
like(restore($other), qr/an owner must be a role's name, not "$superuser"/, 'a number is refused');
is($node->safe_psql('copy', 'SELECT count(*) FROM batch_jobs'), '0', '... with all that it came with');
$node->safe_psql('postgres', 'DROP DATABASE copy');

# In a session that has not loaded the library, REASSIGN OWNED does not take jobs along;
# DROP OWNED says so, and does not delete what was to be kept.
my ($status, $out, $err) = $node->psql('postgres', 'REASSIGN OWNED BY mallory TO alice; DROP OWNED BY mallory');
like($err, qr/role "mallory" owns jobs, mappings or measurements of batchagg/, 'an unloaded library is told of');
like($err, qr/HINT:  It is loaded now: repeat REASSIGN OWNED/, '... with what to do');
($status, $out, $err) = $node->psql('postgres', 'DROP ROLE mallory');
like($err, qr/cannot be dropped because some objects depend on it/, '... and the role is held');
is($node->safe_psql('postgres', q(SELECT count(*) > 0 FROM batch_jobs WHERE owner = 'mallory'::regrole)), 't', '... with its jobs');
survives('after that');

$node->stop;
done_testing();
