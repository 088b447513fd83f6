# What runs tell others when they end: notifications, and lines in the log.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\ntimezone = 'UTC'\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION batchagg;
CREATE TABLE visit (user_id text, ts timestamptz, pages integer);
INSERT INTO visit SELECT 'u' || i % 7, '2024-01-01 00:00+00'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 100) i;
CREATE FUNCTION shout(i integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '%', repeat(E'\x01\u20ac"', 5000) USING ERRCODE = '38999';
END $$;
CREATE VIEW loud AS SELECT user_id, ts, shout(pages) AS pages FROM visit;
INSERT INTO batch_jobs (job_name, event_name) VALUES ('visits "hourly"', 'EVERYHOUR'), (repeat(E'\x02', 900), 'EVERYHOUR'), (NULL, '@daily');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
VALUES (1, 'user', 'visit', '1-day'), (2, 'user', 'loud', '1-day'), (3, 'user', 'visit', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT j, 'pages', 'sum' FROM generate_series(1, 3) j;
SQL

# Runs SQL in a session that listens, and returns what it hears.
sub heard
{
	my ($sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "LISTEN batchagg; $sql");

	return map { decode_json($_) } $out =~ /^Asynchronous notification "batchagg" with payload "(.*)" received from/mg;
}

my @heard = heard('SELECT status FROM batchagg_run_job(1);');
my $got = $heard[0];
is(scalar @heard, 1, 'a run notifies once');
# Every role can listen: no name is told, and nothing of an error but its code.
is(join(',', sort keys %$got), 'job_id,run_id,sqlstate,status', 'what it says');
is("$got->{run_id} $got->{job_id} $got->{status}", '1 1 succeeded', '... of the run');
is($got->{sqlstate}, undef, '... no error');

@heard = heard("SELECT count(*) FROM batchagg_run_event('EVERYHOUR');");
is(join(' ', map { "$_->{job_id} $_->{status}" } @heard), '1 succeeded 2 failed', 'each job of an event notifies');
is($heard[1]{sqlstate}, '38999', '... with the code of its error');
is(join(',', sort keys %{$heard[1]}), 'job_id,run_id,sqlstate,status', '... and nothing else');

# A listener whose encoding lacks the characters of a job's name and of an error is not thrown out.
$node->safe_psql('postgres', q{UPDATE batch_jobs SET job_name = U&'\65E5' WHERE id = 2});
{
	my ($status, $out) = $node->psql('postgres',
		"SET client_encoding = 'LATIN1'; SET client_min_messages = error; LISTEN batchagg; SELECT count(*) FROM batchagg_run_event('EVERYHOUR'); SELECT 'there'");

	is($status, 0, 'whatever the encoding of who listens');
	like($out, qr/"status" : "failed".*^there/ms, '... the notification comes, and the session goes on') or diag($out);
}

is(scalar heard("SELECT status FROM batchagg_run_job(1, true);"), 0, 'a dry run does not notify');
is(scalar heard("BEGIN; SELECT status FROM batchagg_run_job(1); ROLLBACK;"), 0, 'nor one that is rolled back');

# An id that the client's encoding does not have fails its job, and no other.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE far (user_id text, ts timestamptz, pages numeric);
INSERT INTO far VALUES (U&'\65E5', '2024-01-01', repeat('9', 400)::numeric);
SELECT batchagg_create_job('EVERYWEEK', 'user', 'far', '{1-day}', '{"pages": "sum"}'),
	batchagg_create_job('EVERYWEEK', 'user', 'visit', '{1-day}', '{"pages": "sum"}');
SQL
{
	my ($status, $out, $err) = $node->psql('postgres',
		"SET client_encoding = 'LATIN1'; SELECT status FROM batchagg_run_event('EVERYWEEK')");

	is($out, "failed\nsucceeded", 'jobs run though the client cannot show the error of one');
	like($err, qr/user "\?\?\?" in the 1-day bucket/, '... which is shown as far as can be');
	is($node->safe_psql('postgres', "SELECT error_detail ~ U&'\\65E5' FROM batchagg_runs ORDER BY run_id DESC LIMIT 1 OFFSET 1"),
		't', '... and recorded as it is');
}
$node->safe_psql('postgres', "DELETE FROM batch_jobs WHERE event_name = 'EVERYWEEK'");

# The log.
sub logged
{
	my ($sql) = @_;
	my $offset = -s $node->logfile;

	$node->psql('postgres', $sql);
	return slurp_file($node->logfile, $offset);
}

my $slot = qr/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*\+00/;
like(logged('SELECT * FROM batchagg_run_job(1)'),
	qr/LOG:  batchagg job 1 in database "postgres": run \d+, slot $slot, attempt 1: read 100 rows, skipped 0, 33 groups, 33 results, 0 rows changed, [\d.]+ s\n/,
	'a run has a line in the log');
unlike(logged("SET batchagg.log_level = warning; SELECT * FROM batchagg_run_job(1)"), qr/LOG:  batchagg job/, '... unless that is not wanted');
unlike(logged('SELECT * FROM batchagg_run_job(1, true)'), qr/LOG:  batchagg job/, '... nor has a dry run');
like(logged('SELECT * FROM batchagg_run_job(2)'), qr/CONTEXT:  .*batchagg job 2, source public.loud/s, 'errors name job and source');

# Jobs that run together, and cannot.
$node->safe_psql('postgres', "UPDATE batch_jobs SET event_name = 'EVERYHOUR' WHERE id = 3; DELETE FROM batch_jobs WHERE id = 2");
my $log = logged("SET batchagg.log_level = debug; SELECT * FROM batchagg_run_event('EVERYHOUR')");
is(scalar(() = $log =~ /LOG:  batchagg job \d in database "postgres": run/g), 2, 'jobs together have a line each');
unlike($log, qr/cannot run together/, '... and do not fail');
$node->safe_psql('postgres', "UPDATE batchjob_definitions SET resource_filter = '1 / (pages - 50) > 0' WHERE job_id = 3");
$log = logged("SET batchagg.log_level = debug; SELECT * FROM batchagg_run_event('EVERYHOUR')");
like($log, qr/LOG:  batchagg jobs 1 to 3 in database "postgres" cannot run together, each runs alone: division by zero/, 'jobs that cannot run together');
like($log, qr/WARNING:  job 3 failed: division by zero/, '... have their own errors');
is(scalar(() = $log =~ /LOG:  batchagg job 1 in database "postgres": run/g), 1, '... and are reported once');

# The least limit of jobs that run together is that of all; then each has its own.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION nap(i integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.015); RETURN i; END $$;
CREATE VIEW slow AS SELECT user_id, ts, nap(pages) AS pages FROM visit;
UPDATE batchjob_definitions SET entity = 'slow', resource_filter = NULL;
UPDATE batch_jobs SET job_timeout = 1 WHERE id = 3;
SQL
$log = logged("SET batchagg.log_level = debug; SELECT * FROM batchagg_run_event('EVERYHOUR')");
like($log, qr/jobs 1 to 3 in database "postgres" cannot run together, each runs alone: canceling job due to job timeout/, 'the least timeout');
is($node->safe_psql('postgres', 'SELECT string_agg(status, \',\' ORDER BY job_id) FROM (SELECT * FROM batchagg_runs ORDER BY run_id DESC LIMIT 2) r'),
	'succeeded,failed', '... fails its own job alone');

# A database without an encoding has bytes of any.  What is cut stays UTF-8 if it was, and what a client would not
# take is no error.
$node->safe_psql('postgres', "CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
$node->safe_psql('bytes', <<'SQL');
CREATE EXTENSION batchagg;
CREATE TABLE visit (user_id text, ts timestamptz, pages integer);
CREATE FUNCTION shout(i integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', 'x' || repeat(E'\xc3\xa9', 5000); END $$;
CREATE VIEW loud AS SELECT user_id, ts, shout(pages) AS pages FROM visit;
SET client_min_messages = error;
INSERT INTO visit VALUES ('x' || repeat(E'\xc3\xa9', 1001), '2024-01-01', 1);
SELECT batchagg_create_job('EVERYHOUR', 'user', e, '{1-day}', '{"pages": "sum"}') FROM unnest('{visit,loud}'::text[]) e;
SQL
is($node->safe_psql('bytes', "SET client_encoding = UTF8; SELECT string_agg(status, ',') FROM batchagg_run_all()"), 'failed,failed',
	'what is cut in a database without an encoding is shown to a client');
is($node->safe_psql('bytes', "SET client_encoding = UTF8; SELECT count(*) FROM (SELECT error_message, error_detail FROM batchagg_runs OFFSET 0) r WHERE r::text LIKE '%...%'"),
	'1', '... and read by it');
$node->safe_psql('bytes', "UPDATE visit SET user_id = repeat(chr(255), 2001)");
is($node->safe_psql('bytes', "SET client_encoding = UTF8; SELECT string_agg(status, ',') FROM batchagg_run_all()"), 'failed,failed',
	'bytes that are no text for a client are no error of the statement');

$node->stop;
done_testing();
