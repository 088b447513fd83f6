# The ways to read results that README.md shows are those that test/sql/reading.sql tests.

use strict;
use warnings;

use Test::More;

# A file's text with blanks in one way.
sub text_of
{
	my ($file) = @_;

	open my $handle, '<', $file or die "$file: $!";
	local $/;
	my $text = <$handle>;
	return $text;
}

sub plain
{
	my ($sql) = @_;

	$sql =~ s/\s+/ /g;
	$sql =~ s/^ | $//g;
	return $sql;
}

my ($section) = text_of('README.md') =~ /^## Reading results\n(.*?)^## /ms;
my $tested = plain(text_of('test/sql/reading.sql'));
my @statements = map { split /;\s*/ } ($section // '') =~ /```sql\n(.*?)```/gs;

cmp_ok(scalar @statements, '>=', 5, 'the section is there');
foreach my $statement (map { plain($_) } @statements)
{
	ok(index($tested, "$statement;") >= 0, "tested: $statement");
}

done_testing();
