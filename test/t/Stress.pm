# Writers of all kinds on one table, and comparisons with plain SQL meanwhile:
# what the tests of concurrent writing have in common.

package Stress;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(start_stressed make_visits clients stress resolve_prepared compared);

# A server that many write to.
sub start_stressed
{
	my $node = PostgreSQL::Test::Cluster->new('stressed');

	$node->init;
	$node->append_conf('postgresql.conf', <<'CONF');
max_connections = 60
max_prepared_transactions = 200
fsync = off
timezone = 'UTC'
CONF
	$node->start;
	return $node;
}

# The table visit, some rows in it, and what the writers are made of.  Values are
# whole numbers, so that sums have no order; times are anywhere in the last month,
# or come due in the next seconds, for a job without delay or one of an hour.
my %table = (
	plain => 'CREATE TABLE visit (id bigint, user_id integer, ts timestamptz, pages integer, load float8, status text)',
	partitioned => <<'SQL');
CREATE TABLE visit (id bigint, user_id integer, ts timestamptz, pages integer, load float8, status text) PARTITION BY RANGE (ts);
CREATE TABLE visit_rest PARTITION OF visit DEFAULT;
SELECT format('CREATE TABLE visit_%s PARTITION OF visit FOR VALUES FROM (%L) TO (%L) %s', w, date_trunc('day', now()) - (w + 1) * interval '1 week',
	date_trunc('day', now()) - w * interval '1 week', CASE w WHEN 1 THEN 'PARTITION BY LIST (user_id)' END)
FROM generate_series(0, 3) w \gexec
CREATE TABLE visit_1_some PARTITION OF visit_1 FOR VALUES IN (1, 3, NULL);
CREATE TABLE visit_1_rest PARTITION OF visit_1 DEFAULT;
SQL

my $writing = <<'SQL';
CREATE SEQUENCE visit_id;
ALTER TABLE visit ALTER id SET DEFAULT nextval('visit_id'), ALTER status SET DEFAULT 'active';
CREATE UNIQUE INDEX ON visit (id, ts, user_id);

CREATE FUNCTION some_time() RETURNS timestamptz LANGUAGE sql AS $$
	SELECT CASE WHEN chance < 0.01 THEN NULL WHEN chance < 0.02 THEN 'infinity'
		WHEN chance < 0.12 THEN now() + random() * interval '5 s'
		WHEN chance < 0.22 THEN now() - interval '1 hour' + random() * interval '5 s'
		ELSE now() - random() * interval '30 days' END
	FROM (SELECT random() AS chance OFFSET 0) c
$$;
CREATE FUNCTION some_user() RETURNS integer LANGUAGE sql AS $$
	SELECT CASE WHEN random() < 0.98 THEN floor(random() * 5)::integer END
$$;
CREATE FUNCTION some_load() RETURNS float8 LANGUAGE sql AS $$
	SELECT CASE WHEN random() < 0.8 THEN floor(random() * 100000) END
$$;
CREATE FUNCTION some_rows(n integer) RETURNS TABLE (user_id integer, ts timestamptz, pages integer, load float8, status text) LANGUAGE sql AS $$
	SELECT some_user(), some_time(), floor(random() * 1000)::integer, some_load(), CASE WHEN random() < 0.7 THEN 'active' ELSE 'idle' END
	FROM generate_series(1, n)
$$;

-- Locks some rows that nobody else has, and returns their ids.
CREATE FUNCTION take(n integer, lowest integer DEFAULT -100) RETURNS SETOF bigint LANGUAGE sql AS $$
	SELECT id FROM visit WHERE id >= (SELECT floor(lowest + random() * (last_value - lowest))::bigint FROM visit_id)
	ORDER BY id LIMIT n FOR UPDATE SKIP LOCKED
$$;

INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(3000);
SQL

