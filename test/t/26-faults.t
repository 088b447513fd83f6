# Faults made on purpose: whatever needs memory, writes or sets something may fail,
# at any point, in transactions of others too.  The server stays up, nothing is half
# written, no mark is lost, and after a run the results are those of plain SQL.
#
# Of many points some are tried; with BATCHAGG_FAULT_POINTS=all each of them.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Checkout;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Service;
use Test::More;

my $all = ($ENV{BATCHAGG_FAULT_POINTS} // '') eq 'all';

my $pg_config = run_line('sh', '-c', 'command -v pg_config');
plan skip_all => 'there is no make, or no compiler'
  if !run_line('sh', '-c', 'command -v make') || !run_line('sh', '-c', 'command -v cc gcc clang | head -n 1');

# The library that fails where it is told to.
my $source = PostgreSQL::Test::Utils::tempdir() . '/source';
copy_checkout($source);
my ($status, undef, $errors) = run_in($source, 'make', '-s', 'BATCHAGG_FAULTS=1', 'PROFILE=-O0', "PG_CONFIG=$pg_config", 'batchagg.so');
is($status, 0, 'the library with faults is built') or BAIL_OUT($errors);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
max_parallel_workers = 0
restart_after_crash = on
max_prepared_transactions = 2
CONF
$node->start;

# Uses the library in a database of its own.
sub make_database
{
	my ($name) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, <<"SQL");
CREATE EXTENSION batchagg;
UPDATE pg_proc SET probin = '$source/batchagg.so' WHERE probin = '\$libdir/batchagg';
SQL
	# A session can load one of the two.
	$node->safe_psql($name, <<"SQL");
CREATE FUNCTION fault(kind text, n bigint) RETURNS bigint AS '$source/batchagg.so', 'batchagg_fault' LANGUAGE C STRICT;
CREATE TABLE v (user_id text, ts timestamptz, n integer);
INSERT INTO v SELECT 'u' || g % 3, '2024-10-07 00:00+00'::timestamptz + g * interval '10 min', g FROM generate_series(0, 999) g;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'v', '{1-hour,1-day}', '{"n": "sum,count,max"}');
SELECT batchagg_track_source('v');
SELECT batchagg_run_job(1);
-- What is stored and what should be, of both granularities; what differs.
CREATE FUNCTION wrong() RETURNS bigint LANGUAGE SQL AS \$\$
WITH stored AS (
	SELECT d.granularity, entity_id, timestamp, aggregation_type, metric_value FROM RuleExecutionResults JOIN batchjob_definitions d ON d.id = definition_id),
groups AS (
	SELECT g, user_id, date_trunc(substr(g, 3), ts, 'UTC') AS t, sum(n) AS sum, count(n) AS count, max(n) AS max
	FROM v, unnest(ARRAY['1-hour', '1-day']) g GROUP BY 1, 2, 3),
expected AS (
	SELECT g, user_id, t, a, x::float8 FROM groups, LATERAL (VALUES ('sum', sum), ('count', count), ('max', max)) r (a, x))
SELECT count(*) FROM ((TABLE stored EXCEPT TABLE expected) UNION ALL (TABLE expected EXCEPT TABLE stored)) d
\$\$;
-- Marks of times and entities that nobody has written.
CREATE FUNCTION strange() RETURNS bigint LANGUAGE SQL AS \$\$
SELECT count(*) FROM batchagg_marks m LEFT JOIN LATERAL unnest(ids) id ON true
WHERE id !~ '^[a-z]+[0-9]+\$' OR low > high OR high > '2100-01-01' OR low < '1900-01-01' AND low > '-infinity'
\$\$;
CREATE TABLE found (n bigint, what text);
-- Removes what sweeps have written, before it makes each point slower than the last.
CREATE PROCEDURE tidy() LANGUAGE plpgsql AS \$\$
BEGIN
	IF (SELECT count(*) > 5000 FROM v) THEN
		DELETE FROM v WHERE user_id !~ '^u';
		PERFORM batchagg_run_job(1);
		COMMIT;
	END IF;
