# Tracked sources whose rows are not written by clients: a subscription's apply
# process and its initial copy leave the marks that a client would, and so does a
# prepared transaction, when it is committed.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(allows_streaming => 'logical');
$subscriber->append_conf('postgresql.conf', "max_prepared_transactions = 5\ntimezone = 'UTC'");
$subscriber->start;

my $tables = <<'SQL';
CREATE TABLE visit (visit_id integer PRIMARY KEY, user_id text, ts timestamptz, pages integer);
CREATE TABLE log (visit_id integer PRIMARY KEY, user_id text, ts timestamptz, pages integer);
CREATE TABLE part (visit_id integer, ts timestamptz, user_id text, PRIMARY KEY (visit_id, ts)) PARTITION BY RANGE (ts);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
SQL
$publisher->safe_psql('postgres', $tables);
$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO visit VALUES (1, 'early', '2024-01-01 10:00+00', 1);
CREATE PUBLICATION everything FOR TABLE visit, log, part WITH (publish_via_partition_root = true);
SQL
$subscriber->safe_psql('postgres', $tables);
$subscriber->safe_psql('postgres', <<'SQL');
CREATE EXTENSION batchagg;
SELECT batchagg_track_source('visit', id_column => 'user_id');
SELECT batchagg_track_source('log', 'snapshot', id_column => 'user_id');
SELECT batchagg_track_source('part', id_column => 'user_id');
DELETE FROM batchagg_marks;
SQL

# The marks that are there, which are then forgotten.
sub marks
{
	return $subscriber->safe_psql('postgres', <<'SQL');
WITH m AS (DELETE FROM batchagg_marks RETURNING *)
SELECT s.source, to_char(low, 'MM-DD HH24:MI'), to_char(high, 'MM-DD HH24:MI'), (SELECT string_agg(i, ',' ORDER BY i) FROM unnest(ids) i)
FROM m JOIN batchagg_sources s USING (source_id) ORDER BY s.source, low, high, ids
SQL
}

# Runs a statement on the publisher, and waits until the subscriber has it.
sub publish
{
	$publisher->safe_psql('postgres', $_[0]);
	$publisher->wait_for_catchup('subscription');
}

my $publisher_connstr = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION subscription CONNECTION '$publisher_connstr' PUBLICATION everything");
ok($subscriber->poll_query_until('postgres',
		"SELECT count(*) = 3 FROM pg_subscription_rel WHERE srsubstate IN ('r', 's')"), 'tables are copied');
is(marks(), 'public.visit|01-01 10:00|01-01 10:00|early', 'what is copied at first is marked');

publish("INSERT INTO visit VALUES (2, 'new', '2024-01-02 10:00+00', 1), (3, 'other', '2024-01-02 10:30+00', 1)");
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM visit'), '3', 'rows arrive');
is(marks(), 'public.visit|01-02 10:00|01-02 10:30|new,other', '... and are marked');
publish("UPDATE visit SET ts = '2024-01-03 11:00+00' WHERE visit_id = 2");
is(marks(), "public.visit|01-02 10:00|01-02 10:00|new\npublic.visit|01-03 11:00|01-03 11:00|new", 'an update marks the row before and after');
publish('DELETE FROM visit WHERE visit_id = 3');
is(marks(), 'public.visit|01-02 10:30|01-02 10:30|other', 'a delete marks the row');

publish("INSERT INTO log VALUES (1, 'new', '2024-01-02 10:00+00', 1)");
is(marks(), '', 'mode snapshot: a row that arrives gets no mark');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM log WHERE batchagg_xid::xid = xmin'), '1', '... but its transaction here');
publish('UPDATE log SET pages = 2; DELETE FROM log');
is(marks(), "public.log|01-02 10:00|01-02 10:00|new\npublic.log|01-02 10:00|01-02 10:00|new", '... and is marked when it changes');

publish("INSERT INTO part VALUES (1, '2024-01-05 10:00+00', 'new')");
is(marks(), 'public.part|01-05 10:00|01-05 10:00|new', 'a row of a partition');
publish("UPDATE part SET ts = '2024-02-05 10:00+00'");
is(marks(), "public.part|01-05 10:00|01-05 10:00|new\npublic.part|02-05 10:00|02-05 10:00|new", '... that goes to another');

is($subscriber->safe_psql('postgres', "SELECT batchagg_settle_source('visit') IS NULL"), 't', 'tracking is whole');
is(marks(), '', '... and finds no more to mark');
publish('TRUNCATE visit');
$subscriber->safe_psql('postgres', "SELECT batchagg_settle_source('visit')");
is(marks(), 'public.visit|||', 'a truncate that arrives is found');

# Prepared transactions
$subscriber->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO visit VALUES (100, 'prepared', '2024-05-01', 1);
PREPARE TRANSACTION 'one';
BEGIN;
INSERT INTO visit VALUES (101, 'rolled back', '2024-05-02', 1);
PREPARE TRANSACTION 'two';
SQL
is(marks(), '', 'a prepared transaction has no marks to see');
$subscriber->safe_psql('postgres', "ROLLBACK PREPARED 'two'");
$subscriber->restart;
is(marks(), '', '... even after a restart');
$subscriber->safe_psql('postgres', "COMMIT PREPARED 'one'");
is(marks(), 'public.visit|05-01 00:00|05-01 00:00|prepared', '... until it is committed');

# A crash
$subscriber->safe_psql('postgres', "INSERT INTO visit VALUES (102, 'before', '2024-06-01', 1)");
$subscriber->stop('immediate');
$subscriber->start;
is(marks(), 'public.visit|06-01 00:00|06-01 00:00|before', 'marks outlive a crash');
is($subscriber->safe_psql('postgres', "SELECT batchagg_settle_source('visit') IS NULL"), 't', '... and so does what is known of leaves');
is(marks(), '', '... which are the same');

$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION subscription');
$subscriber->stop;
$publisher->stop;
done_testing();
