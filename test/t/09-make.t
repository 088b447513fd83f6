# Building: what make says where something is missing, flags of packagers and
# developers, VPATH builds, what is left, and the archive for PGXN.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Checkout;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $pg_config = run_line('sh', '-c', 'command -v pg_config');
my $bindir = run_line($pg_config, '--bindir');
my $temp = PostgreSQL::Test::Utils::tempdir();
my $source = "$temp/source";

plan skip_all => 'there is no make, or no compiler'
  if !run_line('sh', '-c', 'command -v make') || !run_line('sh', '-c', 'command -v cc gcc clang | head -n 1');

# make fails by one line, which is the one expected.
sub fails
{
	my ($what, $expected, @make) = @_;
	my ($status, $stdout, $stderr) = run_in($source, @make);

	isnt($status, 0, "$what: make fails");
	is($stdout, '', '... before anything is done');
	like($stderr, qr/^\S*Makefile:\d+: \*\*\* $expected\.  Stop\.\n\z/, '... by one line');
}

# The files and links below a directory.
sub files
{
	my ($directory) = @_;

	return join "\n", sort split /\n/, run_line('find', $directory, '!', '-type', 'd');
}

copy_checkout($source);
my $pristine = files($source);
like($pristine, qr{/src/batchagg\.c\n}, 'the source is here');

