# What demo/run and test/run say where they cannot work: one line, with what to do.
# Clean machines, on which they install what they need, are for test/fresh.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Checkout;
use PostgreSQL::Test::Utils;
use Test::More;

my $pg_config = run_line('sh', '-c', 'command -v pg_config');
my $temp = PostgreSQL::Test::Utils::tempdir();
my $source = "$temp/source";

copy_checkout($source);

# A demo/run that ends with one line, and leaves nothing behind.
sub refused
{
	my ($what, $expected, @environment) = @_;

	my $tmp = PostgreSQL::Test::Utils::tempdir_short();
	my ($status, $stdout, $stderr) = run_in($source, 'env', "TMPDIR=$tmp", @environment, 'demo/run');
	isnt($status, 0, "$what: refused");
	is($stdout, '', '... before anything is done');
	like($stderr, qr/^batchagg: $expected\n\z/, '... by one line');
	ok(rmdir $tmp, '... and nothing is left');
}

refused('a PG_CONFIG that does not exist', qr{PG_CONFIG=/no/pg_config is not a program: type the path of a pg_config, such as .*},
	'PG_CONFIG=/no/pg_config');
refused('another program', qr{PG_CONFIG=true does not answer --version as a pg_config does: type the path of another},
	'PG_CONFIG=true');

my $old = fake_pg_config("$temp/old", version => 'PostgreSQL 14.5');
refused('an old version', qr{PG_CONFIG=$old is of PostgreSQL 14, batchagg needs 15 or newer: type the path of another pg_config},
	"PG_CONFIG=$old");

my $client = fake_pg_config("$temp/client", bindir => "$temp/nothing");
refused('a client without a server', qr{PG_CONFIG=$client has no server in $temp/nothing: install PostgreSQL \d+'s server, or type the path of another pg_config},
	"PG_CONFIG=$client");

my $server = fake_pg_config("$temp/server", 'includedir-server' => "$temp/nothing");
refused('no development files', qr{$server has no development files \(postgres\.h, pgxs\.mk\): install those of PostgreSQL \d+, or type PG_CONFIG=/path/to/another/pg_config},
	"PG_CONFIG=$server");

# A machine without a compiler, whose user is not root.
mkdir "$temp/tools";
for my $tool (qw(bash chmod dirname env grep head id ls mktemp perl rm sed sort))
{
	symlink run_line('sh', '-c', "command -v $tool"), "$temp/tools/$tool";
}
refused('no compiler, no make and no apt-get', qr{missing make gcc \(by their names in Debian\), and there is no apt-get: install them by this machine's own means},
	"PG_CONFIG=$pg_config", "PATH=$temp/tools");
write_script("$temp/tools/apt-get", 'exit 1');
refused('no compiler, no make and no rights', qr{missing make gcc, and only root may install packages: type "sudo apt-get update && sudo apt-get install make gcc"},
	"PG_CONFIG=$pg_config", "PATH=$temp/tools");

# Servers that check more: which there are.
for my $kind ('', 'cheap')
{
	my ($status, $stdout, $stderr) = run_in($source, 'test/checked', $kind);
	is($stderr, qq{batchagg: no such kind of server: "$kind" (type test/checked asserts, or test/checked asan)\n},
		"server of kind \"$kind\": refused by one line");
}

# Another directory is taken where the first cannot be used.
my ($status, $stdout, $stderr) = run_in($source, 'env', 'PG_CONFIG=/no/pg_config', 'demo/run');
my $long = "$temp/" . 'x' x 70;
mkdir $long;
($status, $stdout, my $warned) = run_in($source, 'env', "TMPDIR=$long", 'PG_CONFIG=/no/pg_config', 'demo/run');
is($warned, "batchagg: $long does not serve: user "
	  . getpwuid($>) . " must be able to enter it and run programs there, and its name be short\n$stderr",
	'a directory for temporary files whose name is too long for sockets');

done_testing();
