# For tests that build, or run make: a copy of the checkout as it is before anything
# is built in it, and running commands in it.

package Checkout;

use strict;
use warnings;

use Cwd;
use Exporter 'import';
use File::Path qw(make_path);
use IPC::Run;

our @EXPORT = qw(copy_checkout fake_pg_config run_in run_line write_script);

# The variables of a make that runs a test are not for those that it runs.
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES PG_CONFIG COPT PROFILE VPATH
  TAP_TESTS PROVE_TESTS PROVE_FLAGS REGRESS ISOLATION BATCHAGG_KEEP)};

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

# Makes a directory with what is in the checkout, without what make and tests have
# added: that is what git is told to ignore.
sub copy_checkout
{
	my ($directory) = @_;
	open my $file, '<', '.gitignore' or die ".gitignore: $!";
	chomp(my @patterns = <$file>);
	my $without = join ' ', map { "--exclude='" . s{^/}{./}r =~ s{/$}{}r . "'" } @patterns, '/.git';

	mkdir $directory or die "$directory: $!";
	run_in('.', 'sh', '-c', "tar $without -cf - . | tar -C '$directory' -xf -");
}

# Makes a script in place of a program.  Returns its path.
sub write_script
{
	my ($path, $text) = @_;

	make_path($path =~ s{/[^/]*$}{}r);
	open my $file, '>', $path or die "$path: $!";
	print $file "#!/bin/sh\n$text";
	close $file;
	chmod 0755, $path;
	return $path;
}

# Makes a pg_config in a directory that answers some questions in its own way, and
# the others as the one in PATH.
sub fake_pg_config
{
	my ($directory, %answers) = @_;
	my $real = run_line('sh', '-c', 'command -v pg_config');
	my $cases = join '', map { "--$_) echo '$answers{$_}';;\n" } sort keys %answers;

	return write_script("$directory/pg_config", "case \$1 in\n$cases*) exec '$real' \"\$@\";;\nesac\n");
}

1;
