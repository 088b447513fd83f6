package Fuzz::Job;

# Random jobs over one or two sources, and changes of them.
#
# A job is kept twice: as the rows it has in the extension's tables, which
# create() and change() write as SQL, and here, as what the judge has to know:
#
#	definitions	focal, n and unit of the granularity, zone, delay, filter (a
#				pair, see Fuzz::Filter), complete_only, entity (a source);
#				focal_spelt and zone_spelt, as they are written
#	metrics		name, aggregates (canonical names), sources it is mapped to
#
# Where a metric is read from, for a definition, says source_of().  The psql
# variables job_id, d1_id, d2_id ... hold what the extension numbered.

use strict;
use warnings;
use utf8;
use Fuzz::Data;
use Fuzz::Filter;
use Fuzz::Quote;
use Fuzz::Random;
use Fuzz::Source;

my @FOCALS = qw(user cell site node customer device);

# The usual granularities, which nest in one another but for weeks in months.
my @USUAL = (
	[ 15, 'minute' ], [ 1, 'hour' ], [ 6, 'hour' ], [ 1, 'day' ], [ 1, 'week' ], [ 2, 'week' ],
	[ 1, 'month' ]);

my @GRANULARITIES = (
	(map { [ $_, 'minute' ] } 1, 2, 5, 7, 10, 15, 20, 30, 37, 45, 60),
	(map { [ $_, 'minute' ] } 90, 100, 120, 240, 480, 720, 1440, 1441),
	(map { [ $_, 'hour' ] } 1, 2, 3, 4, 5, 6, 7, 8, 12, 24, 25, 36, 48),
	(map { [ $_, 'day' ] } 1, 2, 3, 5, 10, 30),
	(map { [ $_, 'week' ] } 1, 2, 3),
	(map { [ $_, 'month' ] } 1, 2, 5, 6),
	(map { [ $_, 'quarter' ] } 1, 3),
	(map { [ $_, 'year' ] } 1, 3, 10));

# Canonical names, with the other ways to write them.
my %AGGREGATES = (
	(map { $_ => [$_] } qw(sum count min max median stddev_pop var_pop range)),
	(map { $_ => [$_] } qw(first last delta distinct)),
	avg => [ 'avg', 'mean' ],
	std => [ 'std', 'stddev' ],
	var => [ 'var', 'variance' ],
	(map { $_ => [$_] } qw(p1 p5 p25 p50 p75 p90 p95 p99 p99_9 p12_345 p33_3)));

# --- making a job ------------------------------------------------------------

# Options: schema, zones, zone, clock (see Fuzz::Data), server (see
# Fuzz::Source), role (its owner, undef: whoever runs the tests); others are the
# caller's.
sub new
{
	my ($class, %o) = @_;
	my $self = bless { %o, definitions => [], metrics => [], made => 0 }, $class;

	$self->{moving} = $o{clock}{recent};

	$self->{wide} = chance(0.03);
	$self->{focals} = [ sample(weighted(5 => 1, 1 => 2), @FOCALS) ];
	$self->{sources} = [ $self->new_source ];
	$self->{plan} = $self->{wide} ? 'one' : weighted(5 => 'one', 1 => 'two', 1 => 'twins');
	push @{ $self->{sources} }, $self->new_source($self->{sources}[0])
		unless $self->{plan} eq 'one';
	$self->choose_metrics;
	$self->add_definition for 1 .. weighted(4 => 1, 3 => 2, 3 => 3);
	return $self;
}

# A source; the second one looks like the first to filters, and as a twin has
# the same metrics too.
sub new_source
{
	my ($self, $first) = @_;
	my $number = $first ? 2 : 1;
	my $n = weighted(3 => 1, 4 => between(2, 5), 2 => between(6, 12));
	my @names = Fuzz::Source::metric_names($self->{wide} ? between(230, 250) : $n);

	@names = map { "other_$_" } @names if $first && $self->{plan} eq 'two';
	@names = @{ $first->{metrics} } if $first && $self->{plan} eq 'twins';
	return Fuzz::Source->new(
		schema => $self->{schema},
		name => pick("source $number", "source_$number", "Source.$number", "so\"urce$number"),
		focals => $self->{focals},
		clock => $self->{clock},
		server => $self->{server},
		role => $self->{role},
		metrics => \@names,
		$first ? (dimensions => $first->{dimensions}) : ());
}

sub choose_metrics
{
	my ($self) = @_;
	my ($first, $second) = @{ $self->{sources} };
	my $mapped = $first->needs_mapping || chance(0.4);

	for my $name (@{ $first->{metrics} })
	{
		my @sources = $self->{plan} eq 'twins' ? ($first, $second) : $mapped ? ($first) : ();

		$self->add_metric($name, @sources);
	}
	if ($self->{plan} eq 'two')
	{
		$self->add_metric($_, $second) for @{ $second->{metrics} };
	}
	$self->{metrics} = [ shuffled(@{ $self->{metrics} }) ];

	# Some wait for a change of the job.
	$self->{spare} = [ splice @{ $self->{metrics} }, between(1, scalar @{ $self->{metrics} }) ]
		if chance(0.3);
	return;
}