END \$\$;
-- The n-th fault of a kind in the second of three statements, which a savepoint undoes;
-- for each n up to the one that is not reached, or for these.
CREATE PROCEDURE sweep(kind text, before text, failing text, after text, numbers bigint[] DEFAULT NULL) LANGUAGE plpgsql AS \$\$
DECLARE
	n bigint := 0;
	struck boolean := true;
	strange bigint;
	code text;
BEGIN
	WHILE struck LOOP
		n := CASE WHEN numbers IS NULL THEN n + 1 ELSE (SELECT min(i) FROM unnest(numbers) i WHERE i > n) END;
		EXIT WHEN n IS NULL;
		struck := false;
		code := '53200';
		CALL tidy();
		EXECUTE before;
		BEGIN
			PERFORM fault(kind, n);
			EXECUTE failing;
		EXCEPTION WHEN OTHERS THEN
			struck := true;
			code := sqlstate;
		END;
		PERFORM fault(kind, 0);
		EXECUTE after;
		COMMIT;
		strange := strange();
		PERFORM batchagg_run_job(1);
		COMMIT;
		INSERT INTO found SELECT n, 'strange' WHERE strange > 0;
		INSERT INTO found SELECT n, 'wrong' WHERE wrong() > 0;
		INSERT INTO found SELECT n, code WHERE code NOT IN ('53200', '53100');
		INSERT INTO found SELECT n, 'struck' WHERE struck;
		COMMIT;
	END LOOP;
END \$\$;
SQL
}