#
# Which PostgreSQL
#
mkdir "$temp/tools";
symlink run_line('sh', '-c', "command -v $_"), "$temp/tools/$_" for qw(make sh sed ls sort cut sh uname rm);
fails('no pg_config', qr{PostgreSQL's server development files are missing, there is no pg_config in PATH: .*postgresql-server-dev-\S+.*, or set PG_CONFIG=/path/to/pg_config},
	'env', "PATH=$temp/tools", 'make');

my $wrong = qr{is not the pg_config of a PostgreSQL: set PG_CONFIG=/path/to/pg_config};
fails('a pg_config that does not exist', qr{"/no/pg_config" $wrong}, 'make', 'PG_CONFIG=/no/pg_config');
fails('a directory', qr{"$temp" $wrong}, 'make', "PG_CONFIG=$temp");
fails('another program', qr{"ls" $wrong}, 'make', 'PG_CONFIG=ls');
my $plain = write_script("$temp/plain/pg_config", '');
chmod 0644, $plain;
fails('a file that is no program', qr{"$plain" $wrong}, 'make', "PG_CONFIG=$plain");

for my $version ('14.5', '9.6.24', '14beta1')
{
	my $old = fake_pg_config("$temp/old-$version", version => "PostgreSQL $version (Debian)");

	fails("PostgreSQL $version", qr{batchagg needs PostgreSQL 15 or newer, and "$old" belongs to \Q$version\E: set PG_CONFIG=/path/to/pg_config of a newer one},
		'make', "PG_CONFIG=$old");
}

# Debian's packages, PGDG's, and a PostgreSQL from elsewhere; with the one file that
# Debian's client package has, and without.
for (['/usr/include/postgresql/99/server', 'type "sudo apt-get install postgresql-server-dev-99"'],
	['/usr/pgsql-99/include/server', 'type "sudo dnf install postgresql99-devel"'],
	['/opt/postgresql/include', 'install them (Debian: postgresql-server-dev-99, Red Hat: postgresql-server-devel)'])
{
	my ($include, $advice) = @$_;

	for my $pgxs (run_line($pg_config, '--pgxs'), '/no/pgxs.mk')
	{
		my $bare = fake_pg_config("$temp/bare", version => 'PostgreSQL 99.1', 'includedir-server' => $include, pgxs => $pgxs);

		fails("no headers in $include", qr{the server development files of PostgreSQL 99 are missing \(\Q$include/postgres.h\E\): \Q$advice\E, or set PG_CONFIG=/path/to/pg_config of another PostgreSQL},
			'make', "PG_CONFIG=$bare");
	}
}

# A server of another minor version than the headers.
my ($status, $stdout, $stderr) = run_in($source, 'make', '-n', "PG_CONFIG=$pg_config");
is($status, 0, 'the right pg_config');
is($stderr, '', '... gets no warning');
write_script("$temp/server/postgres", "echo 'postgres (PostgreSQL) 15.0 (Debian 15.0-1)'\n");
($status, $stdout, $stderr) = run_in($source, 'make', '-n', 'PG_CONFIG=' . fake_pg_config("$temp/minor", bindir => "$temp/server"));
is($status, 0, 'headers newer than the server');
like($stderr, qr{^Makefile:\d+: the headers in \S+ are of PostgreSQL \d+\.?\S+, the server in $temp/server is 15\.0 and may not load what is built with them: bring both to the same version.*\n\z},
	'... get a warning, of one line');

#
# Flags
#
sub command
{
	my (@options) = @_;

	return (run_in($source, 'make', '-n', "PG_CONFIG=$pg_config", @options, 'src/stats/state.o'))[1];
}

my $needed = qr/-fno-strict-aliasing -fwrapv -ffp-contract=off -fvisibility=hidden/;
unlike(command(), qr/-Werror(?!=)/, 'warnings are no errors');
like(command('COPT=-Werror'), qr/ -Werror /, '... but where a developer wants it');
like(command('CFLAGS=-O1 -ffp-contract=fast'), qr/-ffp-contract=fast .*$needed/, 'a packager can give CFLAGS');
unlike(command('CFLAGS=-O1'), qr/ -O[23] /, '... and choose how to optimize');
unlike(command('COPT=-O0'), qr/ -O3 /, '... so with COPT');
like(command('COPT=-O0'), qr/ -U_FORTIFY_SOURCE /, '... without a warning by the C library');
like(command('PG_CFLAGS=-DONE', 'PG_CPPFLAGS=-DTWO'), qr/ -DONE $needed.* -DTWO .*-DBATCHAGG_VERSION/, '... and PG_CFLAGS and PG_CPPFLAGS');
for my $flag ('-ffast-math', '-Ofast')
{
	($status, $stdout, $stderr) = run_in($source, 'make', "PG_CONFIG=$pg_config", "COPT=$flag", 'src/stats/state.o');
	isnt($status, 0, "$flag is refused");
	run_in($source, 'make', "PG_CONFIG=$pg_config", 'clean');
	like($stderr, qr/#error "?batchagg's sums are exact only where floating point is as written: compile without -ffast-math/, '... and why is said');
}

#
# VPATH builds
#
mkdir "$temp/build";
fails('a directory without the source', qr{there is no batchagg in "\S+": make -f DIRECTORY/Makefile, or make VPATH=DIRECTORY, builds it elsewhere},
	'make', "PG_CONFIG=$pg_config", "VPATH=$temp/build");
my @make = ('make', '--no-print-directory', '-C', "$temp/build", '-f', "$source/Makefile", "PG_CONFIG=$pg_config");
($status, $stdout, $stderr) = run_in('.', @make, '-j', '4', 'COPT=-O0 -Werror');
is($status, 0, 'a VPATH build') or diag($stdout, $stderr);
is(files($source), $pristine, '... leaves the source alone');
($status, $stdout, $stderr) = run_in('.', @make, "DESTDIR=$temp/installed", 'install');
is($status, 0, '... is installed') or diag($stdout, $stderr);
is(join(' ', sort map { s{.*/}{}r } split /\n/, files("$temp/installed")),
	'batchagg--1.0.sql batchagg.control batchagg.so', '... with all its files');
cmp_ok(-s "$temp/build/batchagg.so", '>', 1_000_000, '... a library that is not empty');
cmp_ok(-s "$temp/build/batchagg--1.0.sql", '>', 50_000, '... and a script');
run_in('.', @make, 'answers');
ok(-e "$temp/build/expected/tables.out" && -e "$temp/build/test/isolation/expected/run_twice.out",
	'... and installcheck finds the answers');
run_in('.', @make, 'clean');
is(files("$temp/build"), '', 'make clean leaves nothing');

# Objects beside the sources may be for another server.
run_in($source, 'make', "PG_CONFIG=$pg_config", 'COPT=-O0', 'src/batchagg.o', 'batchagg--1.0.sql', 'META.json');
fails('a VPATH build of sources that have been built in place', qr{batchagg has been built in "$source" itself: run "make clean" there first}, @make);
($status, $stdout, $stderr) = run_in($source, 'make', "PG_CONFIG=$pg_config", 'clean');
is(files($source), $pristine, 'make clean leaves nothing of a build in place');

#
# For PGXN, without a PostgreSQL
#
run_in($source, 'make', 'META.json', 'PG_CONFIG=/no/pg_config');
my $meta = eval { decode_json(slurp_file("$source/META.json")) };
my $control = slurp_file("$source/batchagg.control");
my ($version) = $control =~ /^default_version = '(.*)'/m;
my ($comment) = $control =~ /^comment = '(.*)'/m;

ok($meta, 'META.json is JSON') or diag($@);
like($meta->{version}, qr/^\Q$version\E(\.\d+)+$/, '... with the version of the control file');
like($meta->{version}, qr/^\d+\.\d+\.\d+$/, '... as PGXN wants it');
is($meta->{abstract}, $comment, '... and its comment');
ok($meta->{$_}, "... with $_") for qw(name maintainer license provides meta-spec);
is($meta->{provides}{batchagg}{version}, $meta->{version}, '... and what it provides');
ok(-f "$source/$meta->{provides}{batchagg}{$_}", "... whose $_ is there") for qw(file docfile);

SKIP:
{
	skip 'there is no git', 2 if !run_line('sh', '-c', 'command -v git');
	run_in($source, 'sh', '-c', 'git init -q . && git add . && git -c user.name=test -c user.email=test@localhost commit -q -m test');
	($status, $stdout, $stderr) = run_in($source, 'make', 'dist');
	is($status, 0, 'make dist') or diag($stderr);
	like(slurp_file("$source/batchagg-$meta->{version}.zip"), qr{batchagg-$meta->{version}/META\.json}, '... puts META.json into the archive');
}

done_testing();