# A metric of the job for the column (or name in the rows) $column, with
# mappings to @sources.
sub add_metric
{
	my ($self, $column, @sources) = @_;
	my $columnar = grep { $_->{layout} eq 'column' } @sources;
	my $renamed = @sources == $columnar && @sources && chance(0.2);
	my $name = $renamed ? "renamed_$column" : Fuzz::Source::respelt($column);

	$name = substr($name, 0, 63);
	push @{ $self->{metrics} }, {
		name => $name,
		column => $column,
		renamed => $renamed,
		sources => \@sources,
		aggregates => [ $self->some_aggregates ]
	};
	return;
}

sub some_aggregates
{
	my ($self) = @_;

	return sample(
		$self->{wide} ? between(1, 2) : weighted(4 => between(1, 3), 2 => between(4, 8), 0.5 => 40),
		sort keys %AGGREGATES);
}

# Appends a definition.  Where there are others it is often like the first, so
# that it can share its scan or be merged from its groups; and then often in
# all but one point, so that it cannot.
sub add_definition
{
	my ($self) = @_;
	my $sources = $self->{plan} eq 'twins' ? $self->{sources} : [ $self->{sources}[0] ];
	my %fields = (
		focal => sub { chance(0.12) ? '*' : pick(@{ $self->{focals} }) },
		zone => sub { $self->some_zone },
		delay => sub { $self->some_delay },
		filter => sub { $self->some_filter },
		complete_only => sub { chance(0.2) },
		entity => sub { pick(@$sources) });
	my @fields = sort keys %fields;
	my %definition;

	if (@{ $self->{definitions} } && chance(0.7))
	{
		%definition = %{ $self->{definitions}[0] };
		@fields = chance(0.5) ? pick(@fields) : ();
	}
	$definition{$_} = $fields{$_}->() for @fields;
	do { @definition{ 'n', 'unit' } = some_granularity() } while $self->has_equal(\%definition);
	$definition{focal_spelt} = chance(0.1) ? ucfirst $definition{focal} : $definition{focal};
	$definition{zone_spelt} = chance(0.1) ? lc $definition{zone} : $definition{zone};
	$definition{number} = ++$self->{made};
	push @{ $self->{definitions} }, \%definition;
	return \%definition;
}

# Has the job another definition that is equal to this one?  That would be refused.
sub has_equal
{
	my ($self, $definition) = @_;
	my $what = sub {
		my ($d) = @_;

		return join "\n", @$d{qw(n unit focal zone delay)}, $d->{entity}{relation},
			$d->{filter} ? $d->{filter}[0] : '', $d->{complete_only} ? 1 : 0;
	};

	return grep { $_ != $definition && $what->($_) eq $what->($definition) }
		@{ $self->{definitions} };
}

sub some_granularity
{
	return chance(0.6) ? pick(@USUAL)->@* : pick(@GRANULARITIES)->@*;
}

sub some_zone
{
	my ($self) = @_;

	return chance(0.6) ? $self->{zone} : pick(@{ $self->{zones} });
}

# Often the horizon comes to lie within the data, which then is a moving job:
# what its results are depends on the second in which it runs.
sub some_delay
{
	my ($self) = @_;
	my $clock = $self->{clock};
	my $inside = $clock->{now} - some_second($clock);

	return weighted(3 => 0, 1 => between(1, 48))
		if $clock->{width} < 20_000 || $inside < 0 || chance(0.6);
	$self->{moving} = 1;
	return int($inside / 3600);
}

sub some_filter
{
	my ($self) = @_;
	my ($first, @others) = @{ $self->{sources} };

	return chance(0.4) ? undef : Fuzz::Filter::expression($first->filter_columns(@others));
}

# --- what the judge has to know ----------------------------------------------

# The source from which a definition reads a metric.
sub source_of
{
	my ($self, $definition, $metric) = @_;
	my @sources = @{ $metric->{sources} };

	return $definition->{entity} if @sources != 1;
	return $sources[0];
}

sub granularity
{
	my ($definition) = @_;

	return "$definition->{n}-$definition->{unit}";
}

sub result_name
{
	my ($definition, $metric_name, $aggregate) = @_;
	my $n = $definition->{n} > 1 ? $definition->{n} : '';

	return "t${aggregate}_$n$definition->{unit}_$metric_name";
}

# --- its rows, as SQL --------------------------------------------------------

# SQL that makes the job, and sets job_id and the definitions' variables.
sub create
{
	my ($self) = @_;
	my @sql = (q(INSERT INTO batch_jobs (job_name, event_name) VALUES ('fuzz job', 'EVERYHOUR'))
			. ' RETURNING id \gset job_');

	push @sql, $self->insert_definition($_) for @{ $self->{definitions} };
	push @sql, $self->insert_mappings($_) for @{ $self->{metrics} };
	push @sql, insert_metric($_) for @{ $self->{metrics} };
	return join "\n", @sql, '';
}