# What a sweep has found: faults, at least so many, and nothing else.
sub found
{
	my ($database, $what, $least) = @_;
	my ($struck, $points, $bad) = split /\|/, $node->safe_psql($database, <<'SQL');
SELECT count(*) FILTER (WHERE what = 'struck'), max(n), string_agg(n || ' ' || what, ', ' ORDER BY n) FILTER (WHERE what <> 'struck') FROM found
SQL
	cmp_ok($struck, '>=', $least, "$what: there are faults, at points up to $points");
	is($bad // '', '', "$what: marks are whole, and results exact");
	$node->safe_psql($database, 'TRUNCATE found');
}

# Calls a procedure that sweeps.
sub sweep
{
	my ($database, $what, $least, $kind, @arguments) = @_;
	my $list = join ', ', "'$kind'", map { ref $_ ? "'{" . join(',', @$_) . "}'" : "\$x\$$_\$x\$" } @arguments;
	my ($status, undef, $error) = $node->psql($database, "CALL sweep($list)");

	is("$status $error", '0 ', "$what: the server stays up");
	$node->poll_query_until('postgres', 'SELECT true') if $status;
	found($database, $what, $least);
}

# Numbers that grow faster and faster; all, where all points are tried.
sub numbers
{
	my ($to, $factor) = @_;
	my @numbers;

	for (my $n = 1; $n <= $to; $n = $all ? $n + 1 : int($n * $factor) + 1)
	{
		push @numbers, $n;
	}
	return \@numbers;
}

#
# Writers, of which some write again after a savepoint
#
sub few { sprintf q{INSERT INTO v SELECT 'w' || g, '2024-10-09 05:00+00'::timestamptz + g * interval '1 min', g FROM generate_series(%d, %d) g}, @_ }
sub hours { sprintf q{INSERT INTO v SELECT 'h' || g %% 3, '2024-01-01 00:00+00'::timestamptz + g * interval '1 hour', g FROM generate_series(%d, %d) g}, @_ }

make_database('few');
sweep('few', 'a few entities of an hour', 10, 'memory', 'SELECT', few(1, 5), few(6, 7));
sweep('few', '... after others', 5, 'memory', few(1, 5), few(6, 9), few(8, 12));
sweep('few', '... more than are told apart', 10, 'memory', few(1, 90), few(80, 120), few(70, 75));
make_database('hours');
sweep('hours', 'more hours than there is room for', 10, 'memory', hours(1, 11), hours(12, 30), hours(20, 50));
make_database('coarse');
sweep('coarse', 'more hours than are kept', 10, 'memory', hours(1, 4090), hours(4091, 4100), hours(4101, 4110), numbers(9000, 1.6));

#
# A commit, which writes the marks; they are lost together with the rows
#
sub commits
{
	my ($kind) = @_;
	my $script = join '', map { few(1, 5) . ";\nBEGIN;\n" . few(10, 15) . ";\nSELECT fault('$kind', $_);\nCOMMIT;\n"
		  . "INSERT INTO found SELECT $_, 'struck' WHERE fault('$kind', 0) = 0;\n" } 1 .. 20;

	$node->psql('few', $script, on_error_stop => 0);
	$node->safe_psql('few', "INSERT INTO found SELECT 0, 'strange' WHERE strange() > 0; SELECT batchagg_run_job(1); INSERT INTO found SELECT 0, 'wrong' WHERE wrong() > 0");
}
commits('memory');
found('few', 'memory at a commit', 8);
commits('write');
found('few', 'writes at a commit', 1);

#
# The library is loaded by the first row, and that fails
#
my @loads;
foreach my $n (1 .. 20)
{
	append_to_file($node->data_dir . '/batchagg_fault', "memory $n");
	my ($status, $out, $error) = $node->psql('few', "BEGIN; SAVEPOINT a; " . few(1, 2) . "; ROLLBACK TO a; SAVEPOINT b;" . few(3, 4)
		. "; COMMIT; SELECT 'done'; CREATE TABLE made (); DROP TABLE IF EXISTS made", on_error_stop => 0);
	unlink $node->data_dir . '/batchagg_fault';
	push @loads, "$n: $out $error" if $out ne 'done' || grep { $_ ne 'out of memory' } $error =~ /ERROR:  (.*)/g;
}
is(join("\n", @loads), '', 'where the library cannot be loaded, the next row tries again');
$node->safe_psql('few', "SELECT batchagg_run_job(1); INSERT INTO found SELECT 0, 'wrong' WHERE wrong() > 0; INSERT INTO found VALUES (1, 'struck')");
found('few', 'loading', 1);

#
# Runs, in each mode
#
sub new_rows { few(@_) =~ s{INTO v}{INTO v (user_id, ts, n)}r }

foreach my $mode (qw(log snapshot))
{
	make_database($mode);
	$node->safe_psql($mode, "SELECT batchagg_track_source('v', '$mode'); SELECT batchagg_run_job(1)");
	foreach my $kind (qw(memory write))
	{
		sweep($mode, "a run, mode $mode: $kind", 5, $kind, new_rows(1, 5), 'SELECT batchagg_run_job(1)', new_rows(6, 7),
			numbers($kind eq 'memory' ? 3000 : 40, $kind eq 'memory' ? 1.3 : 1));
	}
	sweep($mode, "a run, mode $mode: settings", 5, 'setting', new_rows(1, 5), 'SELECT batchagg_run_job(1)', new_rows(6, 7), numbers(400, 1.4));
}

# Processes that die
foreach my $n (3, 40, 400)
{
	$node->psql('log', "SELECT fault('kill', $n); BEGIN; " . few(1, 3) . "; SELECT batchagg_run_job(1); COMMIT");
	$node->poll_query_until('log', 'SELECT true');
	is($node->safe_psql('log', few(4, 5) . '; SELECT status FROM batchagg_run_job(1); SELECT wrong()'), "succeeded\n0", "killed at point $n");
}

#
# Backfills, in whose pieces something is to be done
#
make_database('pieces');

sub backfills
{
	my ($kind, $to, $factor) = @_;
	my @numbers = @{ numbers($to, $factor) };
	my $errors = '';

	# Up to where no point is reached any more.
	while (my @some = splice @numbers, 0, 200)
	{
		$errors .= backfills_at($kind, @some);
		last if $node->safe_psql('pieces', "SELECT count(*) FROM found WHERE what = 'struck' AND n >= $some[0]") == 0;
	}
	is(join("\n", grep { !/^(out of memory|could not extend file.*|invalid value for parameter.*|time zone.*)$/ } $errors =~ /ERROR:  (.*)/g),
		'', "a backfill: $kind: what is said");
	found('pieces', "a backfill: $kind", 5);
	return;
}

sub backfills_at
{
	my ($kind, @numbers) = @_;
	my $script = join '', "CALL tidy();\n", map { few(1, 5) . ";\nSELECT fault('$kind', $_);\nCALL batchagg_backfill(1, piece => '2 days');\n"
		  . "INSERT INTO found SELECT $_, 'struck' WHERE fault('$kind', 0) = 0;\nINSERT INTO found SELECT $_, 'strange' WHERE strange() > 0;\n"
		  . (($_ % 2 ? 'CALL batchagg_backfill' : 'SELECT batchagg_run_job') . "(1);\nINSERT INTO found SELECT $_, 'wrong' WHERE wrong() > 0;\n") }
	  @numbers;
	my (undef, undef, $error) = $node->psql('pieces', $script, on_error_stop => 0);

	return $error;
}
backfills('memory', 12000, 1.6);
backfills('write', 40, 1.3);
backfills('setting', 1000, 1.8);

#
# The service, whose processes go on, or come back
#
make_database('service');
$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = '$source/batchagg.so'
dynamic_library_path = '$source'
max_worker_processes = 16
batchagg.databases = 'service'
batchagg.retry_delay = 0
CONF
$node->restart;
$node->safe_psql('service', q{UPDATE batch_jobs SET missed_runs = 'coalesce', max_retries = 1000, retry_delay = 0});

# The n-th fault of a kind in the next process of a type, while there is something to do.
sub serve
{
	my ($type, $kind, @numbers) = @_;
	my $file = $node->data_dir . '/batchagg_fault';
	my $log = -s $node->logfile;
	my @bad;

	foreach my $n (@numbers)
	{
		append_to_file("$file.new", "$kind $n batchagg $type");
		rename "$file.new", $file;
		$node->reload if $type eq 'launcher';	# else it may have nothing to do
		$node->safe_psql('service', few(1, 5));
		make_due($node, 'service', 1);
		push @bad, "$n: does not go on" unless defined try_for($node, 'service', ran(1), 60);
		push @bad, "$n: wrong" if $node->safe_psql('service', 'SELECT wrong() + strange()') != 0;
		unlink $file;
	}
	is(join(', ', @bad), '', "$type: $kind: it goes on, and results are exact");
	return log_since($node, $log);
}

my %points = (scheduler => [ 2000, 3 ], worker => [ 4000, 3 ], launcher => [ 20, 3 ]);
foreach my $type (qw(scheduler worker launcher))
{
	# And some points by chance: each run tries others.
	my @some = map { 1 + int rand $points{$type}[0] / 5 } 1 .. ($all ? 0 : 8);

	like(serve($type, 'memory', @{ numbers(@{ $points{$type} }) }, @some), qr/out of memory/, "$type: memory lacks");
}
foreach my $type (qw(scheduler worker))
{
	like(serve($type, 'write', @{ numbers(12, 1.6) }), qr/No space left on device/, "$type: writes fail");
	like(serve($type, 'kill', $all ? (1, 10, 100, 1000) : 20), qr/terminated by signal 9/, "$type: killed");
}
unlike(slurp_file($node->logfile), qr/TRAP|PANIC|signal (?!9\b)/, 'nothing has crashed');

$node->stop;
done_testing();
