# Where nothing can be written: read-only transactions and standby servers.  Runs
# say so; results can be read, and dry runs made.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION batchagg;
CREATE TABLE visit (user_id text, ts timestamptz, pages integer);
INSERT INTO visit SELECT 'u' || i % 3, '2024-01-01 00:00+00'::timestamptz + i * interval '7 minutes', i FROM generate_series(1, 100) i;
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR'), ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'visit', '1-hour'), (2, 'user', 'visit', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'pages', 'sum,p95'), (2, 'pages', 'max');
SELECT * FROM batchagg_run_job(1);
SQL
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', 'UPDATE visit SET pages = pages + 1000 WHERE pages = 1');
$primary->wait_for_catchup('standby');

sub refuses
{
	my ($node, $what, $sql) = @_;
	my ($status, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");

	isnt($status, 0, "$what: refused");
	like($stderr, qr/ERROR:  25006: cannot execute \S+ in a read-only transaction/, '... with a clear error');
}

my $results = 'SELECT r.* FROM RuleExecutionResults r ORDER BY r';
my $expected = $primary->safe_psql('postgres', $results);

for my $case ([ $primary, 'read-only transaction', 'SET default_transaction_read_only = on;' ], [ $standby, 'standby', '' ])
{
	my ($node, $what, $begin) = @$case;

	refuses($node, "$what, a job by id", "$begin SELECT * FROM batchagg_run_job(1)");
	refuses($node, "$what, a job by name", "$begin SELECT * FROM batchagg_run_all()");
	refuses($node, "$what, an event", "$begin SELECT * FROM batchagg_run_event('EVERYHOUR')");
	is($node->safe_psql('postgres', "$begin $results"), $expected, "$what: results can be read");
	is( $node->safe_psql('postgres', "$begin SELECT status, rows_read, groups, changed FROM batchagg_run_job(1, true)"),
		'succeeded|100|36|1', '... and a dry run made');
	is( $node->safe_psql('postgres', "$begin SELECT status, groups, changed FROM batchagg_run_job(2, true)"),
		'succeeded|3|3', '... of a job without results too');
	is( $node->safe_psql('postgres', "$begin SELECT entity_id, aggregation_type, stored, computed FROM batchagg_verify_job(1) ORDER BY 2"),
		"u1|p95|6.699999999999999|901.5999999999999\nu1|sum|12|1012", '... and results verified');
	like( $node->safe_psql('postgres', "$begin SELECT value FROM batchagg_explain_job(1) WHERE item = 'source'"),
		qr/visit/, '... and a job explained');
}

# A standby that is promoted runs jobs.
$standby->promote;
is($standby->safe_psql('postgres', 'SELECT status, changed FROM batchagg_run_job(1)'), 'succeeded|1', 'after promotion a run works');
is( $standby->safe_psql('postgres', 'SELECT job_id, status, changed FROM batchagg_run_all()'),
	"1|succeeded|0\n2|succeeded|3", '... and all runs');

$standby->stop;
$primary->stop;
done_testing();
