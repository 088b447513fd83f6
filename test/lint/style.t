# What an editor should see to, in C, SQL, Perl and shell.

use strict;
use warnings;

use Test::More;

my @files = grep { -f && !/\.(?:o|d|so)$/ } map { glob } qw(src/*.[ch] src/*/*.[ch] sql/*.sql test/sql/*.sql
	test/t/*.t test/t/*.pm test/lint/*.t test/lib/*.sh test/unit/*.[ch] test/fuzz/* test/fuzz/*/*.pm test/histories/* Makefile);
my @wrong;

foreach my $file (@files)
{
	open my $source, '<', $file or die "$file: $!";
	while (<$source>)
	{
		chomp;
		push @wrong, "$file:$.: blanks at the end" if /[ \t]$/;
		push @wrong, "$file:$.: blanks before a tab" if / \t/ && /^\s* \t/;
		push @wrong, "$file:$.: indented by blanks" if $file =~ /\.[ch]$/ && /^\t* {4}/;
		push @wrong, "$file:$.: carriage return" if /\r/;
	}
}
cmp_ok(@files, '>', 200, 'there are files');
is(join("\n", @wrong), '', 'blanks and tabs are in order');

done_testing();
