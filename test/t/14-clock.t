# The scheduler against the clock: a year of it, changes to and from summer
# time, clocks that are set, and times in which nobody was there.
#
# The service is given a clock (batchagg_set_clock) that goes from slot to slot
# without waiting; all else is the service as it always is.

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

my $node = start_node(
	conf => <<'CONF');
timezone = 'UTC'
batchagg.history_retention = 0
batchagg.max_concurrent_jobs = 4
synchronous_commit = off
CONF

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION batchagg;
CREATE TABLE visit (user_id integer, ts timestamptz, pages integer);
INSERT INTO visit SELECT i % 7, '2023-12-01 00:00+00'::timestamptz + i * interval '5 hours', i % 100 FROM generate_series(1, 800) i;
CREATE VIEW same AS SELECT * FROM visit;
INSERT INTO batchagg_events (event_name, schedule, timezone) VALUES
	('SOMEDAYS', '30 9 13,27 * fri', 'Asia/Kolkata'),
	('OFFICE', '15 2,14 * 3-11 1-5', 'Europe/Berlin'),
	('IN GAP', '30 2 * * *', 'America/New_York'),
	('IN OVERLAP', '30 1 * * *', 'America/New_York'),
	('NEW YORK HOURS', '0 * * * *', 'America/New_York');
SQL

# Takes all jobs away, sets the clock to $start and makes others, which are
# expected from then on; each is (event_name, missed_runs, job_delay, source).
# Their ids count from 1.
sub make_jobs
{
	my ($start, $granularity, @jobs) = @_;
	my $id = 0;
	my $sql = '';

	for my $job (@jobs)
	{
		my ($event, $policy, $delay, $source) = @$job;

		$id++;
		$policy //= 'coalesce';
		$delay //= 0;
		$source //= 'visit';
		$sql .= <<"SQL";
INSERT INTO batch_jobs (id, job_name, event_name, missed_runs, scheduled_from) VALUES ($id, '$id $policy', '$event', '$policy', '$start');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay) VALUES ($id, 'user', '$source', '$granularity', $delay);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES ($id, 'pages', 'sum');
SQL
	}
	$node->safe_psql('postgres', 'DELETE FROM batch_jobs');
	set_clock($node, 'postgres', $start, $start);
	$node->safe_psql('postgres', "BEGIN; $sql COMMIT");
}

# What the ledger says of a job from an instant on: each row's slot and state,
# of several slots the first and their number too.
sub ledger
{
	my ($id, $from) = @_;

	return $node->safe_psql('postgres', <<"SQL");
SELECT string_agg(to_char(slot, 'HH24:MI') || ' ' || state ||
	CASE WHEN first_slot IS NOT NULL THEN format(' %s from %s', slots, to_char(first_slot, 'HH24:MI')) ELSE '' END, ', ' ORDER BY slot)
FROM batchagg_ledger WHERE job_id = $id AND slot > '$from'
SQL
}

# The slots of a job's runs, in the order in which they were run.
sub runs
{
	my ($id, $from_run) = @_;

	return $node->safe_psql('postgres',
		"SELECT string_agg(to_char(slot, 'HH24:MI'), ' ' ORDER BY run_id) FROM batchagg_runs WHERE job_id = $id AND run_id > $from_run");
}

sub last_run
{
	return $node->safe_psql('postgres', 'SELECT coalesce(max(run_id), 0) FROM batchagg_runs');
}

# Three jobs of an event, one for each policy, and an hourly one that shows
# that the scheduler goes on; they have run the slots 1:00 to 3:00.
sub make_three
{
	my ($event) = @_;

	make_jobs('2024-06-03 00:30', '1-day', [ $event, 'coalesce' ], [ $event, 'each' ], [ $event, 'skip' ]);
	live_through($node, 'postgres', '2024-06-03 00:30', '2024-06-03 03:30', "$event: three hours");
}

# Slots were missed; these three answers are right.
sub three_are
{
	my ($what, $from, $coalesce, $each, $skip) = @_;

	is(ledger(1, $from), $coalesce, "$what, coalesce: $coalesce");
	is(ledger(2, $from), $each, "$what, each: $each");
	is(ledger(3, $from), $skip, "$what, skip: $skip");
}

#
# A year: every slot once.
#

my ($year, $end) = ('2024-01-01 00:00', '2025-01-01 00:00');
my @events = ('EVERY12HOURS', 'EVERYDAY8AMET', 'EVERYWEEK', 'SOMEDAYS', 'OFFICE', 'EVERYMONTH', 'IN GAP', 'IN OVERLAP',
	'EVERYWEEKMON6AMEurope/Berlin', '5 4 29 2 *');

