package Fuzz::Data;

# Random values, as the text that COPY reads; undef is NULL.
#
# A value's generator is a closure that is called once per row: numbers() for
# metrics, entities() for ids, instants() for times, words() for what filters
# look at.  Each decides at its making what kind of data it gives (few or many
# distinct values, how many NULLs, odd ones among them), so that one column has
# one character.

use strict;
use warnings;
use utf8;
use Exporter 'import';
use Fuzz::Random;

our @EXPORT = qw(numbers number_types entities id_types clock instants some_second
	text_of_instant amounts words @WORDS);

# How far from the present times stay, in seconds.
use constant MARGIN => 20 * 86_400;

our @WORDS = ('active', 'idle', 'Active', 'off line', "it's", 'a"b', '50%', 'x_y', 'größer', '');

# A generator that gives undef with probability $share, else what $make gives.
sub with_nulls
{
	my ($share, $make) = @_;

	return $make if $share == 0;
	return sub { return chance($share) ? undef : $make->(@_) };
}

sub null_share
{
	return weighted(5 => 0, 3 => 0.1, 1 => 0.6, 0.3 => 1);
}

# --- numbers -----------------------------------------------------------------

# A random float in the usual notation, around $offset.
sub float_text
{
	my ($offset, $size, $digits) = @_;

	return sprintf "%.*g", $digits, $offset + (rand(2) - 1) * $size;
}

# What float columns hold: a function without arguments.
sub float_kind
{
	my ($digits) = @_;
	my $size = 10**between(-3, 8);
	my $levels = between(1, 5);

	return weighted(
		4 => sub { float_text(0, $size, $digits) },
		2 => sub { between(-20, 20) },
		2 => sub { $size * between(0, $levels) },
		1 => sub { float_text(1e9, 1, $digits) },
		1 => sub { chance(0.5) ? float_text(0, 1e12, $digits) : float_text(0, 1e-12, $digits) },
		1 => sub { pick('0', '-0', '1', '-1') },
		1 => sub { chance(0.2) ? pick('NaN', 'Infinity', '-Infinity') : float_text(0, 10, 4) },
		0.3 => sub { pick('Infinity', 'NaN') });
}

sub numeric_kind
{
	my $scale = between(0, 9);

	return weighted(
		3 => sub { sprintf "%.*f", $scale, (rand(2) - 1) * 1e6 },
		1 => sub { between(-9, 9) . '.' . join '', map { between(0, 9) } 1 .. between(1, 40) },
		1 => sub { between(1, 9) . join '', map { between(0, 9) } 1 .. between(1, 30) },
		1 => sub { pick('1', '1.0', '1.00', '-2.50', '0.000') },
		1 => sub { chance(0.1) ? pick('NaN', 'Infinity', '-Infinity') : between(-99, 99) });
}

sub interval_kind
{
	return weighted(
		3 => sub { between(-1000, 1000) . ' seconds' },
		2 => sub {
			return sprintf '%d days %02d:%02d:%02d.%06d', between(-5, 40), between(0, 23),
				between(0, 59), between(0, 59), between(0, 999_999);
		},
		1 => sub { between(-14, 14) . ' months ' . between(-40, 40) . ' days' });
}

my %NUMBER_KINDS = (
	'smallint' => sub { my $top = pick(3, 1000, 30_000); sub { between(-$top, $top) } },
	'integer' => sub { my $top = pick(3, 1000, 2_000_000_000); sub { between(-$top, $top) } },
	'bigint' => sub { my $top = pick(3, 1000, 9e18); sub { sprintf '%d', (rand(2) - 1) * $top } },
	'real' => sub { float_kind(6) },
	'double precision' => sub { float_kind(17) },
	'numeric' => sub { numeric_kind() },
	'numeric(12,3)' => sub { sub { sprintf '%.3f', (rand(2) - 1) * 1e6 } },
	'boolean' => sub { my $share = rand(); sub { chance($share) ? 't' : 'f' } },
	'interval' => sub { interval_kind() });

# The types a metric can have.
sub number_types
{
	return sort keys %NUMBER_KINDS;
}

# A generator of metric values of type $type.
sub numbers
{
	my ($type) = @_;

	return with_nulls(null_share(), $NUMBER_KINDS{$type}->());
}

# --- entities ----------------------------------------------------------------

sub hex_digits
{
	my ($n) = @_;

	return join '', map { sprintf '%x', between(0, 15) } 1 .. $n;
}

my @ODD_TEXTS = ('NULL', '*', '{}', '\N', ' lead', 'trail ', 'É', 'e', 'E', '日本', "\x{1F600}");

sub text_id
{
	return weighted(
		6 => sub { 'e' . between(1, 100_000) },
		1 => sub { pick(@ODD_TEXTS) },
		1 => sub {
			my $separator = pick(' ', '', ',', "\t", "\n", '\\', '|');

			return join $separator, map { pick(@WORDS) } 1 .. between(1, 4);
		},
		0.3 => sub { 'long ' . hex_digits(between(100, 1500)) })->();
}

