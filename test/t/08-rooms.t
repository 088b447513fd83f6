# The rooms of src/ depend on each other in one direction, as src/README.md says, and so do the files in them.

use strict;
use warnings;

use Test::More;

my %rank = (words => 0, time => 1, stats => 1, model => 2, source => 3, track => 4, group => 5, refresh => 6, plan => 7,
	store => 8, read => 9, run => 10, slots => 11, service => 12, api => 13);
my ($files, @wrong, %includes) = (0);

foreach my $file (glob 'src/*/*.[ch]')
{
	my ($room) = $file =~ m{^src/(\w+)/};

	push @wrong, "$file is in no room" unless defined $rank{$room};
	$files++;
	open my $source, '<', $file or die "$file: $!";
	while (<$source>)
	{
		my ($header, $other) = /^#include "((\w+)\/\w+)\.h"/ or next;

		$includes{ $file =~ s{^src/(.*)\.[ch]$}{$1}r }{$header} = 1;
		next if !defined $rank{$other} || $other eq $room;
		push @wrong, "$file includes of $other" if $rank{$other} >= $rank{$room};
	}
}
cmp_ok($files, '>', 50, 'the source is here');
is(join("\n", @wrong), '', 'includes go in one direction');

# A file is a .c file and its header.
my (%state, @circles);
sub visit
{
	my ($file, @path) = @_;

	push @circles, join(' -> ', @path, $file) if ($state{$file} // '') eq 'open';
	return if $state{$file};
	$state{$file} = 'open';
	visit($_, @path, $file) for grep { $_ ne $file } sort keys %{ $includes{$file} };
	$state{$file} = 'done';
	return;
}
visit($_) for sort keys %includes;
is(join("\n", @circles), '', 'and in no circle');

done_testing();