# What is written, each a transaction or a few of them, with its weight.  Rows
# with negative ids are the ones that an INSERT can meet, so that transactions
# that stay open keep their hands off them; a row that moves gets another id, as
# it could meet one there.
my %short = (
	insert => [ 10, 'INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(1);' ],
	insert_many => [ 3, 'INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(12);' ],
	insert_select => [ 1, <<'SQL' ],
INSERT INTO visit (user_id, ts, pages, load) SELECT user_id, ts + interval '1 day', pages, load FROM visit WHERE id = ANY (ARRAY(SELECT take(8))) AND ts < now() - interval '2 days';
SQL
	values => [ 8, "UPDATE visit SET pages = pages + 1, load = some_load() WHERE id = ANY (ARRAY(SELECT take(3)));" ],
	status => [ 2, "UPDATE visit SET status = CASE status WHEN 'idle' THEN 'active' ELSE 'idle' END WHERE id = ANY (ARRAY(SELECT take(3)));" ],
	time => [ 4, 'UPDATE visit SET id = DEFAULT, ts = some_time() WHERE id = ANY (ARRAY(SELECT take(3)));' ],
	entity => [ 4, 'UPDATE visit SET id = DEFAULT, user_id = some_user() WHERE id = ANY (ARRAY(SELECT take(3)));' ],
	both => [ 1, 'UPDATE visit SET id = DEFAULT, user_id = some_user(), ts = some_time(), pages = -pages WHERE id = ANY (ARRAY(SELECT take(3)));' ],
	same => [ 1, 'UPDATE visit SET pages = pages WHERE id = ANY (ARRAY(SELECT take(3)));' ],
	delete => [ 6, 'DELETE FROM visit WHERE id = ANY (ARRAY(SELECT take(2)));' ],
	move_user => [ 1, <<'SQL' ],
UPDATE visit SET id = DEFAULT, user_id = some_user() WHERE id = ANY (ARRAY(SELECT id FROM visit WHERE ts BETWEEN now() - interval '3 days' AND now() - interval '70 hours' ORDER BY id FOR UPDATE SKIP LOCKED));
SQL
	upsert => [ 3, <<'SQL' ],
INSERT INTO visit (id, ts, user_id, pages, load) SELECT -i, date_trunc('hour', now()) - i * interval '7 hours', i % 5, i, i FROM generate_series(:n, :n + 3) i
ON CONFLICT (id, ts, user_id) DO UPDATE SET pages = visit.pages + 1, load = excluded.load;
SQL
	upsert_nothing => [ 1, <<'SQL' ],
INSERT INTO visit (id, ts, user_id, pages, load) SELECT -i, date_trunc('hour', now()) - i * interval '7 hours', i % 5, i, i FROM generate_series(:n, :n + 3) i
ON CONFLICT DO NOTHING;
SQL
	merge => [ 2, <<'SQL' ],
MERGE INTO visit v USING (SELECT -i AS id, i FROM generate_series(:n, :n + 3) i) s ON v.id = s.id
WHEN MATCHED AND s.i % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET id = DEFAULT, ts = some_time() WHEN NOT MATCHED THEN INSERT (ts, user_id, pages) VALUES (some_time(), 1, s.i);
SQL
	savepoints => [ 3, <<'SQL' ],
BEGIN;
INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(2);
SAVEPOINT a;
UPDATE visit SET id = DEFAULT, pages = pages + 100, ts = some_time() WHERE id = ANY (ARRAY(SELECT take(2)));
DELETE FROM visit WHERE id = ANY (ARRAY(SELECT take(1)));
INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(2);
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(2);
SAVEPOINT c;
UPDATE visit SET id = DEFAULT, user_id = some_user() WHERE id = ANY (ARRAY(SELECT take(2)));
RELEASE b;
\sleep :pause ms
COMMIT;
SQL
	only_in_savepoint => [ 1, <<'SQL' ],
BEGIN;
SAVEPOINT a;
UPDATE visit SET pages = pages + 1 WHERE id = ANY (ARRAY(SELECT take(2)));
RELEASE a;
\sleep :pause ms
COMMIT;
SQL
	rolled_back => [ 2, <<'SQL' ],
BEGIN;
INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(2);
UPDATE visit SET id = DEFAULT, pages = pages + 1000, user_id = some_user() WHERE id = ANY (ARRAY(SELECT take(2)));
ROLLBACK;
SQL
	repeatable => [ 2, <<'SQL' ],
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE visit SET pages = pages + 1 WHERE id = ANY (ARRAY(SELECT take(2)));
\sleep :pause ms
INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(2);
COMMIT;
SQL
	serializable => [ 2, <<'SQL' ],
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT sum(pages) FROM visit WHERE id BETWEEN -10 AND 10;
INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(2);
\sleep :pause ms
DELETE FROM visit WHERE id = ANY (ARRAY(SELECT take(1)));
COMMIT;
SQL
);

