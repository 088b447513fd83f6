# Installing and removing the extension: in any schema, leaving nothing
# behind, by superusers only, and refusing to work where the library and the
# SQL objects are of different versions.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

# Every object of the database that outlives a session.
sub objects
{
	return $node->safe_psql('postgres', <<'SQL');
SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
UNION ALL SELECT 'relation ' || oid::regclass FROM pg_class WHERE oid >= 16384
UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE oid >= 16384
UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE oid >= 16384
UNION ALL SELECT 'operator ' || oid::regoperator FROM pg_operator WHERE oid >= 16384
UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger
UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
UNION ALL SELECT 'policy ' || polname FROM pg_policy
UNION ALL SELECT 'constraint ' || conname FROM pg_constraint WHERE oid >= 16384
UNION ALL SELECT 'cast ' || oid FROM pg_cast WHERE oid >= 16384
UNION ALL SELECT 'extension ' || extname FROM pg_extension
UNION ALL SELECT 'role ' || rolname FROM pg_roles
UNION ALL SELECT 'comment ' || count(*) FROM pg_description WHERE objoid >= 16384
UNION ALL SELECT 'privileges ' || count(*) FROM pg_init_privs WHERE objoid >= 16384
UNION ALL SELECT 'dependencies ' || count(*) FROM pg_depend WHERE objid >= 16384
UNION ALL SELECT 'shared dependencies ' || count(*) FROM pg_shdepend
ORDER BY 1
SQL
}

# A job with results, so that there is something to leave behind.
my $a_job_run = <<'SQL';
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
VALUES (1, 'user', 'public.visit', '1-hour');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'pages', 'sum');
SELECT status, groups FROM batchagg_run_job(1);
SQL

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE visit (user_id text, timestamp timestamptz, pages integer);
INSERT INTO visit VALUES ('alice', '2024-10-07 09:05+02', 3);
SQL

for my $schema ('public', 'rollup', 'Odd "name"', 'select')
{
	my $quoted = $schema =~ s/"/""/gr;
	my $before;

	$node->safe_psql('postgres', qq{CREATE SCHEMA "$quoted"}) if $schema ne 'public';
	$before = objects();

	$node->safe_psql('postgres', qq{CREATE EXTENSION batchagg SCHEMA "$quoted"});
	is( $node->safe_psql('postgres', qq{SET search_path = "$quoted";\n$a_job_run}),
		'succeeded|1', "schema $schema: a job runs");
	is( $node->safe_psql('postgres', <<'SQL'), '', "schema $schema: all objects are in it, but for what writers of tracked tables call");
SELECT pg_describe_object(classid, objid, 0)
FROM pg_depend, pg_identify_object(classid, objid, 0) object
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'batchagg')
	AND object.schema <>
		(SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
		 WHERE extname = 'batchagg')
	AND object.identity NOT LIKE 'pg_catalog.batchagg_note%'
SQL
	$node->safe_psql('postgres', 'DROP EXTENSION batchagg');
	is(objects(), $before, "schema $schema: nothing is left behind");
}

$node->safe_psql('postgres', 'CREATE EXTENSION batchagg');

is($node->safe_psql('postgres', <<'SQL'), '', 'every object has a comment');
SELECT pg_describe_object(classid, objid, 0)
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'batchagg')
	AND (classid = 'pg_proc'::regclass
		 OR classid = 'pg_class'::regclass
		 AND (SELECT relkind FROM pg_class WHERE oid = objid) IN ('r', 'v'))
	AND obj_description(objid, classid::regclass::name) IS NULL
ORDER BY 1
SQL

is($node->safe_psql('postgres', <<'SQL'), '', 'every column has a comment');
SELECT attrelid::regclass || '.' || attname
FROM pg_attribute, pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND classid = 'pg_class'::regclass
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'batchagg')
	AND attrelid = objid AND attnum > 0 AND NOT attisdropped
	AND (SELECT relkind FROM pg_class WHERE oid = objid) IN ('r', 'v')
	AND col_description(attrelid, attnum) IS NULL
ORDER BY attrelid::regclass::text, attnum
SQL

# The extension cannot be moved: its functions know their schema.
my ($status, $stdout, $stderr) =
  $node->psql('postgres', 'CREATE SCHEMA elsewhere; ALTER EXTENSION batchagg SET SCHEMA elsewhere');
isnt($status, 0, 'the extension cannot be moved to another schema');
like($stderr, qr/extension "batchagg" does not support SET SCHEMA/, '... and says so');

# A library that meets another version's SQL objects.
$node->safe_psql('postgres', <<'SQL');
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'batchagg';
SQL
($status, $stdout, $stderr) = $node->psql('postgres', 'SELECT * FROM batchagg_run_job(1)');
isnt($status, 0, 'SQL objects of another version are refused');
like($stderr, qr/ERROR:  .*version/, '... naming the version');
like($stderr, qr/0\.9/, '... that is installed');
like($stderr, qr/HINT:  .*ALTER EXTENSION batchagg UPDATE/s, '... and the way out');
$node->safe_psql('postgres', 'DROP EXTENSION batchagg');

# Dumping and restoring keeps the jobs and their results.
$node->safe_psql('postgres', "CREATE EXTENSION batchagg;\n$a_job_run");
$node->safe_psql('postgres', 'CREATE DATABASE copy');
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '--file', $dump, $node->connstr('postgres') ], 'the database is dumped');
$node->command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ],
	'... and restored');
my $everything = <<'SQL';
SELECT string_agg(r::text, ',') FROM RuleExecutionResults r;
SELECT string_agg(j::text, ',') FROM batch_jobs j;
SELECT string_agg(d::text, ',') FROM batchjob_definitions d;
SELECT string_agg(m::text, ',') FROM batchjob_metrics m;
SELECT string_agg(r::text, ',') FROM batchagg_runs r;
SQL
is($node->safe_psql('copy', $everything),
	$node->safe_psql('postgres', $everything),
	'... with its jobs, results and history');
is( $node->safe_psql('copy', 'SELECT status, changed FROM batchagg_run_job(1)'),
	'succeeded|0', 'a run of the restored job finds nothing changed');
is( $node->safe_psql('copy',
		"INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR') RETURNING id"),
	'2', 'identities go on from where they were');

# Only superusers may install it.
$node->safe_psql('postgres', <<'SQL');
DROP EXTENSION batchagg;
CREATE ROLE plain LOGIN;
GRANT CREATE ON DATABASE postgres TO plain;
GRANT CREATE ON SCHEMA public TO plain;
SQL
($status, $stdout, $stderr) = $node->psql('postgres', 'SET ROLE plain; CREATE EXTENSION batchagg');
isnt($status, 0, 'a role without superuser rights cannot install it');
like($stderr, qr/permission denied to create extension "batchagg"/, '... and is told so');

$node->stop;
done_testing();