make_jobs($year, '1-month', map { [ $_, (qw(coalesce each skip))[ length($_) % 3 ] ] } @events);
my $seconds = live_through($node, 'postgres', $year, $end, 'a year', 400);

is($node->safe_psql('postgres', <<"SQL"), '0|0|0', 'the slots of a year are those of batchagg_next_runs');
WITH expected AS (
	SELECT id, r.slot FROM batch_jobs, LATERAL batchagg_next_runs(event_name, 2000, '$year') r(slot) WHERE r.slot <= '$end'),
ledger AS (SELECT job_id, slot FROM batchagg_ledger WHERE state = 'done' AND attempt = 1 AND first_slot IS NULL)
SELECT (SELECT count(*) FROM (TABLE expected EXCEPT ALL TABLE ledger) d),
	(SELECT count(*) FROM (TABLE ledger EXCEPT ALL TABLE expected) d),
	(SELECT count(*) FROM batchagg_ledger WHERE state <> 'done')
SQL
is($node->safe_psql('postgres', <<'SQL'), '0', '... each with one run');
SELECT count(*) FROM (
	(SELECT job_id, slot, run_id FROM batchagg_ledger EXCEPT ALL SELECT job_id, slot, run_id FROM batchagg_runs WHERE status = 'succeeded')
	UNION ALL
	(SELECT job_id, slot, run_id FROM batchagg_runs EXCEPT ALL SELECT job_id, slot, run_id FROM batchagg_ledger)) d
SQL
is($node->safe_psql('postgres', "SELECT count(*) FROM batchagg_slots WHERE state <> 'done'"), '0', '... and none of them late');
my $slots = $node->safe_psql('postgres', 'SELECT count(*) FROM batchagg_ledger');
my $each = $node->safe_psql('postgres', <<'SQL');
SELECT string_agg(format('%s: %s', event_name, (SELECT count(*) FROM batchagg_ledger WHERE job_id = id)), ', ' ORDER BY id) FROM batch_jobs
SQL
note(sprintf('a year: %d slots of %d jobs in %.1f s, %.0f slots/s', $slots, scalar @events, $seconds // 0, $slots / ($seconds || 1)));
note($each);
is(exact($node, 'postgres'), 't|0', '... and the results are exact');

#
# Summer time.  New York's clocks went forward on 10 March, and back on 3
# November.
#

$node->safe_psql('postgres', <<'SQL');
CREATE VIEW local AS
SELECT job_id, slot, (slot AT TIME ZONE 'America/New_York')::date AS day, (slot AT TIME ZONE 'America/New_York')::time AS "time" FROM batchagg_ledger;
SQL
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT day), min("time"), max("time") FROM local WHERE job_id = 2'),
	'366|366|08:00:00|08:00:00', 'EVERYDAY8AMET is at 8:00 in New York on each of 366 days');
is($node->safe_psql('postgres', q(SELECT count(*), count(DISTINCT day), string_agg(day::text || ' ' || "time"::text, ', ') FILTER (WHERE "time" <> '02:30') FROM local WHERE job_id = 7)),
	'366|366|2024-03-10 03:00:00', '2:30 is at 3:00 on the day that lacks it');
is($node->safe_psql('postgres', q(SELECT count(*), count(DISTINCT day), min("time"), max("time"), max(slot) FILTER (WHERE day = '2024-11-03') FROM local WHERE job_id = 8)),
	'366|366|01:30:00|01:30:00|2024-11-03 05:30:00+00', '1:30 comes once, the first time, on the day that has it twice');

for my $change ([ '2024-03-09 00:30', '2024-03-12 00:30' ], [ '2024-11-02 00:30', '2024-11-05 00:30' ])
{
	my ($from, $until) = @$change;

	make_jobs($from, '1-day', [ 'NEW YORK HOURS', 'each' ], [ 'EVERYHOUR', 'skip' ], ['EVERYDAY8AMET']);
	live_through($node, 'postgres', $from, $until, "from $from until $until");
	is($node->safe_psql('postgres', <<'SQL'), "1|72|01:00:00\n2|72|01:00:00", '... there is a run in each hour that passes');
SELECT job_id, count(*), string_agg(DISTINCT step::text, ' ')
FROM (SELECT job_id, slot - lag(slot) OVER (PARTITION BY job_id ORDER BY slot) AS step FROM batchagg_ledger WHERE job_id <= 2 AND state = 'done') s
GROUP BY 1 ORDER BY 1
SQL
	is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT day), min("time"), max("time") FROM local WHERE job_id = 3'),
		'3|3|08:00:00|08:00:00', '... and one at 8:00 each day');
}

