# "make installcheck" on a server that is set up unlike those of the other tests:
# of no encoding, with the service, without prepared transactions, with other
# settings, another superuser, and what an interrupted run has left.  Some tests
# of each kind, from a VPATH build.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Checkout;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $temp = PostgreSQL::Test::Utils::tempdir();
my $pg_config = run_line('sh', '-c', 'command -v pg_config');
my ($pgxs) = run_line($pg_config, '--pgxs') =~ m{^(.*)/makefiles/};

plan skip_all => 'there is no make, or no pg_regress'
  if !run_line('sh', '-c', 'command -v make') || !-x "$pgxs/test/regress/pg_regress";

copy_checkout("$temp/source");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=SQL_ASCII', '--locale=C' ]);
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'batchagg'
max_worker_processes = 8
max_prepared_transactions = 0
timezone = 'Asia/Kathmandu'
datestyle = 'German, DMY'
intervalstyle = 'sql_standard'
default_transaction_isolation = 'serializable'
bytea_output = 'escape'
extra_float_digits = -5
statement_timeout = '30s'
work_mem = '64kB'
random_page_cost = 1.1
jit = on
jit_above_cost = 10
fsync = off
CONF
$node->start;

# Another superuser, and what an interrupted run leaves.
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE "The Boss" SUPERUSER LOGIN;
CREATE ROLE regress_batchagg_owner;
CREATE ROLE regress_batchagg_reader;
CREATE DATABASE contrib_regression;
CREATE DATABASE somebodys;
SQL
$node->safe_psql('somebodys', 'CREATE EXTENSION batchagg');

my $schedulers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'batchagg scheduler' AND datname = 'somebodys'";
$node->poll_query_until('postgres', "SELECT ($schedulers) = 1") or die 'there is no service';

sub installcheck
{
	my ($kind, @tests) = @_;

	mkdir "$temp/$kind";
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'The Boss');
	my ($status, $stdout, $stderr) = run_in("$temp/$kind", 'make', '-f', "$temp/source/Makefile", "PG_CONFIG=$pg_config",
		'REGRESS=', 'ISOLATION=', uc($kind) . "=@tests", 'installcheck');

	is($status, 0, "$kind: @tests");
	return if $status == 0;
	diag($stdout, $stderr);
	diag(slurp_file($_)) for grep { -e } map { "$temp/$kind/${_}regression.diffs" } '', 'test/isolation/';
}

installcheck('regress', qw(tables results_view verify slots filter engine_sources));
installcheck('isolation', qw(run_twice incremental_prepared));

is($node->safe_psql('postgres', "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname LIKE '%batchagg%'"),
	'', 'no role is left');
is($node->safe_psql('postgres', $schedulers), '1', 'the service of another database goes on');
unlike(slurp_file($node->logfile), qr/batchagg scheduler started in database "(contrib|isolation)_regression"/,
	'... and has kept away from those of the tests');

$node->stop;
done_testing();
