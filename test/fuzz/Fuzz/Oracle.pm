package Fuzz::Oracle;

# What the results of a job must be, as plain SQL that fills the judge's tables.
#
# For each definition and source one statement inserts into "expected": it
# reads the source's rows that the filter keeps, finds their buckets with
# batchagg_fuzz.bounds(), turns metrics into rows, and lets PostgreSQL's own
# aggregates do the rest.  Another one, for each scan, counts the rows that
# have to be skipped.
#
# Aggregates are exact but for
#
#	sum, avg	within 1e-12 of the sum of absolute values: PostgreSQL's sums
#				are the less exact ones
#	var, std	within 1e-9, and 1e-13 of the squared range.  They are taken
#				of the differences from the group's minimum, so that a great
#				common offset does not spoil the expectation
#
# Values are compared as float8, since results are float8.

use strict;
use warnings;
use utf8;
use Fuzz::Job;
use Fuzz::Quote;
use Fuzz::Source;

# How an aggregate is computed of v at time t; w is v minus the group's
# minimum.  An entry is the value, and the tolerance if there is one.
my %AGGREGATES = (
	sum => [ 'sum(v)', '1e-12 * sum(abs(v))' ],
	avg => [ 'avg(v)', '1e-12 * sum(abs(v)) / count(v)' ],
	count => ['count(v)'],
	min => ['min(v)'],
	max => ['max(v)'],
	std => [ 'stddev_samp(w)', '1e-9 * var_samp(w) + 1e-13 * max(w)^2' ],
	var => [ 'var_samp(w)', '1e-9 * var_samp(w) + 1e-13 * max(w)^2' ],
	stddev_pop => [ 'stddev_pop(w)', '1e-9 * var_pop(w) + 1e-13 * max(w)^2' ],
	var_pop => [ 'var_pop(w)', '1e-9 * var_pop(w) + 1e-13 * max(w)^2' ],
	range => ['max(v) - min(v)'],
	first => ['(array_agg(v ORDER BY t, v) FILTER (WHERE v IS NOT NULL))[1]'],
	last => ['(array_agg(v ORDER BY t DESC, v DESC) FILTER (WHERE v IS NOT NULL))[1]'],
	delta => [
		'(array_agg(v ORDER BY t DESC, v DESC) FILTER (WHERE v IS NOT NULL))[1]'
			. ' - (array_agg(v ORDER BY t, v) FILTER (WHERE v IS NOT NULL))[1]'
	],
	distinct => ['count(DISTINCT v)'],
	median => ['percentile_cont(0.5) WITHIN GROUP (ORDER BY v)']);

sub aggregate
{
	my ($name) = @_;
	my ($whole, $decimals) = $name =~ /^p(\d+)_?(\d*)$/;

	return $AGGREGATES{$name}
		// [ sprintf 'percentile_cont(0.%02d%s) WITHIN GROUP (ORDER BY v)', $whole, $decimals ];
}

# --- parts of statements -----------------------------------------------------

# The instant of a source's time column in a zone.
sub instant
{
	my ($source, $zone) = @_;
	my $time = ident($source->{time}{name});

	return $time if $source->{time}{base_type} eq 'timestamp with time zone';
	return "$time\::timestamp AT TIME ZONE " . literal($zone);
}

# A column's value as float8.
sub number
{
	my ($column) = @_;
	my $name = ident($column->{name});

	return "$name\::int::float8" if $column->{base_type} eq 'boolean';
	return "extract(epoch FROM $name)::float8" if $column->{base_type} eq 'interval';
	return "$name\::float8";
}

sub filter
{
	my ($definition) = @_;

	return $definition->{filter} ? $definition->{filter}[1] : 'true';
}

sub id
{
	my ($source, $definition) = @_;

	return "'*'::text" if $definition->{focal} eq '*';
	return ident($source->{ids}{ $definition->{focal} }{name});
}

# The number, among @metrics, of the metric that a row of row layout is of.
sub number_of_metric
{
	my ($source, @metrics) = @_;
	my $name = ident($source->{name_column}{name});
	my @names = map { literal(Fuzz::Source::folded($_->{name})) } @metrics;
	my @cases = map { "WHEN $names[$_] THEN $_" } 0 .. $#metrics;

	return "CASE replace(lower($name\::text COLLATE \"C\"), '.', '_') @cases END";
}

