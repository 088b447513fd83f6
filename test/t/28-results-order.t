# A job that reads results of others runs after those at each slot, and reads what they
# have made of the same slot.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Service;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = start_node(conf => "batchagg.log_level = warning\nautovacuum = off\n");

make_source($node, 'postgres', 100);
make_gate($node, 'postgres', 'gated', 1);

sub sql { return $node->safe_psql('postgres', $_[0]); }

my $keeper = $node->background_psql('postgres');

# No slot of today's comes before those that are looked at.
set_clock($node, 'postgres', '2024-01-01 05:00:30+00', '2024-01-01 05:00:30+00');

# The reader has the lower number, and less to do.  The rows that the writer reads of a
# slot end with that slot, so what a reader has tells which slot of the writer it has seen.
sql(<<'SQL');
CREATE TABLE tick (user_id integer, ts timestamptz, pages integer);
INSERT INTO tick SELECT 1, '2024-01-01 00:00+00'::timestamptz + i * interval '1 minute', 1 FROM generate_series(0, 1000) i;
CREATE VIEW made AS SELECT 1 AS user_id, "timestamp" AS ts, metric_value AS minutes FROM RuleExecutionResults WHERE result_name = 'tcount_minute_pages';
INSERT INTO batch_jobs (event_name, scheduled_from) VALUES ('EVERYMINUTE', '2024-01-01 05:00+00'), ('EVERYMINUTE', '2024-01-01 05:00+00');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'made', '1-day'), (2, 'user', 'tick', '1-minute');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'minutes', 'sum'), (2, 'pages', 'count');
CREATE TABLE seen (slot timestamptz, value float8);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO public.seen SELECT NEW.slot, (SELECT sum(metric_value) FROM public.RuleExecutionResults WHERE job_id = 1);
	RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON batchagg_runs FOR EACH ROW WHEN (NEW.job_id = 1) EXECUTE FUNCTION note();
SQL
live_through($node, 'postgres', '2024-01-01 05:00:30+00', '2024-01-01 05:10:30+00', 'ten minutes');
is(sql("SELECT count(*) FROM seen"), '10', 'the reader has run for each slot');
is(sql("SELECT string_agg(format('slot %s: %s minutes', slot, value), ', ') FROM seen WHERE value IS DISTINCT FROM extract(epoch FROM slot - '2024-01-01 00:00+00') / 60"),
	'', '... and has read what the other job has made of the same slot');
sql("SELECT batchagg_set_clock(NULL, NULL); DELETE FROM batch_jobs");

subtest 'waiting' => sub {
	sql("INSERT INTO batch_jobs (id, event_name) VALUES (10, '0 0 1 1 *'), (11, '0 0 1 1 *');
		INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (10, 'user', 'made', '1-day'), (11, 'user', 'gated', '1-hour');
		INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (10, 'minutes', 'sum'), (11, 'pages', 'sum')");
	$keeper->query_safe('SELECT pg_advisory_lock(1)');
	sql("UPDATE batch_jobs SET scheduled_from = date_trunc('year', now()) - interval '1 hour'");
	wait_for($node, 'postgres', "SELECT count(*) = 1 FROM batchagg_progress WHERE job_id = 11 AND phase = 'reading'", 'the writer is at work');
	wait_for($node, 'postgres', "SELECT reason = 'waiting for job 11, whose results it reads' FROM batchagg_slots WHERE job_id = 10 AND state = 'waiting'",
		'batchagg_slots says for whom the reader waits');
	sleep(2);
	is(sql("SELECT count(*) FROM batchagg_ledger WHERE job_id = 10"), '0', '... and it does');
	$keeper->query_safe('SELECT pg_advisory_unlock(1)');
	wait_for($node, 'postgres', ran(10), 'then it runs', 10);

	# One that fails keeps nobody waiting.
	sql("CREATE VIEW failing AS SELECT user_id, ts, pages / (pages - pages) AS pages FROM visit;
		UPDATE batchjob_definitions SET entity = 'failing' WHERE job_id = 11");
	make_due($node, 'postgres', 10, 11);
	sql("DELETE FROM batchagg_ledger; UPDATE batch_jobs SET scheduled_from = date_trunc('year', now()) - interval '1 hour'");
	wait_for($node, 'postgres', slot_is(11, 'failed'), 'the writer fails');
	wait_for($node, 'postgres', ran(10), '... and the reader runs', 10);
};

subtest 'a superuser waits for jobs that anybody can have made, but not long' => sub {
	sql("CREATE ROLE mallory LOGIN; GRANT SELECT ON gated TO mallory; UPDATE batchjob_definitions SET entity = 'gated' WHERE job_id = 11;
		UPDATE batch_jobs SET owner = 'mallory' WHERE id = 11");
	$keeper->query_safe('SELECT pg_advisory_lock(1)');
	sql("DELETE FROM batchagg_ledger; UPDATE batch_jobs SET scheduled_from = date_trunc('year', now()) - interval '1 hour'");
	my $waited = wait_for($node, 'postgres', ran(10), 'the reader runs', 40);
	cmp_ok($waited // 0, '>', 5, '... not at once');
	is(sql("SELECT count(*) FROM batchagg_progress WHERE job_id = 11"), '1', '... while the writer is at work still');
	$keeper->query_safe('SELECT pg_advisory_unlock(1)');
	wait_for($node, 'postgres', ran(11), 'the writer ends');
};

$keeper->quit;
$node->stop;
done_testing();