# An INSERT statement without its semicolon; the values are SQL.
sub insert
{
	my ($table, %values) = @_;
	my @columns = sort keys %values;

	return "INSERT INTO $table (" . join(', ', @columns) . ') VALUES ('
		. join(', ', @values{@columns}) . ')';
}

sub insert_definition
{
	my ($self, $d) = @_;

	return insert(
		'batchjob_definitions',
		job_id => ':job_id',
		focal_entity => literal($d->{focal_spelt}),
		entity => literal($d->{entity}{relation}),
		granularity => literal(spelt_granularity($d)),
		job_delay => $d->{delay},
		resource_filter => literal($d->{filter} && $d->{filter}[0]),
		timezone => literal($d->{zone_spelt}),
		complete_only => $d->{complete_only} ? 'true' : 'false')
		. " RETURNING id \\gset d$d->{number}_";
}

sub spelt_granularity
{
	my ($d) = @_;
	my $unit = chance(0.3) ? "$d->{unit}s" : $d->{unit};

	return $unit if $d->{n} == 1 && chance(0.2);
	return $d->{n} . weighted(3 => '-', 1 => ' ') . $unit;
}

# Rows of metricsandtables for a metric.
sub insert_mappings
{
	my ($self, $metric) = @_;
	my @sql;

	for my $source (@{ $metric->{sources} })
	{
		my $column = $metric->{renamed} ? $metric->{column} : undef;

		push @sql, insert('metricsandtables', $source->mapping($metric->{name}, $column)) . ';';
	}
	return @sql;
}

sub insert_metric
{
	my ($metric) = @_;

	return insert(
		'batchjob_metrics',
		job_id => ':job_id',
		metric_name => literal($metric->{name}),
		aggregation_types => spelt_aggregates($metric)) . ';';
}

# An aggregation list in one of the ways to write it.
sub spelt_aggregates
{
	my ($metric) = @_;
	my @names = map { pick(@{ $AGGREGATES{$_} }) } @{ $metric->{aggregates} };

	@names = map { uc } @names if chance(0.1);
	return literal(weighted(
		4 => join(',', @names),
		1 => join(' , ', @names),
		1 => '{' . join(',', @names) . '}',
		1 => '[' . join(', ', map { qq("$_") } @names) . ']'));
}

# --- changes -----------------------------------------------------------------

# SQL for one random change of the job, which is made here too.
sub change
{
	my ($self) = @_;

	return join "\n", weighted(
		3 => sub { $self->change_definition },
		2 => sub { $self->change_aggregates },
		1 => sub { $self->change_metrics },
		1 => sub { $self->insert_definition($self->add_definition) },
		1 => sub { $self->drop_definition })->(), '';
}

sub change_definition
{
	my ($self) = @_;
	my $d = pick(@{ $self->{definitions} });
	my %before = %$d;
	my %changes = (
		granularity => sub {
			@$d{ 'n', 'unit' } = some_granularity();
			return literal(spelt_granularity($d));
		},
		timezone => sub {
			$d->{zone} = $d->{zone_spelt} = $self->some_zone;
			return literal($d->{zone});
		},
		job_delay => sub {
			return $d->{delay} = $self->some_delay;
		},
		resource_filter => sub {
			$d->{filter} = $self->some_filter;
			return literal($d->{filter} && $d->{filter}[0]);
		},
		complete_only => sub {
			$d->{complete_only} = !$d->{complete_only};
			return $d->{complete_only} ? 'true' : 'false';
		});
	my $field = pick(sort keys %changes);

	my $value = $changes{$field}->();

	if ($self->has_equal($d))
	{
		%$d = %before;
		return ();
	}
	return "UPDATE batchjob_definitions SET $field = $value WHERE id = :d$d->{number}_id;";
}

sub change_aggregates
{
	my ($self) = @_;
	my $metric = pick(@{ $self->{metrics} });

	$metric->{aggregates} = [ $self->some_aggregates ];
	return 'UPDATE batchjob_metrics SET aggregation_types = ' . spelt_aggregates($metric)
		. ' WHERE job_id = :job_id AND metric_name = ' . literal($metric->{name}) . ';';
}

# Adds a metric, if one is spare, or takes one away, if one is left.
sub change_metrics
{
	my ($self) = @_;
	my $metric;

	if (@{ $self->{spare} // [] })
	{
		$metric = pop @{ $self->{spare} };
		push @{ $self->{metrics} }, $metric;
		return ($self->insert_mappings($metric), insert_metric($metric));
	}
	return () if @{ $self->{metrics} } < 2;
	$metric = pop @{ $self->{metrics} };
	return 'DELETE FROM batchjob_metrics WHERE job_id = :job_id AND metric_name = '
		. literal($metric->{name}) . ';';
}

sub drop_definition
{
	my ($self) = @_;
	my $d;

	return () if @{ $self->{definitions} } < 2;
	$d = splice @{ $self->{definitions} }, int(rand(@{ $self->{definitions} })), 1;
	return "DELETE FROM batchjob_definitions WHERE id = :d$d->{number}_id;";
}

1;