# The metrics that a definition reads from a source.
sub metrics_of
{
	my ($job, $definition, $source) = @_;

	return grep { $job->source_of($definition, $_) == $source } @{ $job->{metrics} };
}

sub column_of
{
	my ($source, $metric) = @_;
	my ($column) = grep { $_->{name} eq $metric->{column} } @{ $source->{columns} };

	return $column;
}

# A query of the rows that the filter keeps and whose time and id allow it:
# entity (a number), text (the id's), t, and the metrics as v0, v1, ..., or, in
# row layout, m (the number of the metric) and v.
sub rows_query
{
	my ($source, $definition, @metrics) = @_;
	my $filter = filter($definition);
	my $id = $source->{ids}{ $definition->{focal} } // {};
	my $text = $id->{padded} ? 'id::text' : q(format('%s', id));
	my @columns = (
		id($source, $definition) . ' AS id',
		instant($source, $definition->{zone}) . ' AS t',
		value_columns($source, @metrics));

	return "SELECT *, dense_rank() OVER (ORDER BY id) AS entity, ($text) COLLATE \"C\" AS text\n"
		. "\tFROM (SELECT " . join(', ', @columns) . "\n"
		. "\t\tFROM $source->{relation} WHERE ($filter\n\t\t)) r\n"
		. "\tWHERE id IS NOT NULL AND isfinite(t) AND t < :'horizon'";
}

sub value_columns
{
	my ($source, @metrics) = @_;

	return map { number(column_of($source, $metrics[$_])) . " AS v$_" } 0 .. $#metrics
		if $source->{layout} eq 'column';
	return (
		number_of_metric($source, @metrics) . ' AS m',
		number($source->{value_column}) . ' AS v');
}

