# What the tests of the service have in common.

package Service;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(start_node make_source wait_for exact activity);

# A server with the library preloaded; %options: name, conf, and what else
# PostgreSQL::Test::Cluster's init() takes.
sub start_node
{
	my (%options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($options{name} // 'main');

	$node->init(%options);
	$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'batchagg'
max_worker_processes = 16
batchagg.retry_delay = 0
fsync = off
log_line_prefix = '%m [%p] %b '
CONF
	$node->append_conf('postgresql.conf', $options{conf}) if $options{conf};
	$node->start;
	return $node;
}

# The extension, and a table visit of $rows rows over some days up to now.
sub make_source
{
	my ($node, $database, $rows) = @_;

	$rows //= 1000;
	$node->safe_psql($database, <<"SQL");
CREATE EXTENSION IF NOT EXISTS batchagg;
CREATE TABLE visit (user_id integer, ts timestamptz, pages integer);
INSERT INTO visit SELECT i % 17, now() - i * interval '1 minute', i % 100 FROM generate_series(1, $rows) i;
SQL
}

# Waits until a query gives 't'; fails the test where it does not in time.
# Returns the seconds that it took.
sub wait_for
{
	my ($node, $database, $query, $what, $seconds) = @_;
	my $began = time();
	my $answer = '';

	$seconds //= 30;
	while (time() - $began < $seconds)
	{
		my ($status, $stdout) = $node->psql($database, $query);
		$answer = $stdout // '';
		if ($answer eq 't')
		{
			my $took = time() - $began;
			pass(sprintf('%s (%.2f s)', $what, $took));
			return $took;
		}
		sleep(0.02);
	}
	fail("$what: not within $seconds s");
	diag("the last answer was: $answer");
	return undef;
}

# The number of stored hourly and daily sums of visit.pages that differ from a
# recomputation, up to each definition's last horizon; 't|0' is right.
sub exact
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, <<'SQL');
WITH horizon AS (
	SELECT DISTINCT ON (job_id) job_id, range_to FROM batchagg_runs WHERE status = 'succeeded' ORDER BY job_id, run_id DESC),
plain AS (
	SELECT d.id, user_id::text, date_trunc(split_part(d.granularity, '-', 2), ts, 'UTC'), sum(pages)::float8 AS value
	FROM visit, batchjob_definitions d JOIN horizon h ON h.job_id = d.job_id
	WHERE ts < h.range_to GROUP BY 1, 2, 3),
stored AS (
	SELECT definition_id, entity_id, "timestamp", metric_value FROM RuleExecutionResults WHERE aggregation_type = 'sum')
SELECT (SELECT count(*) > 0 FROM stored), count(*)
FROM ((TABLE plain EXCEPT ALL TABLE stored) UNION ALL (TABLE stored EXCEPT ALL TABLE plain)) d
SQL
}

# The pids of the service's processes of one kind: launcher, scheduler or
# worker; in one database, if that is given.
sub activity
{
	my ($node, $kind, $database) = @_;
	my $where = $database ? "AND datname = '$database'" : '';

	return split /\n/, $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'batchagg $kind' $where ORDER BY pid");
}

1;
