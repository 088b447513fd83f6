# For tests that build, or run make: a copy of the checkout as it is before anything
# is built in it, and running commands in it.

package Checkout;

use strict;
use warnings;

use Cwd;
use Exporter 'import';
use IPC::Run;

our @EXPORT = qw(copy_checkout run_in run_line);

# The variables of a make that runs a test are not for those that it runs.
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES PG_CONFIG COPT PROFILE VPATH
  TAP_TESTS PROVE_TESTS PROVE_FLAGS REGRESS ISOLATION)};

# Runs a command in a directory.  Returns its status, and what it said.
sub run_in
{
	my ($directory, @command) = @_;
	my $back = getcwd();
	my ($stdout, $stderr) = ('', '');

	chdir $directory or die "$directory: $!";
	IPC::Run::run(\@command, '<', \undef, '>', \$stdout, '2>', \$stderr);
	my $status = $? >> 8;
	chdir $back;
	return ($status, $stdout, $stderr);
}

# What a command says, without the newline at its end.
sub run_line
{
	my ($status, $stdout) = run_in('.', @_);

	chomp $stdout;
	return $stdout;
}

# Makes a directory with what is in the checkout, without what make has added.
sub copy_checkout
{
	my ($directory) = @_;
	my $without = join ' ', map { "--exclude='$_'" } qw(*.o *.d *.so ./batchagg--*.sql ./.git
	  ./test/unit/build ./tmp_check ./log ./results ./test/isolation/results);

	mkdir $directory or die "$directory: $!";
	run_in('.', 'sh', '-c', "tar $without -cf - . | tar -C '$directory' -xf -");
}

1;
