package Fuzz::Psql;

# Running SQL by psql, led by the environment (PGHOST, PGPORT, PGUSER,
# PGDATABASE).  Messages below errors are not shown, and no statement takes
# longer than a minute.

use strict;
use warnings;
use utf8;
use Exporter 'import';
use File::Temp;

our @EXPORT = qw(write_file read_file psql run_sql query succeeds schema_of wait_for_server
	$directory);

# Where scripts and output are.
our $directory = File::Temp->newdir('batchagg-fuzz.XXXXXX', TMPDIR => 1);

$ENV{PGCLIENTENCODING} = 'UTF8';
$ENV{PGOPTIONS} = '-c client_min_messages=error -c statement_timeout=60s';

sub write_file
{
	my ($name, $text) = @_;

	open my $file, '>:encoding(UTF-8)', $name or die "could not write $name: $!\n";
	print $file $text;
	close $file or die "could not write $name: $!\n";
	return $name;
}

sub read_file
{
	my ($name) = @_;

	open my $file, '<:encoding(UTF-8)', $name or die "could not read $name: $!\n";
	local $/ = undef;
	return <$file> // '';
}

# Runs a script; returns whether psql came to its end, its output and messages.
sub psql
{
	my ($script, @options) = @_;
	my ($out, $err) = ("$directory/out", "$directory/err");

	open my $old_out, '>&', \*STDOUT or die $!;
	open my $old_err, '>&', \*STDERR or die $!;
	open STDOUT, '>', $out or die $!;
	open STDERR, '>', $err or die $!;
	my $status = system 'psql', '-XqAt', @options, '-f', $script;
	open STDOUT, '>&', $old_out or die $!;
	open STDERR, '>&', $old_err or die $!;
	binmode STDOUT, ':encoding(UTF-8)';
	return ($status == 0, read_file($out), read_file($err));
}

# Runs SQL up to the first error; returns as psql() does.
sub run_sql
{
	my ($sql, @options) = @_;

	return psql(write_file("$directory/query.sql", $sql), '-v', 'ON_ERROR_STOP=1', @options);
}

# Runs SQL that must succeed, and returns its output in lines.
sub query
{
	my ($ok, $out, $err) = run_sql(@_);

	die $err unless $ok;
	return split /\n/, $out;
}

# Runs SQL that may fail; returns whether it succeeded.
sub succeeds
{
	my ($ok) = run_sql(@_);

	return $ok;
}

# The schema that an extension is installed in, quoted.
sub schema_of
{
	my ($extension) = @_;

	return (query('SELECT extnamespace::regnamespace FROM pg_extension'
				. " WHERE extname = '$extension';"))[0];
}

# After a crash, the server needs a while.
sub wait_for_server
{
	for (1 .. 60)
	{
		return if succeeds('SELECT 1;');
		sleep 1;
	}
	die "the server did not come back\n";
}

1;
