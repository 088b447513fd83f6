package Fuzz::Random;

# Random choices.  All of them draw from perl's own generator, which is the
# same on every platform, and which plant() sets anew for each case: a case
# depends on the seed and its own number alone, not on the cases before it.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(plant chance between spread pick sample shuffled weighted);

# Starts the sequence of case $case under $seed.
sub plant
{
	my ($seed, $case) = @_;

	srand(($seed * 1_000_003 + $case * 7_919) % 2**32);
	rand for 1 .. 3;
	return;
}

# True with probability $p.
sub chance
{
	my ($p) = @_;

	return rand() < $p;
}

# An integer from $low to $high, both included.
sub between
{
	my ($low, $high) = @_;

	return $low + int(rand($high - $low + 1));
}

# An integer from $low (at least 1) to $high whose order of magnitude is even.
sub spread
{
	my ($low, $high) = @_;

	return int($low * ($high / $low)**rand());
}

# One of the arguments.
sub pick
{
	return $_[ int(rand(@_)) ];
}

# The arguments in random order.
sub shuffled
{
	my @items = @_;

	for my $i (reverse 1 .. $#items)
	{
		my $j = int(rand($i + 1));
		@items[ $i, $j ] = @items[ $j, $i ];
	}
	return @items;
}

# $n of the other arguments, or all of them where there are fewer.
sub sample
{
	my ($n, @items) = @_;

	@items = shuffled(@items);
	$n = @items if $n > @items;
	return @items[ 0 .. $n - 1 ];
}

# weighted(3 => 'a', 1 => 'b'): 'a' three times as often as 'b'.
sub weighted
{
	my (@pairs) = @_;
	my $total = 0;
	my $point;

	for (my $i = 0; $i < @pairs; $i += 2)
	{
		$total += $pairs[$i];
	}
	$point = rand($total);
	for (my $i = 0; $i < @pairs; $i += 2)
	{
		$point -= $pairs[$i];
		return $pairs[ $i + 1 ] if $point < 0;
	}
	return $pairs[-1];
}

1;