#
# Horizons.
#

make_jobs('2024-01-01 00:30', '1-day', [ 'EVERY6HOURS', 'coalesce', 24 ], [ 'EVERYDAY8AMET', 'each', 3 ], ['EVERYDAY']);
for my $until ('2024-01-04 07:00', '2024-01-17 00:00', '2024-02-01 13:30')
{
	live_through($node, 'postgres', '2024-01-01 00:30', $until, "horizons until $until")
		if $until lt '2024-01-05';
	live_through($node, 'postgres', '2024-01-04 07:00', $until, "horizons until $until")
		if $until gt '2024-01-05';
	is(exact($node, 'postgres'), 't|0', "... results are those of the rows before each job's horizon");
}
is($node->safe_psql('postgres', <<'SQL'), "1|24 h|t\n2|3 h|t\n3|0 h|t", '... which is the slot less job_delay in each of their runs');
SELECT job_id, string_agg(DISTINCT extract(epoch FROM slot - range_to)::integer / 3600 || ' h', ' '), count(*) > 25 FROM batchagg_runs GROUP BY 1 ORDER BY 1
SQL

#
# The clock is set forward.
#

make_three('EVERY15MINUTES');
live_through($node, 'postgres', '2024-06-03 05:37', '2024-06-03 06:00', 'the clock is set from 3:30 to 5:37');
three_are('forward', '2024-06-03 03:30',
	'05:15 missed 7 from 03:45, 05:30 done, 05:45 done, 06:00 done',
	'03:45 done, 04:00 done, 04:15 done, 04:30 done, 04:45 done, 05:00 done, 05:15 done, 05:30 done, 05:45 done, 06:00 done',
	'05:30 skipped 8 from 03:45, 05:45 done, 06:00 done');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT reason, '; ' ORDER BY reason) FROM batchagg_slots WHERE state IN ('missed', 'skipped')"),
	'nobody could start it in time, and missed_runs of the job is skip; the run of slot 2024-06-03 05:30:00+00 catches up for it', '... and why');

# A little is no leap: the slots in between are late, not missed.
make_three('EVERYMINUTE');
live_through($node, 'postgres', '2024-06-03 03:31:20', '2024-06-03 03:32', 'the clock is set forward by 80 s');
is(ledger(1, '2024-06-03 03:30'), '03:31 done, 03:32 done', '... coalesce');
is(ledger(2, '2024-06-03 03:30'), '03:31 done, 03:32 done', '... each');
like(ledger(3, '2024-06-03 03:30'), qr/^03:31 (done|skipped), 03:32 done$/, '... skip');

#
# The clock is set back.
#

make_jobs('2024-06-03 00:30', '1-day', ['EVERYMINUTE'], [ 'EVERYHOUR', 'each' ], [ 'EVERY15MINUTES', 'skip', 0, 'same' ],
	[ '0 5 * * *', 'coalesce' ], [ '0 5 * * *', 'each' ], [ '0 5 * * *', 'skip' ], [ 'EVERY2HOURS', 'each' ]);
live_through($node, 'postgres', '2024-06-03 00:30', '2024-06-03 05:30', 'until 5:30');
# A job that is made now, and one that is wished from 6:05 on.
$node->safe_psql('postgres', <<'SQL');
INSERT INTO batch_jobs (id, event_name, scheduled_from, updated_at)
VALUES (8, 'EVERYMINUTE', '2024-06-03 05:30', '2024-06-03 05:30'), (9, 'EVERYMINUTE', '2024-06-03 06:05', '2024-06-03 05:30');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) SELECT id, 'user', 'visit', '1-day' FROM batch_jobs WHERE id >= 8;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT id, 'pages', 'sum' FROM batch_jobs WHERE id >= 8;
SQL
live_through($node, 'postgres', '2024-06-03 05:30', '2024-06-03 05:37', 'until 5:37');
is(runs(8, 0), '05:31 05:32 05:33 05:34 05:35 05:36 05:37', '... a job that was made at 5:30 begins then');
my $before = last_run();
live_through($node, 'postgres', '2024-06-03 03:37', '2024-06-03 03:41', 'the clock is set back to 3:37');
is(runs(1, $before), '03:38 03:39 03:40 03:41', '... EVERYMINUTE goes on at once');
is(runs(8, $before), '03:38 03:39 03:40 03:41', '... and so it does where the job was made after that');
is(runs(2, $before), '', '... EVERYHOUR has no slot yet');
live_through($node, 'postgres', '2024-06-03 03:41', '2024-06-03 06:10', 'and goes on to 6:10');
is(runs(2, $before), '04:00 05:00 06:00', '... EVERYHOUR follows real time');
is(runs(9, 0), '06:06 06:07 06:08 06:09 06:10', '... and a job that is wished from 6:05 on begins then');
is(runs(3, $before), '03:45 04:00 04:15 04:30 04:45 05:00 05:15 05:30 05:45 06:00', '... EVERY15MINUTES with skip is run, and not skipped');
is(join(';', map { runs($_, $before) } 4 .. 6), ';;', '... what is at 5:00 each day has been run today');
is(runs(7, $before), '06:00', '... and EVERY2HOURS at 4:00');
is(ledger(4, '2024-06-03 00:00'), '05:00 done', '... the ledger has it once');

