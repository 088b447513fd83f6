# Processes of the service are killed at random moments, while it works off a
# backlog: by kill -9, which takes the whole server through a crash, and by
# pg_terminate_backend().  In the end each slot has been run exactly once.
#
# BATCHAGG_SEED repeats the choice of victims; the moments are never the same.

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

my $CRASHES = $ENV{BATCHAGG_CRASHES} // 15;
my $TERMINATIONS = $ENV{BATCHAGG_TERMINATIONS} // 40;

# New jobs come when fewer slots than that wait.
my $BACKLOG = 150;

my $seed = $ENV{BATCHAGG_SEED} // int(time() * 1000) % 1000000;
note("seed $seed");
srand($seed);

my $node = start_node(
	conf => <<'CONF');
restart_after_crash = on
batchagg.max_concurrent_jobs = 4
batchagg.history_retention = 0
batchagg.log_level = warning
CONF
make_source($node, 'postgres', 5000);

# Runs take a while, little of it a processor's.  Jobs of two owners, so that
# workers come and go.
$node->safe_psql('postgres', <<'SQL');
CREATE VIEW slow AS SELECT v.* FROM visit v, (SELECT pg_sleep(0.04) OFFSET 0) s;
CREATE ROLE other;
GRANT SELECT ON slow TO other;
SQL

sub feed
{
	make_jobs($node, 'postgres', 2, 40, 'slow');
	make_jobs($node, 'postgres', 2, 40, 'slow', owner => "'other'");
}

# Somebody writes meanwhile, at all ages of rows; reconnecting after crashes.
my $stop = $node->basedir . '/stop-writing';
my $written = $node->basedir . '/written';
my $script = <<'SH';
while [ ! -e "$0" ] && kill -0 $PPID; do
	psql -Xqd "$1" -c "INSERT INTO visit SELECT random() * 16, now() - random() * interval '7 days', random() * 99 FROM generate_series(1, 20);
		UPDATE visit SET pages = pages + 1 WHERE ctid = ANY (ARRAY(SELECT ctid FROM visit TABLESAMPLE SYSTEM (1) LIMIT 20))" \
		2>/dev/null && echo >>"$2"
	sleep 0.3
done
SH
my $writer = IPC::Run::start([ 'sh', '-c', $script, $stop, $node->connstr('postgres'), $written ]);

# Kills some process of the service.  Returns its kind, and when that was; undef if
# there is none; and how many slots wait.
sub kill_one
{
	my ($how) = @_;

	for (1 .. 300)
	{
		my $chance = rand();
		my $kind = $chance < 0.6 ? 'worker' : $chance < 0.85 ? 'scheduler' : 'launcher';
		my $killed = time();
		my $terminate = $how eq 'crash' ? 'false' : 'pg_terminate_backend(pid)';
		my ($status, $stdout) = $node->psql('postgres', <<"SQL");
SELECT pid, $terminate, (SELECT coalesce(sum(slots), 0) FROM batchagg_slots WHERE state = 'waiting')
FROM pg_stat_activity WHERE backend_type = 'batchagg $kind' ORDER BY random() LIMIT 1
SQL
		my ($pid, undef, $waiting) = split /\|/, $stdout // '';

		# It may have gone by itself meanwhile.
		$killed = time() if $how eq 'crash';
		if (defined $waiting && ($how ne 'crash' || kill('KILL', $pid)))
		{
			return ($kind, $killed, $waiting);
		}
		sleep(0.1);
	}
	return;
}

my @cycles = (('crash') x $CRASHES, ('termination') x $TERMINATIONS);
for my $i (reverse 1 .. $#cycles)
{
	my $j = int(rand($i + 1));
	@cycles[ $i, $j ] = @cycles[ $j, $i ];
}

my (%count, %longest, $stuck, $quiet);
my $cycles = 0;
feed() for 1 .. 2;
for my $cycle (@cycles)
{
	my ($kind, $killed, $waiting, $server, $took);

	sleep(rand(0.3));
	($kind, $killed, $waiting) = kill_one($cycle);
	if (!defined $kind)
	{
		$stuck = 'there is no process to be killed';
		last;
	}
	$count{"$cycle of a $kind"}++;

	# Nobody writes in the last quarter, so that every job sees it all.
	if (++$cycles == int(@cycles * 3 / 4))
	{
		append_to_file($stop, '');
		$writer->finish;
		$quiet = time();
	}

	# A crashed server takes a moment to stop; then it takes its time to recover.
	sleep(0.2) if $cycle eq 'crash';
	$server = try_for($node, 'postgres', 'SELECT true', 120) if $cycle eq 'crash';
	feed() if $waiting < $BACKLOG;
	$took = try_for($node, 'postgres',
		"SELECT EXISTS (SELECT FROM batchagg_ledger WHERE started_at > to_timestamp($killed))", 90);
	if (!defined $took)
	{
		$stuck = "nothing was started for 90 s after the $cycle of a $kind";
		last;
	}
	$longest{$cycle} = $took if $took > ($longest{$cycle} // 0);
	$longest{recovery} = $server if ($server // 0) > ($longest{recovery} // 0);
}
is($stuck, undef, sprintf('%d cycles: %s', scalar @cycles, join(', ', map { "$count{$_} $_" } sort keys %count)));
note(sprintf('longest time until a slot was started: %.2f s after a termination, %.2f s after a crash and up to %.2f s for the recovery',
	$longest{termination} // 0, $longest{crash} // 0, $longest{recovery} // 0));

# Every job has a run since then; the last slots that all have done are the end.
cmp_ok((-s $written) // 0, '>', 10, (-s $written) . ' times rows were written meanwhile');
wait_for($node, 'postgres', <<"SQL", 'the backlog is worked off', 180);
SELECT NOT EXISTS (SELECT FROM batch_jobs j WHERE NOT EXISTS (
	SELECT FROM batchagg_ledger l WHERE l.job_id = j.id AND l.slot >= date_trunc('minute', to_timestamp($quiet))
		AND l.state = 'done' AND l.started_at > to_timestamp($quiet)))
SQL
my $until = $node->safe_psql('postgres',
	"SELECT min(last) FROM (SELECT max(slot) AS last FROM batchagg_ledger WHERE state = 'done' GROUP BY job_id) l");

my $slots = $node->safe_psql('postgres', <<"SQL");
SELECT count(*) FROM batch_jobs j, batchagg_next_runs(j.event_name, 10000, j.scheduled_from) n(slot) WHERE n.slot <= '$until'
SQL
is(accounts($node, 'postgres', $until), '', "each of $slots slots is done, by one run, and all attempts are recorded");
is(exact($node, 'postgres'), 't|0', 'the results are exact');
note(figures($node, 'postgres'));

# Nothing is left over.
$node->safe_psql('postgres', 'UPDATE batch_jobs SET enable_flag = false');
wait_for($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'batchagg worker'",
	'the workers go', 60);
is($node->safe_psql('postgres', "SELECT count(*) FROM batchagg_ledger WHERE state IN ('running', 'waiting')"),
	0, 'no slot stays open');
is(scalar activity($node, 'launcher'), 1, 'one launcher');
is(scalar activity($node, 'scheduler'), 1, 'one scheduler');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_ls_tmpdir()'), 0, 'no temporary file');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0, 'no lock');

my $log = slurp_file($node->logfile);
my $restarts = () = $log =~ /all server processes terminated; reinitializing/g;
cmp_ok(abs($restarts - $CRASHES + 1), '<=', 1, "$restarts restarts after crashes");
unlike($log, qr/PANIC|TRAP|signal (6|7|11)\b/, 'and none for another reason');

$node->stop;
done_testing();
