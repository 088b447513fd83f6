# The rooms of src/ are as their READMEs say: which includes which, what others may include
# of each, and what is in it.

use strict;
use warnings;

use Test::More;

sub slurp
{
	my ($file) = @_;

	open my $handle, '<', $file or die "$file: $!";
	local $/;
	return <$handle>;
}

my $map = slurp('src/README.md');
my ($drawing) = $map =~ /^```\n(api -> .*)\n```$/m or BAIL_OUT('there is no drawing of the rooms');
my (%rank, $rank);
foreach my $rooms (reverse split / -> /, $drawing)
{
	$rank{$_} = $rank // 0 for split /, /, $rooms;
	$rank++;
}
my %rooms = map { m{^src/(\w+)/} => 1 } glob 'src/*/*.[ch]';
is_deeply([ sort keys %rank ], [ sort keys %rooms ], 'the drawing has all rooms, and no other');

#
# Who includes whom
#
my ($files, %includes, %included, @wrong) = (0);
foreach my $file (glob('src/*.[ch]'), glob('src/*/*.[ch]'))
{
	my ($room, $stem) = $file =~ m{^src/(?:(\w+)/)?(\w+)\.};

	$room //= '';			# anything may be included from above the rooms
	$files++;
	my $text = slurp($file);
	while ($text =~ /^#include "((\w+)\/(\w+)\.h)"/mg)
	{
		my ($header, $other, $name) = ($1, $2, $3);

		next if !defined $rank{$other};
		$includes{"$room/$stem"}{"$other/$name"} = 1;
		next if $other eq $room;
		$included{$other}{"$name.h"} = 1;
		push @wrong, "$file includes $header" if $room ne '' && $rank{$other} >= $rank{$room};
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

#
# Each room's README names what others include of it
#
foreach my $room (sort grep { $_ ne 'api' } keys %rank)
{
	my ($table) = slurp("src/$room/README.md") =~ /^\| others include \| \|\n\|---\|---\|\n((?:\|.*\n)*)/m;
	my @named = ($table // '') =~ /^\| `(\w+\.h)` \|/mg;

	is_deeply([ sort @named ], [ sort keys %{ $included{$room} } ], "$room: its README names what others include");
}

#
# The map has each file, and no other
#
my @mapped;
my $section = '';
foreach my $line ($map =~ /^\| (?:\*\*\w+\/\*\* )?.*$/mg)
{
	$section = $1 if $line =~ /^\| \*\*(\w+)\/\*\*/;
	last if $section eq 'api';
	my ($cell) = $line =~ /^\| ([^|]*) \|/ or next;
	push @mapped, map { ($section ? "$section/" : '') . $_ } $cell =~ /`(\w+\.[ch])`/g;
}
my %has = map { $_ => 1 } @mapped;
my @sources = map { s{^src/}{}r } grep { !m{^src/api/} } glob('src/*.c'), glob('src/*/*.c');
is(join(' ', grep { !$has{$_} } @sources), '', 'the map has all files');
is(join(' ', grep { !-e "src/$_" } @mapped), '', 'and no other');

done_testing();
