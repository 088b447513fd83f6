# What the tests of the service have in common.

package Service;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(start_node make_source make_jobs wait_for try_for exact activity accounts figures
  set_clock live_through make_job make_due make_gate set_conf log_since ran remove_role slot_is last_run);

# A server with the library preloaded; %options: name, conf, and what else
# PostgreSQL::Test::Cluster's init() takes.
sub start_node
{
	my (%options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($options{name} // 'main');

	# Sessions in the background live longer than that module thinks.
	$PostgreSQL::Test::Utils::timeout_default = 900;
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

# Inserts $n jobs of one event that have slots to catch up with, from $minutes
# minutes ago on, and keep to each of them; the definitions of each are $from, by
# hour and by day.  Returns their ids.  %columns: more columns of batch_jobs.
sub make_jobs
{
	my ($node, $database, $n, $minutes, $from, %columns) = @_;
	my %values = (
		event_name => "'EVERYMINUTE'",
		missed_runs => "'each'",
		scheduled_from => "date_trunc('minute', now()) - $minutes * interval '1 minute'",
		max_retries => 1000,
		retry_delay => 0,
		%columns);
	my $names = join(', ', sort keys %values);
	my $values = join(', ', map { $values{$_} } sort keys %values);

	$from //= 'visit';
	return split /\n/, $node->safe_psql($database, <<"SQL");
WITH job AS (INSERT INTO batch_jobs ($names) SELECT $values FROM generate_series(1, $n) RETURNING id),
	definition AS (INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
		SELECT id, 'user', '$from', g FROM job, unnest(ARRAY['1-hour', '1-day']) g),
	metric AS (INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
		SELECT id, 'pages', 'sum,median' FROM job)
SELECT id FROM job
SQL
}

# Waits until a query gives 't'.  Returns the seconds that it took, or undef.
sub try_for
{
	my ($node, $database, $query, $seconds) = @_;
	my $began = time();

	while (time() - $began < $seconds)
	{
		my ($status, $stdout) = $node->psql($database, $query);

		return time() - $began if ($stdout // '') eq 't';
		sleep(0.1);
	}
	return undef;
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

# Gives a database's service a clock that goes from slot to slot, from $from
# until $until; does not wait.
sub set_clock
{
	my ($node, $database, $from, $until) = @_;

	$node->safe_psql($database, "SELECT batchagg_set_clock('$from', '$until')");
}

# The same, and waits until the last slot is dealt with; fails the test where
# that takes more than $seconds.  Returns the seconds that it took.  It looks
# from one session, as starting psql again and again would slow the service down.
sub live_through
{
	my ($node, $database, $from, $until, $what, $seconds) = @_;
	my $began = time();

	$seconds //= 120;
	my ($status, $stdout, $stderr) = $node->psql($database, <<"SQL", timeout => $seconds + 60);
DO \$\$
DECLARE
	began timestamptz := clock_timestamp();
BEGIN
	PERFORM batchagg_set_clock('$from', '$until');
	LOOP
		COMMIT;
		EXIT WHEN NOT EXISTS (SELECT FROM batchagg_expected_slots() WHERE slot IS NOT NULL OR next_slot <= '$until')
			AND NOT EXISTS (SELECT FROM batchagg_ledger WHERE state IN ('running', 'waiting'));
		IF clock_timestamp() > began + $seconds * interval '1 second' THEN
			RAISE EXCEPTION 'not in time: %', (SELECT string_agg(e::text, ' ') FROM batchagg_expected_slots() e);
		END IF;
		PERFORM pg_sleep(0.05);
	END LOOP;
END \$\$
SQL
	my $took = time() - $began;
	is($status, 0, sprintf('%s (%.2f s)', $what // "the service lives from $from until $until", $took)) or diag($stderr);
	return $took;
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

# What does not agree, of the slots up to an instant of jobs that run each slot
# (all of them, or those of a condition on job_id): the schedule, the ledger, and
# the history.  Empty if all is well.
sub accounts
{
	my ($node, $database, $until, $which) = @_;

	$which //= 'true';
	return $node->safe_psql($database, <<"SQL");
WITH expected AS (
	SELECT job_id, n.slot FROM (SELECT *, id AS job_id FROM batch_jobs) j,
		batchagg_next_runs(j.event_name, 10000, j.scheduled_from) n(slot) WHERE n.slot <= '$until' AND $which),
ledger AS (SELECT * FROM batchagg_ledger WHERE slot <= '$until' AND $which),
shown AS (SELECT job_id, slot, count(*) FILTER (WHERE state IN ('done', 'late')) AS done, count(*) AS n
	FROM batchagg_slots WHERE slot <= '$until' AND $which GROUP BY 1, 2),
history AS (
	SELECT job_id, slot, count(*) AS n, count(DISTINCT attempt) AS attempts, max(attempt) AS last,
		count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
		max(run_id) FILTER (WHERE status = 'succeeded') AS run_id,
		max(started_at) FILTER (WHERE status = 'succeeded') AS started_at
	FROM batchagg_runs WHERE slot <= '$until' AND $which GROUP BY 1, 2)
SELECT format('job %s, slot %s: %s', job_id, slot, fault) FROM (
	SELECT job_id, slot, 'expected, and not in the ledger' AS fault
	FROM (SELECT job_id, slot FROM expected EXCEPT SELECT job_id, slot FROM ledger) e
	UNION ALL
	SELECT job_id, slot, 'in the ledger, and not expected'
	FROM (SELECT job_id, slot FROM ledger EXCEPT SELECT job_id, slot FROM expected) l
	UNION ALL
	SELECT job_id, slot, 'in the ledger as ' || state || coalesce(', ' || reason, '')
	FROM ledger WHERE state <> 'done' OR slots > 1
	UNION ALL
	SELECT job_id, slot, format('%s rows in batchagg_slots, done %s', n, done)
	FROM shown WHERE n <> 1 OR done <> 1
	UNION ALL
	SELECT job_id, slot, format('%s runs succeeded', coalesce(succeeded, 0))
	FROM expected FULL JOIN history USING (job_id, slot) WHERE coalesce(succeeded, 0) <> 1
	UNION ALL
	SELECT job_id, slot, format('attempt %s in the ledger, but %s runs recorded, of %s attempts up to %s',
		l.attempt, h.n, h.attempts, h.last)
	FROM ledger l JOIN history h USING (job_id, slot)
	WHERE h.n <> l.attempt OR h.attempts <> l.attempt OR h.last <> l.attempt OR h.run_id <> l.run_id
	UNION ALL
	SELECT job_id, slot, 'ran before an earlier slot'
	FROM (SELECT *, lag(started_at) OVER (PARTITION BY job_id ORDER BY slot) AS previous FROM history) h
	WHERE started_at < previous) f
ORDER BY job_id, slot LIMIT 20
SQL
}

# The number of slots, of attempts, and of attempts by how they ended.
sub figures
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, <<'SQL');
SELECT format('%s slots of %s jobs, %s attempts: %s succeeded, %s failed, %s interrupted; at most %s attempts at a slot',
	count(DISTINCT (job_id, slot)), count(DISTINCT job_id), count(*), count(*) FILTER (WHERE status = 'succeeded'),
	count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'interrupted'), max(attempt))
FROM batchagg_runs
SQL
}


# An event that fires once an hour, half an hour from now: it does not come in
# the way of a test, and had a slot half an hour ago.
sub quiet_event
{
	return sprintf('%d * * * *', (gmtime(time() + 1800))[1]);
}

# SQL that makes a job's slot of half an hour ago due, as if nobody had ever
# run it.
sub due_sql
{
	my ($where) = @_;

	return "DELETE FROM batchagg_ledger WHERE job_id IN (SELECT id FROM batch_jobs WHERE $where);
		UPDATE batch_jobs SET scheduled_from = now() - interval '1 hour' WHERE $where;";
}

# Makes jobs due at once.
sub make_due
{
	my ($node, $database, @jobs) = @_;

	$node->safe_psql($database, 'BEGIN;' . due_sql('id IN (' . join(',', @jobs) . ')') . 'COMMIT');
}

# A job that sums the pages of a table or view by user and hour, and is not due;
# with `due`, it is at once.  Returns its id.  %job: source, owner, event, due,
# and as `set` further columns of batch_jobs: "max_retries = 3".
sub make_job
{
	my ($node, $database, %job) = @_;
	my $source = $job{source} // 'visit';
	my $event = $job{event} // quiet_event();
	my $set = $job{set} ? "UPDATE batch_jobs SET $job{set} WHERE id = (SELECT id FROM made);" : '';
	my $due = $job{due} ? due_sql('id = (SELECT id FROM made)') : '';
	my $owner = $job{owner} ? "'$job{owner}'" : 'DEFAULT';

	return $node->safe_psql($database, <<"SQL");
BEGIN;
INSERT INTO batch_jobs (event_name, owner) VALUES ('$event', $owner);
CREATE TEMP TABLE made ON COMMIT DROP AS SELECT max(id) AS id FROM batch_jobs;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) SELECT id, 'user', '$source', '1-hour' FROM made;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT id, 'pages', 'sum' FROM made;
$set
$due
SELECT id FROM made;
COMMIT
SQL
}

# A view with the rows of visit that lets nobody through while lock $number is
# held: see pg_advisory_lock().
sub make_gate
{
	my ($node, $database, $view, $number) = @_;

	$node->safe_psql($database, <<"SQL");
CREATE OR REPLACE FUNCTION gate(number bigint, i integer) RETURNS boolean LANGUAGE plpgsql AS \$\$
BEGIN
	IF i = 50 THEN
		PERFORM pg_advisory_lock_shared(number);
		PERFORM pg_advisory_unlock_shared(number);
	END IF;
	RETURN true;
END \$\$;
CREATE VIEW $view AS SELECT * FROM visit WHERE gate($number, pages);
GRANT SELECT ON $view, visit TO PUBLIC;
SQL
}

# Sets the server's settings, without a restart.
sub set_conf
{
	my ($node, %settings) = @_;

	$node->safe_psql('postgres', join '', map { "ALTER SYSTEM SET $_ = '$settings{$_}';\n" } keys %settings);
	$node->reload;
	for my $name (keys %settings)
	{
		$node->poll_query_until('postgres', "SELECT current_setting('$name') = '$settings{$name}'")
		  or die "$name did not change";
	}
	# The service's processes are told a little later than new sessions.
	sleep(0.3);
}

# The server's log, from a place in it.
sub log_since
{
	my ($node, $place) = @_;

	return substr(slurp_file($node->logfile), $place);
}

# Removes a role that owns jobs, which DROP ROLE does not, as an old dump might have it.
sub remove_role
{
	my ($node, $database, $role) = @_;

	$node->safe_psql($database, "SET allow_system_table_mods = on; DELETE FROM pg_authid WHERE rolname = '$role'");
}

# A condition: a job's slots are all done, and there are some.
sub ran
{
	my ($job) = @_;

	return slot_is($job, 'done');
}

# A condition: the last slot of a job is in a state.
sub slot_is
{
	my ($job, $state) = @_;

	return "SELECT state = '$state' FROM batchagg_ledger WHERE job_id = $job ORDER BY slot DESC LIMIT 1";
}

# What the history says of the last run of a job.
sub last_run
{
	my ($node, $database, $job) = @_;

	return $node->safe_psql($database,
		"SELECT status, error_sqlstate FROM batchagg_runs WHERE job_id = $job ORDER BY run_id DESC LIMIT 1");
}

1;
