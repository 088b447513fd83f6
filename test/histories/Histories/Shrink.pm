package Histories::Shrink;

# Delta debugging: of a list that fails, the items that matter.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(shrink);

# The items of a list that fails, without any that can be left out while the
# function $fails says that it still does.  Stops after so many seconds.
sub shrink
{
	my ($fails, $seconds, @items) = @_;
	my $end = time + $seconds;
	my $size = int((@items + 1) / 2);

	while ($size >= 1)
	{
		my $smaller = 0;

		for (my $at = @items - $size; $at > -$size && time < $end; $at -= $size)
		{
			my $from = $at < 0 ? 0 : $at;
			my @rest = @items;

			splice @rest, $from, $size;
			next unless $fails->(@rest);
			@items = @rest;
			$smaller = 1;
		}
		next if $size == 1 && $smaller && time < $end;
		last if $size == 1;
		$size = int(($size + 1) / 2);
	}
	return @items;
}

1;
