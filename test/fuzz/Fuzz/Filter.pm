package Fuzz::Filter;

# Random filter expressions over a source's columns.
#
# An expression is made twice at once: as the user writes it in
# resource_filter, where a string may stand in double quotes, and as plain SQL
# for the judge.  So every function here returns a pair, [user's, judge's].

use strict;
use warnings;
use utf8;
use Fuzz::Data;
use Fuzz::Quote;
use Fuzz::Random;

# An expression over @columns: hashes with name, kind ('word', 'number',
# 'boolean', 'instant') and, of instants, a clock.
sub expression
{
	my (@columns) = @_;
	my $filter = combination(between(0, 2), @columns);

	$filter->[0] .= pick(' -- as agreed', ' /* " */') if chance(0.05);
	return $filter;
}

sub combination
{
	my ($depth, @columns) = @_;
	my ($left, $right);

	return term(@columns) if $depth == 0;
	$left = combination($depth - 1, @columns);
	return joined('NOT (%s)', $left) if chance(0.15);
	$right = combination(between(0, $depth - 1), @columns);
	return joined(pick('(%s AND %s)', '(%s OR %s)', '%s AND (%s)', '(%s) OR (%s)'), $left, $right);
}

# The pairs put into the places of a format, as many as it has, in both
# versions.
sub joined
{
	my ($format, @pairs) = @_;

	no warnings 'redundant';
	return [ map { my $side = $_; sprintf $format, map { $_->[$side] } @pairs } 0, 1 ];
}

# A piece of text that is the same in both.
sub same
{
	my ($text) = @_;

	return [ $text, $text ];
}

# A string, by the user in any of the ways there are; double quotes only where
# that is not a column's name.
sub string
{
	my ($value, @columns) = @_;
	my @ways = (literal($value));

	push @ways, '$$' . $value . '$$' unless $value =~ /\$/;
	push @ways, (ident($value)) x 4 unless $value eq '' || grep { $_->{name} eq $value } @columns;
	return [ pick(@ways), literal($value) ];
}

# A column's name, without quotes where it can do without.
sub spelt
{
	my ($name) = @_;

	return $name =~ /^[a-z]+$/ && chance(0.5) ? $name : ident($name);
}

sub term
{
	my (@columns) = @_;
	my $column = pick(@columns);
	my $name = same(spelt($column->{name}));
	my %terms = (
		word => \&word_term,
		number => \&number_term,
		boolean => \&boolean_term,
		instant => \&instant_term);

	return joined('%s IS ' . pick('NULL', 'NOT NULL'), $name) if chance(0.08);
	return same(pick('true', 'false', 'NULL', '1 = 1')) if chance(0.02);
	return $terms{ $column->{kind} }->($name, $column, @columns);
}

sub word_term
{
	my ($name, undef, @columns) = @_;
	my ($one, $two) = map { string($_, @columns) } sample(2, @WORDS);
	my $format = pick(
		('%s = %s') x 5, '%s <> %s', '%s > %s', '%s IS DISTINCT FROM %s', '%s IN (%s, %s)',
		'%s NOT IN (%s, %s)', '%s BETWEEN %s AND %s', 'lower(%s::text) = %s',
		q(%s::text || %s LIKE '%%e%%'), 'coalesce(%s, %s) = %s', 'length(%s::text) > 4',
		q(%s LIKE '%%i%%'), q(%s::text ~ '^[a-i]'), 'CASE %s WHEN %s THEN true ELSE NULL END',
		'nullif(%s, %s) IS NOT NULL', q(%s = ANY ('{active,idle}')), '(%s, 1) = (%s, 1)');

	return joined($format, $name, $one, $two);
}

sub number_term
{
	my ($name, undef, @columns) = @_;
	my ($low, $high) = map { same($_) } sort { $a <=> $b } between(0, 300), between(0, 2000);
	my $format = pick(
		'%s > %s', '%s < %s', '%s BETWEEN %s AND %s', '%s NOT BETWEEN %s AND %s',
		'%s IN (1, 2, 3, %s)', '%s::int %% 3 = 1', '-%s < -%s', 'abs(%s - %s) <= %s',
		q(%s::text LIKE '1%%'), '%s IS DISTINCT FROM %s', 'CASE WHEN %s > %s THEN true END',
		'coalesce(%s, 0) >= %s', 'CAST(%s AS numeric) * 2 > %s');

	return joined($format, $name, $low, $high);
}

sub boolean_term
{
	my ($name) = @_;

	my $format = pick('%s', 'NOT %s', '%s IS NOT TRUE', '%s IS UNKNOWN', '%s = true',
		'coalesce(%s, true)');

	return joined($format, $name);
}

# What these come to depends on the session's time zone.
sub instant_term
{
	my ($name, $column, @columns) = @_;
	my $text = text_of_instant(some_second($column->{clock}) * 1_000_000, 0);
	my $when = string(substr($text, 0, pick(10, 16, 19)), @columns);
	my $format = pick(
		'%s >= %s', '%s < %s', 'extract(hour from %s::timestamp) BETWEEN 6 AND 20',
		'extract(isodow FROM %s) < 6', '%s::date <= %s', q(date_trunc('day', %s) <> %s),
		q(to_char(%s, 'HH24') <> '02'));

	return joined($format, $name, $when);
}

1;