# Some ids are equal and yet print differently: which of the texts is stored is
# up to the extension.
my %ID_KINDS = (
	'text' => \&text_id,
	'varchar(2000)' => \&text_id,
	'name' => sub { 'n ' . hex_digits(between(1, 30)) },
	'char(6)' => sub { pick('a', 'b', 'é', '', 'Z ') . between(1, 999) },
	'smallint' => sub { between(-300, 300) },
	'integer' => sub { between(-2_000_000_000, 2_000_000_000) },
	'bigint' => sub { sprintf '%d', between(-9e15, 9e15) },
	'oid' => sub { between(1, 4_000_000_000) },
	'numeric' => sub { between(-500, 500) . pick('', '', '.0', '.00', '.50') },
	'numeric(9,2)' => sub { sprintf '%.2f', (rand(2) - 1) * 1e5 },
	'double precision' => sub {
		return chance(0.1) ? pick('NaN', 'Infinity', '0', '-0') : float_text(0, 1e3, pick(3, 17));
	},
	'real' => sub { float_text(0, 1e3, 4) },
	'boolean' => sub { pick('t', 'f') },
	'uuid' => sub { hex_digits(32) },
	'date' => sub { sprintf '%04d-%02d-%02d', between(1990, 2020), between(1, 12), between(1, 28) },
	'timestamp with time zone' => sub { text_of_instant(between(0, 1_600_000_000) * 1_000_000) },
	'timestamp without time zone' => sub { text_of_instant(between(0, 1_600_000_000) * 1_000_000) },
	'time without time zone' => sub { sprintf '%02d:%02d:00', between(0, 23), between(0, 59) },
	'interval' => sub { between(1, 90) . pick(' minutes', ' hours', ' days') },
	'inet' => sub { sprintf '10.%d.%d.%d', between(0, 1), between(0, 255), between(0, 255) },
	'bytea' => sub { '\x' . hex_digits(2 * between(0, 12)) },
	'integer[]' => sub { '{' . join(',', map { between(0, 9) } 1 .. between(0, 4)) . '}' },
	'jsonb' => sub { '{"a": ' . between(1, 99) . ', "b": "' . pick('x', 'y') . '"}' });

# The types an id can have; the caller adds those that it creates.
sub id_types
{
	return sort keys %ID_KINDS;
}

# A generator of ids of type $type (base type of a domain; for an enum or
# citext, $labels lists what to choose from), out of a limited number.
sub entities
{
	my ($type, $labels) = @_;
	my $count = spread(1, pick(5, 50, 1000));
	my @pool = $labels ? @$labels : map { $ID_KINDS{$type}->() } 1 .. $count;
	my $skew = pick(1, 1, 3);

	return with_nulls(weighted(3 => 0, 1 => 0.02, 0.3 => 0.5),
		sub { $pool[ int(@pool * rand()**$skew) ] });
}

# --- times -------------------------------------------------------------------

# Microseconds since 1970 as text, in UTC unless shifted by $shift seconds.
sub text_of_instant
{
	my ($us, $shift) = @_;
	my $seconds = int($us / 1_000_000);
	my @t = gmtime($seconds + ($shift // 0));

	return sprintf '%04d-%02d-%02d %02d:%02d:%02d.%06d%s',
		$t[5] + 1900, $t[4] + 1, @t[ 3, 2, 1, 0 ],
		$us - $seconds * 1_000_000, defined $shift ? '' : '+00';
}

# Where a case's times lie: around $center (seconds since 1970), mostly near an
# offset change of the zone whose local time is $shift seconds ahead of UTC.
# Unless the clock is "recent", and but for a few rows in the far future, all of
# them are so old that no horizon comes near, even after some changes.
sub clock
{
	my ($center, $shift, $now) = @_;
	my $width = spread(60, 86_400 * 1000);
	my $recent = chance(0.08);

	if ($recent)
	{
		$center = $now;
		$width = spread(3600, 86_400 * 20);
	}
	elsif ($center + $width / 2 > $now - MARGIN)
	{
		$center = $now - MARGIN - int($width / 2);
	}
	return {
		center => $center,
		width => $width,
		shift => $shift,
		now => $now,
		recent => $recent,
		grain => 1_000_000 * weighted(3 => 0.000_001, 2 => 1, 2 => 60, 1 => 900, 1 => 3_600),
		nulls => weighted(3 => 0, 1 => 0.02),
		infinities => weighted(3 => 0, 1 => 0.02),
		future => weighted(3 => 0, 1 => 0.03)
	};
}

# $n instants by a clock, in microseconds, undef, or 'infinity' as text.
sub instants
{
	my ($clock, $n) = @_;
	my @instants;

	while (@instants < $n)
	{
		my $us = int(($clock->{center} + (rand() - 0.5) * $clock->{width}) * 1_000_000);

		$us -= $us % $clock->{grain};
		$us = ($clock->{now} + MARGIN + between(0, 400) * 86_400) * 1_000_000
			if chance($clock->{future});
		$us = pick('infinity', '-infinity') if chance($clock->{infinities});
		$us = undef if chance($clock->{nulls});
		push @instants, ($us) x (chance(0.1) ? between(1, 4) : 1);
	}
	$#instants = $n - 1;
	return @instants;
}

# An instant by a clock, in seconds, whatever its NULLs and infinities.
sub some_second
{
	my ($clock) = @_;

	return $clock->{center} + int((rand() - 0.5) * $clock->{width});
}

# --- what filters look at ----------------------------------------------------

sub amounts
{
	return with_nulls(null_share(), sub { sprintf '%.1f', rand(1000) });
}

sub words
{
	my @vocabulary = sample(between(2, 6), @WORDS);

	return with_nulls(null_share(), sub { pick(@vocabulary) });
}

1;