$before = last_run();
live_through($node, 'postgres', '2024-06-03 06:09:20', '2024-06-03 06:10:50', 'the clock is set back by less than a minute');
is(runs(1, $before), '', '... nothing is repeated');
live_through($node, 'postgres', '2024-06-03 06:10:50', '2024-06-03 06:12:00', 'and goes on');
is(runs(1, $before), '06:11 06:12', '... with what comes next');
like(slurp_file($node->logfile), qr/batchagg job 1 in database "[^"]+": the clock went back behind slot 2024-06-03 05:37:00\+00, which may come again/, 'the log says so');

#
# Nobody is there: the server is down, the service or the job disabled.
#

make_three('EVERYHOUR');
$node->append_conf('postgresql.conf', 'batchagg.enabled = off');
$node->restart;
set_clock($node, 'postgres', '2024-06-03 07:30', '2024-06-03 09:30');
$node->append_conf('postgresql.conf', 'batchagg.enabled = on');
$node->reload;
live_through($node, 'postgres', '2024-06-03 07:30', '2024-06-03 09:30', 'the server was down from 3:30 to 7:30');
three_are('down', '2024-06-03 03:30',
	'06:00 missed 3 from 04:00, 07:00 done, 08:00 done, 09:00 done',
	'04:00 done, 05:00 done, 06:00 done, 07:00 done, 08:00 done, 09:00 done',
	'07:00 skipped 4 from 04:00, 08:00 done, 09:00 done');
is($node->safe_psql('postgres', "SELECT string_agg(to_char(slot, 'HH24:MI') || ' ' || state, ', ' ORDER BY slot) FROM batchagg_slots WHERE job_id = 2 AND slot > '2024-06-03 03:30'"),
	'04:00 late, 05:00 late, 06:00 late, 07:00 late, 08:00 done, 09:00 done', '... runs that caught up are late');

make_three('EVERYHOUR');
$node->append_conf('postgresql.conf', 'batchagg.enabled = off');
$node->reload;
wait_for($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'", 'batchagg.enabled = off sends the scheduler away');
set_clock($node, 'postgres', '2024-06-03 06:30', '2024-06-03 06:30');
is($node->safe_psql('postgres', 'SELECT job_id, first_slot, slot, slots, reason, next_slot FROM batchagg_expected_slots() ORDER BY 1'),
	join("\n",
		'1|2024-06-03 04:00:00+00|2024-06-03 06:00:00+00|3|the setting batchagg.enabled is off|2024-06-03 07:00:00+00',
		'2|2024-06-03 04:00:00+00|2024-06-03 06:00:00+00|3|the setting batchagg.enabled is off|2024-06-03 07:00:00+00',
		'3|2024-06-03 04:00:00+00|2024-06-03 06:00:00+00|3|the setting batchagg.enabled is off|2024-06-03 07:00:00+00'),
	'... and slots wait');
$node->append_conf('postgresql.conf', 'batchagg.enabled = on');
$node->reload;
live_through($node, 'postgres', '2024-06-03 06:30', '2024-06-03 07:30', 'it comes back');
three_are('off', '2024-06-03 03:30',
	'05:00 missed 2 from 04:00, 06:00 done, 07:00 done',
	'04:00 done, 05:00 done, 06:00 done, 07:00 done',
	'06:00 skipped 3 from 04:00, 07:00 done');

make_three('EVERYHOUR');
$node->safe_psql('postgres', <<'SQL');
INSERT INTO batch_jobs (id, event_name, scheduled_from) VALUES (4, 'EVERYHOUR', '2024-06-03 03:30');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (4, 'user', 'visit', '1-day');
INSERT INTO batchjob_metrics VALUES (4, 'pages', 'sum');
UPDATE batch_jobs SET enable_flag = false WHERE id <= 3;
SQL
live_through($node, 'postgres', '2024-06-03 03:30', '2024-06-03 06:30', 'three jobs are disabled, a fourth is not');
is(ledger(4, '2024-06-03 03:30'), '04:00 done, 05:00 done, 06:00 done', '... which goes on');
is(join(';', map { ledger($_, '2024-06-03 03:30') } 1 .. 3), ';;', '... the others do not');
$node->safe_psql('postgres', 'UPDATE batch_jobs SET enable_flag = true');
live_through($node, 'postgres', '2024-06-03 06:30', '2024-06-03 07:30', 'they are enabled');
three_are('disabled', '2024-06-03 03:30',
	'05:00 missed 2 from 04:00, 06:00 done, 07:00 done',
	'04:00 done, 05:00 done, 06:00 done, 07:00 done',
	'06:00 skipped 3 from 04:00, 07:00 done');

#
# A run that takes longer than the time to the next slots.
#

make_three('EVERYHOUR');
my ($output, $errors) = ('', '');
my $blocker = IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-c', "SET application_name = 'blocker'; BEGIN; LOCK TABLE visit; SELECT pg_sleep(1000)" ],
	'>', \$output, '2>', \$errors);