# What goes behind the rows in FROM, so that there is one row for each value.
sub one_row_per_value
{
	my ($source, @metrics) = @_;

	return '' if $source->{layout} eq 'row';
	return ', LATERAL (VALUES ' . join(', ', map { "($_, v$_)" } 0 .. $#metrics) . ') x(m, v)';
}

# --- statements --------------------------------------------------------------

# SQL that fills "expected" and "skipped" for a job whose run time is in the
# psql variable run_time.
sub fill
{
	my ($job) = @_;
	my @sql = ('TRUNCATE pg_temp.expected, pg_temp.skipped;');

	for my $definition (@{ $job->{definitions} })
	{
		push @sql, 'SET TimeZone = ' . literal($definition->{zone}) . ';',
			"SELECT :'run_time'::timestamptz - '$definition->{delay} hours'::interval AS horizon"
			. ' \gset';
		for my $source (@{ $job->{sources} })
		{
			my @metrics = metrics_of($job, $definition, $source);

			push @sql, expect($source, $definition, @metrics) if @metrics;
		}
	}
	push @sql, skips($job);
	return join "\n", @sql, '';
}

# The statement for one definition and source.
sub expect
{
	my ($source, $d, @metrics) = @_;
	my @used = aggregates_of(@metrics);
	my $rows = rows_query($source, $d, @metrics);
	my $unpivot = one_row_per_value($source, @metrics);
	my $bounds = "batchagg_fuzz.bounds($d->{n}, '$d->{unit}', " . literal($d->{zone}) . ', t)';
	my $complete = $d->{complete_only} ? "WHERE ends <= :'horizon'" : '';
	my $w = grep({ /^(std|var)/ } @used) ?
		'v - min(v) OVER (PARTITION BY entity, starts, m)' : 'NULL::float8';
	my $computed = join ",\n\t\t", map { computed($_) } @used;
	my $value = join ' ', map { qq(WHEN '$_' THEN "$_") } @used;
	my $tolerance = join ' ', map { qq(WHEN '$_' THEN "$_ tolerance") } @used;
	my $wanted = join ",\n\t\t", map { wanted($d, $_, $metrics[$_]) } 0 .. $#metrics;
	my $target = join ', ', ":d$d->{number}_id", literal($d->{focal_spelt}), 'texts', 'starts',
		literal(Fuzz::Job::granularity($d)),
		qw(metric_name aggregate value tolerance n result_name);

	return <<"END";
WITH source AS MATERIALIZED (
	$rows
), placed AS MATERIALIZED (
	SELECT * FROM source, $bounds $complete
), value AS (
	SELECT entity, starts, t, m, v, $w AS w FROM placed$unpivot
), grouped AS (
	SELECT entity, starts, m, count(v) AS n, $computed
	FROM value WHERE m IS NOT NULL GROUP BY entity, starts, m
), texts AS (
	SELECT entity, array_agg(DISTINCT text) AS texts FROM source GROUP BY entity
)
INSERT INTO pg_temp.expected SELECT $target
FROM grouped JOIN texts USING (entity)
	JOIN (VALUES $wanted) wanted(m, metric_name, aggregate, result_name) USING (m),
	LATERAL (SELECT CASE aggregate $value END AS value,
		CASE aggregate $tolerance END AS tolerance) x
WHERE value IS NOT NULL;
END
}

# All aggregates that the metrics have, each once.
sub aggregates_of
{
	my (@metrics) = @_;
	my %seen;

	return grep { !$seen{$_}++ } map { @{ $_->{aggregates} } } @metrics;
}

# An aggregate and its tolerance, as two columns.
sub computed
{
	my ($name) = @_;
	my ($value, $tolerance) = @{ aggregate($name) };

	$tolerance //= 0;
	return qq{($value)::float8 AS "$name", ($tolerance)::float8 AS "$name tolerance"};
}

# The rows of a VALUES list that say which results the metric of number $m has.
sub wanted
{
	my ($d, $m, $metric) = @_;
	my $name = $metric->{name};

	return map {
		my @texts = map { literal($_) } $name, $_, Fuzz::Job::result_name($d, $name, $_);

		'(' . join(', ', $m, @texts) . ')'
	} @{ $metric->{aggregates} };
}

# Statements that count the skipped rows, once for each scan.
sub skips
{
	my ($job) = @_;
	my @sql;

	for my $scan (scans($job))
	{
		my $source = $scan->{source};
		my $time = ident($source->{time}{name});
		my $meant = $source->{layout} eq 'row' ?
			number_of_metric($source, @{ $scan->{metrics} }) . ' IS NOT NULL' : 'true';
		my $skipped = join "\n\tOR ", map {
			my $rows = '(' . filter($_) . "\n\t)";
			my $counts = "isfinite($time) AND " . id($source, $_) . ' IS NOT NULL';

			"($rows AND ($counts) IS NOT TRUE" . name_counts($source, $scan, "$rows AND $counts") . ')'
		} @{ $scan->{definitions} };

		push @sql, 'SET TimeZone = ' . literal($scan->{definitions}[0]{zone}) . ';',
			"INSERT INTO pg_temp.skipped SELECT count(*) FROM $source->{relation}",
			"WHERE $meant AND ($skipped);";
	}
	return @sql;
}

# The names of metrics are those of rows that count: where only others have one that
# matches a metric, the metric keeps its own, and theirs means nothing.
sub name_counts
{
	my ($source, $scan, $counts) = @_;
	my $text = ident($source->{name_column}{name} // return '') . '::text COLLATE "C"';
	my $own = join ', ', map { literal($_->{name}) } @{ $scan->{metrics} };

	return "\n\tAND ($text IN ($own) OR $text IN (SELECT $text FROM $source->{relation} WHERE $counts))";
}

# Which definitions share a scan, and so count a row that is skipped once: those
# that read the same source, and have the same time zone or have nothing that
# depends on it.
sub scans
{
	my ($job) = @_;
	my @scans;

	for my $d (@{ $job->{definitions} })
	{
		for my $source (@{ $job->{sources} })
		{
			my @metrics = metrics_of($job, $d, $source) or next;
			my ($scan) =
				grep { $_->{source} == $source && may_share($source, $_->{definitions}[0], $d) }
				@scans;

			push @scans, $scan = { source => $source, metrics => \@metrics } unless $scan;
			push @{ $scan->{definitions} }, $d;
		}
	}
	return @scans;
}

sub may_share
{
	my ($source, @definitions) = @_;

	return 1 if $definitions[0]{zone} eq $definitions[1]{zone};
	return !grep { $_->{filter} || ($source->{ids}{ $_->{focal} } // {})->{zoned} } @definitions;
}

1;
