# An update of the time zone data: what was computed by a zone's old rules is computed anew,
# in every mode.
#
# The server is restarted with a library that opens the file of another zone where that of
# Asia/Tokyo is asked for.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the library is loaded as Linux does it' unless $^O eq 'linux';

my $dir = PostgreSQL::Test::Utils::tempdir();
my $library = "$dir/rezone.so";

append_to_file("$dir/rezone.c", <<'C');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int
reopen(const char *function, const char *path, int flags, int mode)
{
	static const char old[] = "/Asia/Tokyo";
	int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...)) dlsym(RTLD_NEXT, function);
	char other[4096];
	size_t length = strlen(path);

	if (length > strlen(old) && length < 4000 && strcmp(path + length - strlen(old), old) == 0)
	{
		snprintf(other, sizeof(other), "%.*s/Europe/Berlin", (int) (length - strlen(old)), path);
		path = other;
	}
	return real(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list args;
	int mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, int) : 0;
	va_end(args);
	return reopen("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	int mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, int) : 0;
	va_end(args);
	return reopen("open64", path, flags, mode);
}
C
system_or_bail('cc', '-shared', '-fPIC', '-o', $library, "$dir/rezone.c", '-ldl');

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "timezone = 'UTC'\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION batchagg;
CREATE TABLE whole (user_id text, ts timestamptz, local timestamp, n float8);
INSERT INTO whole SELECT 'u' || g % 3, ts, ts AT TIME ZONE 'UTC', g
FROM (SELECT g, '2024-10-07 00:00+00'::timestamptz + g * interval '10 minutes' AS ts FROM generate_series(1, 600) g) s;
CREATE TABLE log AS TABLE whole;
CREATE TABLE snapshot AS TABLE whole;
CREATE TABLE jobs (source text, job integer);
INSERT INTO jobs SELECT s, batchagg_create_job('EVERYHOUR', 'user', s, '{1-day}', '{"n": "sum"}', timezone => 'Asia/Tokyo', time_column => 'ts')
FROM unnest('{whole,log,snapshot}'::text[]) s;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
SELECT job, 'user', source, '1-day', $$extract(hour FROM ts AT TIME ZONE 'Asia/Tokyo') < 12$$ FROM jobs;
SELECT batchagg_track_source('log', 'log', time_column => 'ts'), batchagg_track_source('snapshot', 'snapshot', time_column => 'ts');
-- By plain SQL.
CREATE VIEW expected AS
	SELECT source, 'Asia/Tokyo' AS timezone, user_id, date_trunc('day', ts, 'Asia/Tokyo') AS day, sum(n) AS n
	FROM jobs, whole GROUP BY 1, 2, 3, 4
	UNION ALL
	SELECT source, 'UTC', user_id, date_trunc('day', ts, 'UTC'), sum(n)
	FROM jobs, whole WHERE extract(hour FROM ts AT TIME ZONE 'Asia/Tokyo') < 12 GROUP BY 1, 2, 3, 4;
CREATE VIEW stored AS
	SELECT d.entity AS source, d.timezone, entity_id, "timestamp", metric_value
	FROM RuleExecutionResults r JOIN batchjob_definitions d ON d.id = definition_id;
SQL

my $run = q{SELECT sum(r.changed) > 0, sum(r.rows_read) FILTER (WHERE source <> 'whole') > 0 FROM jobs, batchagg_run_job(job) r};
my $differences = 'SELECT source, count(*) FROM ((TABLE stored EXCEPT TABLE expected) UNION ALL (TABLE expected EXCEPT TABLE stored)) d GROUP BY source ORDER BY source';

is($node->safe_psql('postgres', $run), 't|t', 'the first runs');
is($node->safe_psql('postgres', $differences), '', 'results are right');
is($node->safe_psql('postgres', $run), 'f|f', 'nothing is left to do');

$node->stop;
{
	local $ENV{LD_PRELOAD} = $library;
	$node->start;
}
is($node->safe_psql('postgres', "SELECT '2024-10-07 00:00'::timestamp AT TIME ZONE 'Asia/Tokyo'"),
	'2024-10-06 22:00:00+00', 'the zone has other rules');
isnt($node->safe_psql('postgres', $differences), '', 'results are wrong by these');
is($node->safe_psql('postgres', $run), 't|t', 'all is computed anew');
is($node->safe_psql('postgres', $differences), '', 'results are right again');
is($node->safe_psql('postgres', $run), 'f|f', 'once');

$node->stop;
done_testing();
