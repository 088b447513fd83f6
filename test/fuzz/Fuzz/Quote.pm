package Fuzz::Quote;

# Writing names and values into SQL text and COPY data.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(ident qualified literal copy_line);

# A name as an SQL identifier, always quoted.
sub ident
{
	my ($name) = @_;

	$name =~ s/"/""/g;
	return qq("$name");
}

sub qualified
{
	return join '.', map { ident($_) } @_;
}

# A string as an SQL literal; undef is NULL.
sub literal
{
	my ($string) = @_;

	return 'NULL' unless defined $string;
	$string =~ s/'/''/g;
	return "'$string'";
}

# One line of COPY's text format; undef is NULL.
sub copy_line
{
	my (@fields) = @_;

	for my $field (@fields)
	{
		if (!defined $field)
		{
			$field = '\N';
			next;
		}
		$field =~ s/\\/\\\\/g;
		$field =~ s/\t/\\t/g;
		$field =~ s/\n/\\n/g;
		$field =~ s/\r/\\r/g;
	}
	return join("\t", @fields) . "\n";
}

1;