# Transactions that commit seconds after they have written.
my %long = (
	long => [ 1, <<'SQL' ],
BEGIN;
INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(5);
UPDATE visit SET id = DEFAULT, pages = pages + 1, ts = some_time() WHERE id = ANY (ARRAY(SELECT take(3, 1)));
DELETE FROM visit WHERE id = ANY (ARRAY(SELECT take(2, 1)));
\sleep :seconds s
INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(5);
COMMIT;
SQL
	prepared => [ 2, <<'SQL' ],
\sleep :pause ms
BEGIN;
INSERT INTO visit (user_id, ts, pages, load, status) SELECT * FROM some_rows(3);
SAVEPOINT a;
UPDATE visit SET id = DEFAULT, pages = pages + 1, user_id = some_user() WHERE id = ANY (ARRAY(SELECT take(3, 1)));
DELETE FROM visit WHERE id = ANY (ARRAY(SELECT take(1, 1)));
PREPARE TRANSACTION 'p:gid';
\sleep :pause ms
SQL
);

# Makes visit in a database: $shape is plain or partitioned.
sub make_visits
{
	my ($node, $database, $shape) = @_;

	$node->safe_psql($database, "$table{$shape};$writing");
}

# Options of pgbench for scripts as above; the files are made.
sub scripts
{
	my ($node, %scripts) = @_;
	my @options;

	for my $name (sort keys %scripts)
	{
		my ($weight, $sql) = @{ $scripts{$name} };
		my $file = $node->basedir . "/$name.sql";

		append_to_file($file, <<"SQL" . $sql) unless -e $file;
\\set pause random(1, 100)
\\set seconds random(1, 3)
\\set n random(1, 90)
\\set gid random(1, 1000000000000)
SQL
		push @options, '-f', "$file\@$weight";
	}
	return @options;
}

# Starts pgbench with some clients for some seconds.  What fails as it met
# another transaction is tried again; any other error ends a client, and counts.
sub start_clients
{
	my ($node, $database, $clients, $seconds, @options) = @_;
	my $client = { output => '' };

	local $ENV{PGOPTIONS} = '-c statement_timeout=60s -c client_min_messages=error';
	$client->{run} = IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-T', $seconds, '--max-tries=0', @options, $node->connstr($database) ],
		'>', \$client->{output}, '2>&1', IPC::Run::timeout($seconds + 180));
	return $client;
}

# Commits or rolls back prepared transactions: those that have been it for some
# seconds, or all.
sub resolve_prepared
{
	my ($node, $database, $all) = @_;
	my $old = $all ? 'true' : "prepared < now() - random() * interval '4 s'";

	$node->safe_psql($database, <<"SQL");
SELECT format('%s PREPARED %L', CASE WHEN random() < 0.6 THEN 'COMMIT' ELSE 'ROLLBACK' END, gid)
FROM pg_prepared_xacts WHERE database = current_database() AND $old \\gexec
SQL
}

# Lets clients run for some seconds: lists of their number and a hash of scripts as
# above, which each goes through by chance.  Returns the transactions of each list.
# Prepared transactions stay behind.
sub clients
{
	my ($node, $database, $seconds, @lists) = @_;
	my @clients = map { start_clients($node, $database, $_->[0], $seconds, scripts($node, %{ $_->[1] })) } @lists;
	my $began = time();

	while (time() - $began < $seconds)
	{
		resolve_prepared($node, $database);
		sleep(0.2);
	}
	for my $client (@clients)
	{
		$client->{run}->finish;
		is($client->{run}->result(0), 0, 'no client has an error') or diag($client->{output});
	}
	return map { $_->{output} =~ /transactions actually processed: (\d+)/ ? $1 : 0 } @clients;
}

# 16 writers for some seconds; meanwhile @runners, hashes of scripts for one client
# each.  Returns the transactions that were written.
sub stress
{
	my ($node, $database, $seconds, @runners) = @_;
	my ($short, $long) = clients($node, $database, $seconds, [ 12, \%short ], [ 4, \%long ], map { [ 1, $_ ] } @runners);

	return $short + $long;
}

# What is in table compared (what, compared, differences, example), by what.
sub compared
{
	my ($node, $database) = @_;
	my $rows = $node->safe_psql($database,
		'SELECT what, count(*), sum(compared), sum(differences), min(example) FROM compared GROUP BY 1 ORDER BY 1');

	return map { my @row = split /\|/; $row[0] => { times => $row[1], compared => $row[2], differences => $row[3], example => $row[4] } } split /\n/, $rows;
}

1;