wait_for($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'blocker' AND wait_event = 'PgSleep'", 'the source is locked');
set_clock($node, 'postgres', '2024-06-03 03:30', '2024-06-03 04:10');
wait_for($node, 'postgres', "SELECT count(*) = 3 FROM batchagg_ledger WHERE state = 'running' AND slot = '2024-06-03 04:00'", 'the runs of 4:00 wait for the lock');
set_clock($node, 'postgres', '2024-06-03 07:10', '2024-06-03 07:10');
is($node->safe_psql('postgres', 'SELECT slots, reason FROM batchagg_expected_slots() ORDER BY job_id'),
	join("\n", ('3|the run of slot 2024-06-03 04:00:00+00 is under way') x 3), '... and those after them for the runs');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'blocker'");
$blocker->finish;
live_through($node, 'postgres', '2024-06-03 07:10', '2024-06-03 08:10', 'the lock is gone at 7:10');
three_are('overrun', '2024-06-03 03:30',
	'04:00 done, 06:00 missed 2 from 05:00, 07:00 done, 08:00 done',
	'04:00 done, 05:00 done, 06:00 done, 07:00 done, 08:00 done',
	'04:00 done, 07:00 skipped 3 from 05:00, 08:00 done');
is($node->safe_psql('postgres', "SELECT count(*) FROM batchagg_runs WHERE status <> 'succeeded'"), '0', 'no run has failed');
is(exact($node, 'postgres'), 't|0', 'the results are exact');

#
# The true clock.
#

$node->safe_psql('postgres', 'DELETE FROM batch_jobs; SELECT batchagg_set_clock(NULL, NULL)');
$node->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO batch_jobs (id, event_name, missed_runs, scheduled_from)
SELECT n, to_char(now() - interval '6 hours', '"0 "HH24" * * *"'), (ARRAY['coalesce', 'each', 'skip'])[n], now() - interval '3 days' FROM generate_series(1, 3) n;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) SELECT id, 'user', 'visit', '1-day' FROM batch_jobs;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT id, 'pages', 'sum' FROM batch_jobs;
COMMIT;
SQL
wait_for($node, 'postgres', "SELECT NOT EXISTS (SELECT FROM batchagg_expected_slots() WHERE slot IS NOT NULL) AND NOT EXISTS (SELECT FROM batchagg_ledger WHERE state = 'running')",
	'by the true clock: three slots were missed');
is($node->safe_psql('postgres', "SELECT job_id, string_agg(concat_ws(' ', state, slots), ', ' ORDER BY slot) FROM batchagg_ledger GROUP BY 1 ORDER BY 1"),
	"1|missed 2, done\n2|done, done, done\n3|skipped 3", '... and dealt with');

is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler'"), '1', 'the scheduler lives');
my @errors = grep { /PANIC|terminated by signal|TRAP|ERROR:/ } split /\n/, slurp_file($node->logfile);
is(join("\n", @errors), '', 'the log has no error');

$node->stop;
done_testing();
