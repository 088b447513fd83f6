package Histories::Oracle;

# What the results of all definitions must be, as plain SQL over the source that
# fills the judge's tables.  Buckets are the judge's, aggregates PostgreSQL's.

use strict;
use warnings;
use utf8;
use Fuzz::Oracle;
use Fuzz::Quote;
use Exporter 'import';

our @EXPORT = qw(expectations);

# SQL that fills "expected" for the world as it is, and the time of the jobs'
# last run.
sub expectations
{
	my ($world) = @_;

	return ('DELETE FROM batchagg_histories.expected;', 'SELECT batchagg_histories.take_time();',
		(map { expect($world, $_) } @{ $world->{definitions} }),
		$world->{theme} eq 'plain' ? () : excuses($world));
}

# SQL that says which results may be other ones.
sub excuses
{
	my ($world) = @_;

	return ('DELETE FROM batchagg_histories.loose;', map {
		my $zone = literal($_->{zone});
		my $before = $_->{lookback} ?
			"(least(horizon, last) AT TIME ZONE $zone - interval '$_->{lookback} hours') AT TIME ZONE $zone" :
			"timestamptz '-infinity'";

		"INSERT INTO batchagg_histories.loose\n"
			. "SELECT $_->{number}, $_->{n}, '$_->{unit}', $zone, $before, horizon\n"
			. "FROM (SELECT ${\horizon($_)} AS horizon) h, (SELECT max(horizon) AS last"
			. " FROM batchagg_histories.last_horizon WHERE d = $_->{number}) l;"
	} @{ $world->{definitions} });
}

# What the rows are read from: the source, and the rows whose results are kept.
sub rows
{
	my ($world) = @_;
	my $columns = join ', ', $world->columns;

	return $world->{copies}[0]{relation} unless $world->{theme} eq 'history';
	return "(SELECT $columns FROM h.a UNION ALL SELECT $columns FROM batchagg_histories.kept) a";
}

# The instant of a row in a zone.
sub instant
{
	my ($world, $d) = @_;

	return 'ts' if $world->{time_type} eq 'timestamptz';
	return 'ts::timestamp AT TIME ZONE ' . literal($d->{zone});
}

sub id
{
	my ($world, $d) = @_;

	return $d->{focal} eq '*' ? "'*'" : $world->{mapped} ? $world->{id_column} : 'user_id';
}

# SQL for the values of a row: of a FROM item x with the columns metric and v.
sub values_of_a_row
{
	my ($world, @metrics) = @_;

	return '(VALUES (metric_name, metric_value::float8)) x(metric, v)' if $world->{layout} eq 'row';
	return '(VALUES ' . join(', ', map { "('$_', r.$_\::float8)" } @metrics) . ') x(metric, v)';
}

sub horizon
{
	my ($d) = @_;

	return "(SELECT c.slot - (SELECT job_delay FROM batchjob_definitions WHERE id = 100 + $d->{number})"
		. " * interval '1 hour' FROM batchagg_histories.clock c)";
}

sub expect
{
	my ($world, $d) = @_;
	my @metrics = sort keys %{ $world->{metrics} };
	my %used = map { $_ => 1 } map { @$_ } values %{ $world->{metrics} };
	my @used = sort keys %used;
	my $relation = rows($world);
	my $filter = $d->{filter} ? $d->{filter}[1] : 'true';
	my ($instant, $id) = (instant($world, $d), id($world, $d));
	my $values = values_of_a_row($world, @metrics);
	my $zone = literal($d->{zone});
	my @kept = ('id IS NOT NULL', 'isfinite(t)', 't < horizon');
	my $names = join ',', @used;
	my $computed = join ', ', map { Fuzz::Oracle::aggregate($_)->[0] =~ s/\bw\b/v/gr } @used;
	my $tolerances = join ', ', map { tolerance($_) } @used;
	my $wanted = join ', ', map {
		my $metric = $_;
		map { "('$metric', '$_')" } @{ $world->{metrics}{$metric} }
	} @metrics;

	push @kept, 'b.ends <= horizon' if $d->{complete_only};
	push @kept, "b.ends > (counted_from AT TIME ZONE $zone - interval '$d->{retention} hours') AT TIME ZONE $zone"
		if $d->{retention};
	my $kept = join ' AND ', @kept;
	my $counted_from = $d->{complete_only} && $d->{retention} ?
		"(batchagg_fuzz.bounds($d->{n}, '$d->{unit}', $zone, horizon)).starts" : 'horizon';

	return <<"END";
SET TimeZone = $zone;
SELECT batchagg_histories.know_buckets($d->{n}, '$d->{unit}', $zone, (SELECT array_agg(DISTINCT $instant) FROM $relation)) \\g /dev/null
INSERT INTO batchagg_histories.expected
SELECT $d->{number}, entity, starts, metric, a.aggregate, a.value, a.tolerance, n
FROM (SELECT id::text AS entity, b.starts, metric, count(v) AS n,
		ARRAY[$computed]::float8[] AS computed, ARRAY[$tolerances]::float8[] AS tolerances
	FROM (SELECT *, $id AS id, $instant AS t FROM $relation WHERE $filter) r,
		(SELECT horizon, $counted_from AS counted_from
			FROM (SELECT ${\horizon($d)} AS horizon OFFSET 0) t OFFSET 0) h,
		LATERAL (SELECT starts, ends FROM batchagg_histories.bucket
			WHERE n = $d->{n} AND unit = '$d->{unit}' AND zone = $zone AND starts <= t
			ORDER BY starts DESC LIMIT 1) b,
		LATERAL $values
	WHERE $kept
	GROUP BY 1, 2, 3) g, unnest('{$names}'::text[], computed, tolerances) a(aggregate, value, tolerance)
WHERE a.value IS NOT NULL AND (metric, aggregate) IN (VALUES $wanted);
RESET TimeZone;
END
}

sub tolerance
{
	my ($name) = @_;

	return $name =~ /^(std|avg)$/ ? '1e-9 * (1 + max(abs(v))) ^ 2' : '0';
}

1;
