# The rooms of src/ depend on each other in one direction, as src/README.md says.

use strict;
use warnings;

use Test::More;

my %rank = (words => 0, time => 1, stats => 1, catalog => 2, track => 3, engine => 4, service => 5,
	api => 6);
my ($files, @wrong) = (0);

foreach my $file (glob 'src/*/*.[ch]')
{
	my ($room) = $file =~ m{^src/(\w+)/};

	push @wrong, "$file is in no room" unless defined $rank{$room};
	$files++;
	open my $source, '<', $file or die "$file: $!";
	while (<$source>)
	{
		my ($other) = /^#include "(\w+)\/\w+\.h"/ or next;

		next if !defined $rank{$other} || $other eq $room;
		push @wrong, "$file includes of $other" if $rank{$other} >= $rank{$room};
	}
}
cmp_ok($files, '>', 50, 'the source is here');
is(join("\n", @wrong), '', 'includes go in one direction');

done_testing();
