package Histories::World;

# What there is in a history: sources and the jobs over them, as far as the
# next operation has to know them.
#
# The source is there in three copies, which are changed alike.  Job 1 reads the
# first one, in mode full to begin with, job 2 the second, in log, job 3 the
# third, in snapshot; their definitions are the same, so all their results must
# be the same.  Definition d of job j has the id 100 * j + d: everything has a
# fixed name or number, so that SQL text does not depend on what the database
# answers.
#
# The columns, whatever their types: k (the row's number, by which statements
# pick rows), user_id, other_id, ts, n and m (in row layout: metric_name and
# metric_value, the names being n and m), status, region, kind.  DDL swaps and
# replaces them, but leaves the names.
#
# A world has a theme, which says what may happen in it:
#
#	plain		anything, but for
#	lookback	lookbacks: results of old buckets may be as they were
#	history		keep_history: old rows go, and late ones of their time hardly
#				ever come; buckets are UTC's, and what goes are whole days, so
#				that it is clear what has to be kept
#
# Time. All data lies around a fixed instant, the center, which the horizon
# follows by less than an hour, as job_delay is counted back from the present.
# Rows have their times on whole hours, so that it does not matter when in an
# hour a history is run.

use strict;
use warnings;
use utf8;
use Exporter 'import';
use Fuzz::Data qw(text_of_instant);
use Fuzz::Quote;
use Fuzz::Random;

our @EXPORT = qw(instant for_the_test);

use constant HOUR => 3600;
use constant DAY => 86_400;

# Centers: offset changes of some zones, and quiet times.
our @ZONES = qw(UTC America/New_York Europe/Berlin Asia/Kolkata Australia/Lord_Howe
	America/St_Johns Asia/Tehran);
my @CENTERS = map { $_ - $_ % HOUR } 1_730_610_000, 1_710_054_000, 1_729_990_800, 1_711_846_800,
	1_712_408_400, 1_728_000_000, 1_704_067_200;

my %IDS = (
	'text' => sub { 'u' . $_[0] },
	'integer' => sub { $_[0] * 7 - 10 },
	'bigint' => sub { $_[0] * 1_000_000_007 },
	'uuid' => sub {
		sprintf '%02x000000-0000-4000-8000-%012x', ($_[0] * 37 + 1) % 256, $_[0];
	},
	'numeric' => sub { $_[0] . '.5' },
	'h.who' => sub { 'who ' . $_[0] });

# A new world; hashes of what is switched off, and of what has to come often.
sub new
{
	my ($class, $known, $often) = @_;
	my $self = bless { known => $known, next_k => 1, mapped => 0, prepared => 0 }, $class;

	$self->{center} = pick(@CENTERS);
	$self->{zone} = pick('UTC', @ZONES);
	$self->{layout} = weighted(3 => 'column', 1 => 'row');
	$self->{time_type} = weighted(4 => 'timestamptz', 1 => 'timestamp', 1 => 'date');
	$self->{shape} = weighted(4 => 'table', 3 => 'partitioned', 1 => 'view');
	$self->{id_type} = pick($known->{ids} ? qw(text numeric) : sort keys %IDS);
	$self->{ids} = [ map { $IDS{ $self->{id_type} }->($_) } 1 .. between(2, 7) ];
	$self->{types} = { n => pick('integer', 'numeric', 'float8'), m => 'float8' };
	$self->{role} = chance(0.25) ? 'batchagg_histories_owner' : undef;
	$self->{percentiles} = chance(0.5);
	$self->{copies} = [ map { { name => $_, relation => "h.$_" } } qw(a b c) ];
	if ($self->{shape} eq 'view')
	{
		$_->{relation} = "h.$_->{name}_view" for @{ $self->{copies} };
		$self->{view_keeps} = 3;
	}
	$self->{detached} = {};
	$self->{theme} = weighted(6 => 'plain',
		map { $known->{$_} ? () : (($often->{$_} ? 30 : 1) => $_) } 'lookback', 'history');
	$self->be_simple if $self->{theme} eq 'history';
	$self->{mapped} = chance(0.4);
	$self->{id_column} = 'user_id';
	$self->make_definitions;
	return $self;
}

# A world in which it is clear what has to be kept.
sub be_simple
{
	my ($self) = @_;

	$self->{zone} = 'UTC';
	$self->{shape} = pick('table', 'partitioned');
	$_->{relation} = "h.$_->{name}" for @{ $self->{copies} };
	$self->{percentiles} = 0;
	return;
}

# SQL for the test alone, which whoever reads a history does without.
sub for_the_test
{
	return map { \(my $sql = $_) } @_;
}

# --- copies and times --------------------------------------------------------

# SQL statements for each copy of the source: what the function makes of its
# name.
sub for_each_copy
{
	my ($self, $make) = @_;

	return map { $make->("h.$_->{name}", $_) } @{ $self->{copies} };
}

# An instant, in seconds since 1970, as SQL text for a column of times.
sub instant
{
	my ($seconds) = @_;

	return text_of_instant($seconds * 1_000_000);
}

# When a row may be: mostly recent, sometimes long ago or after the horizon.
sub some_time
{
	my ($self, $kind) = @_;
	my $hours = {
		recent => sub { -between(0, 72) },
		late => sub { -between(48, 24 * 45) },
		old => sub { -between(24 * 30, 24 * 60) },
		ahead => sub { between(1, 96) }
	}->{ $kind // weighted(5 => 'recent', 4 => 'late', 1 => 'old', 1 => 'ahead') }->();

	my $time = $self->{center} + $hours * HOUR;
	my $from = $self->{expired};

	return $time if !$from || $time >= $from;
	return $from + ($from - $time) % ($self->{center} - $from);
}

# The SQL literal of a time, NULL or infinite at times.
sub time_literal
{
	my ($self, $kind) = @_;
	my $seconds = $self->some_time($kind);

	return 'NULL' if chance(0.01);
	return "'infinity'" if chance(0.01);
	return literal(instant($seconds)) if $self->{time_type} eq 'timestamptz';
	return literal(substr(instant($seconds), 0, 19));
}

# --- the source --------------------------------------------------------------

sub value_columns
{
	my ($self) = @_;

	return $self->{layout} eq 'row' ? qw(metric_name metric_value) : qw(n m);
}

sub columns
{
	my ($self) = @_;

	return (qw(k user_id other_id ts), $self->value_columns, qw(status region kind));
}

sub definitions_of_columns
{
	my ($self) = @_;
	my $values = $self->{layout} eq 'row' ? 'metric_name text, metric_value float8' :
		"n $self->{types}{n}, m $self->{types}{m}";

	return "k integer, user_id $self->{id_type}, other_id $self->{id_type}, ts $self->{time_type},"
		. " $values, status text DEFAULT 'a', region text, kind h.kind";
}

# Start and end of partition $i, of six.
sub partition_bounds
{
	my ($self, $i) = @_;
	my @bounds = map { $self->{center} + ($i * 10 - 50 + $_) * DAY } 0, 10;

	$_ -= $_ % DAY for @bounds;
	return map { substr instant($_), 0, 10 } @bounds;
}

sub create_table
{
	my ($self, $table) = @_;
	my $columns = $self->definitions_of_columns;

	return "CREATE TABLE $table ($columns);" unless $self->{shape} eq 'partitioned';
	return "CREATE TABLE $table ($columns) PARTITION BY RANGE (ts);",
		"CREATE TABLE ${table}_rest PARTITION OF $table DEFAULT;",
		map {
			my ($from, $to) = $self->partition_bounds($_);

			"CREATE TABLE ${table}_$_ PARTITION OF $table FOR VALUES FROM ('$from') TO ('$to');"
		} 0 .. 5;
}

sub create_view
{
	my ($self, $table) = @_;
	my $columns = join ', ', $self->columns;

	return "CREATE OR REPLACE VIEW ${table}_view AS SELECT $columns FROM $table"
		. " WHERE k % $self->{view_keeps} <> 1;";
}

# The rows of a VALUES list.
sub some_rows
{
	my ($self, $n, $kind) = @_;

	return map { '(' . join(', ', $self->some_row($kind)) . ')' } 1 .. $n;
}

# The literals of a row, in the order of columns().
sub some_row
{
	my ($self, $kind) = @_;
	my @ids = map { chance(0.02) ? 'NULL' : literal(pick(@{ $self->{ids} })) } 1 .. 2;
	my @values = map { $self->some_value($_) } 'n', 'm';

	@values = (pick("'n'", "'m'", "'n'", "'other'"), $self->some_value('m'))
		if $self->{layout} eq 'row';
	return ($self->{next_k}++, @ids, $self->time_literal($kind), @values,
		pick("'a'", "'b'", "'c'", 'NULL'), pick("'a'", "'north'", 'NULL'),
		pick("'red'", "'green'", "'blue'"));
}

sub some_value
{
	my ($self, $column) = @_;

	return 'NULL' if chance(0.06);
	return between(-20, 60) if $self->{types}{$column} =~ /int/;
	return between(-40, 120) / 2;
}

# SQL that makes all of it, without rows.
sub create
{
	my ($self) = @_;
	my @sql = (
		'CREATE SCHEMA h;',
		"CREATE TYPE h.kind AS ENUM ('red', 'green', 'blue');",
		'CREATE TYPE h.who AS ENUM (' . join(', ', map { "'who $_'" } 1 .. 9) . ');',
		"CREATE FUNCTION h.good(text) RETURNS boolean IMMUTABLE LANGUAGE sql"
			. " AS \$\$SELECT \$1 = 'a'\$\$;",
		'CREATE FUNCTION h.liked(text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql'
			. ' AS $$BEGIN RETURN h.good($1); END$$;');

	push @sql, $self->for_each_copy(sub {
		my ($table) = @_;

		return ($self->create_table($table), $self->{shape} eq 'view' ? $self->create_view($table) : ());
	});
	push @sql, $self->some_indexes;
	push @sql, for_the_test('CREATE TABLE batchagg_histories.kept (LIKE h.a);')
		if $self->{theme} eq 'history';
	push @sql, "GRANT USAGE ON SCHEMA h TO $self->{role};", $self->grant if $self->{role};
	return @sql, $self->create_jobs;
}

sub some_indexes
{
	my ($self) = @_;
	my @columns = (chance(0.4) ? '(ts)' : (), chance(0.4) ? '(user_id, ts)' : ());

	return $self->for_each_copy(sub {
		my ($table) = @_;

		return map { "CREATE INDEX ON $table $_;" } @columns;
	});
}

# Lets the jobs' owner read the source.
sub grant
{
	my ($self) = @_;

	return () unless $self->{role};
	return "GRANT SELECT ON ALL TABLES IN SCHEMA h TO $self->{role};";
}

# SQL run as the jobs' owner.
sub as_owner
{
	my ($self, @sql) = @_;

	return @sql unless $self->{role};
	return ("SET ROLE $self->{role};", @sql, 'RESET ROLE;');
}

# --- jobs --------------------------------------------------------------------

my @GRANULARITIES = ([ 15, 'minute' ], [ 1, 'hour' ], [ 5, 'hour' ], [ 6, 'hour' ], [ 1, 'day' ],
	[ 1, 'week' ], [ 1, 'month' ]);

my @AGGREGATES = qw(sum avg count min max std range first last delta);
my @PERCENTILES = qw(median p90 distinct);

sub make_definitions
{
	my ($self) = @_;

	$self->{definitions} = [];
	$self->{next_definition} = 1;
	$self->{metrics} = { n => [ $self->some_aggregates ] };
	$self->add_definition($self->some_granularity);
	return;
}

sub some_aggregates
{
	my ($self) = @_;
	my @names = sample(between(1, 3), @AGGREGATES);

	push @names, pick(@PERCENTILES) if $self->{percentiles} && chance(0.5);
	return @names;
}

# A definition like the first one, mostly, so that they can be computed together.
sub add_definition
{
	my ($self, $granularity) = @_;
	my $first = $self->{definitions}[0];
	my $simple = $self->{theme} eq 'history';
	my $d = {
		number => $self->{next_definition}++,
		n => $granularity->[0],
		unit => $granularity->[1],
		zone => $first && chance(0.8) ? $first->{zone} : $self->{zone},
		delay => $first && chance(0.8) ? $first->{delay} : pick(0, 0, 5, 30),
		filter => $first && chance(0.8) ? $first->{filter} : $self->some_filter,
		focal => $first && chance(0.9) ? $first->{focal} : pick('user', 'user', 'user', '*'),
		complete_only => chance(0.1) ? 1 : 0,
		lookback => $self->{theme} eq 'lookback' && chance(0.7) ? pick(36, 100, 240) : undef,
		retention => undef,
		keep => $simple
	};

	@$d{qw(filter complete_only)} = (undef, 0) if $simple;
	@$d{qw(zone delay focal)} = @$first{qw(zone delay focal)} if $simple && $first;
	push @{ $self->{definitions} }, $d;
	return $d;
}

# Hours, days, weeks and months, which nest in one another, and others: none that another
# definition has, as equal definitions are refused.
sub some_granularity
{
	my ($self) = @_;
	my %used = map { ("$_->{n}-$_->{unit}" => 1) } @{ $self->{definitions} };
	my @choices = (@GRANULARITIES, @GRANULARITIES[ 1, 4, 5, 6 ]);

	@choices = @GRANULARITIES[ 1, 4, $self->{definitions}[0] ? (3, 5, 6) : () ]
		if $self->{theme} eq 'history';
	return pick(grep { !$used{"$_->[0]-$_->[1]"} } @choices);
}

# A filter as the user writes it, and as plain SQL.
sub some_filter
{
	my ($self) = @_;
	my $value = $self->{layout} eq 'row' ? 'metric_value' : 'n';
	my $day = substr(instant($self->some_time('late')), 0, 10);
	my $filter = pick(
		undef, undef,
		q(status = 'a'),
		[ q(status = "a"), q(status = 'a') ],
		q(status <> 'b' OR region IS NULL),
		[ q(region = "north" OR kind = "red"), q(region = 'north' OR kind = 'red') ],
		q(kind = 'red'),
		q(kind <> 'green' AND status IS NOT NULL),
		q(kind >= 'green'),
		q(h.good(status)),
		q(h.liked(status)),
		"ts >= '$day'",
		"$value > 3",
		"$value BETWEEN -5 AND 40 AND k % 3 > 0",
		q(status = ANY ('{a,NULL}')),
		q(coalesce(region, status) = 'a'),
		q(coalesce(region = NULL, status = 'a')),
		q(status IN ('a', 'b')));

	return $filter if !defined $filter || ref $filter;
	return [ $filter, $filter ];
}

# The columns of a definition's row, as SQL, for those given or all.
sub definition_values
{
	my ($self, $d, @only) = @_;
	my $center = literal(instant($self->{center}));
	my %values = (
		focal_entity => literal($d->{focal}),
		granularity => literal("$d->{n}-$d->{unit}"),
		timezone => literal($d->{zone}),
		job_delay => "floor(extract(epoch FROM now() - timestamptz $center) / 3600)::int"
			. ($d->{delay} ? " + $d->{delay}" : ''),
		resource_filter => literal($d->{filter} && $d->{filter}[0]),
		complete_only => $d->{complete_only} ? 'true' : 'false',
		lookback => literal($d->{lookback} && "$d->{lookback} hours"),
		results_retention => literal($d->{retention} && "$d->{retention} hours"),
		keep_history => $d->{keep} ? 'true' : 'false');

	return @only ? map { $_ => $values{$_} } @only : %values;
}

sub insert_definition
{
	my ($self, $d) = @_;
	my %values = $self->definition_values($d);
	my @columns = sort grep { $values{$_} ne 'NULL' } keys %values;
	my $rows = join ",\n\t", map {
		my $entity = $self->{copies}[ $_ - 1 ]{relation};

		'(' . join(', ', 100 * $_ + $d->{number}, $_, literal($entity), @values{@columns}) . ')'
	} 1 .. 3;

	return 'INSERT INTO batchjob_definitions (id, job_id, entity, ' . join(', ', @columns)
		. ")\nVALUES $rows;";
}

sub update_definition
{
	my ($self, $d, @columns) = @_;
	my %values = $self->definition_values($d, @columns);

	return 'UPDATE batchjob_definitions SET ' . join(', ', map { "$_ = $values{$_}" } sort keys %values)
		. " WHERE id % 100 = $d->{number};";
}

sub insert_metric
{
	my ($self, $name) = @_;
	my $list = literal(join ',', @{ $self->{metrics}{$name} });
	my @sql = ("INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)"
			. " SELECT j, '$name', $list FROM generate_series(1, 3) j;");

	push @sql, $self->insert_mappings($name) if $self->{mapped};
	return @sql;
}

sub insert_mappings
{
	my ($self, $name) = @_;

	return map {
		"INSERT INTO metricsandtables (metricname, tablename, id_column, time_column)"
			. " VALUES ('$name', '$_->{relation}', '$self->{id_column}', 'ts');"
	} @{ $self->{copies} };
}

sub create_jobs
{
	my ($self) = @_;
	my $owner = $self->{role} ? literal($self->{role}) : 'current_user';

	# Superusers alone choose ids.
	return (
		"INSERT INTO batch_jobs (id, event_name, owner)"
			. " SELECT j, 'EVERYHOUR', quote_ident($owner)::batchagg_role FROM generate_series(1, 3) j;",
		(map { $self->insert_definition($_) } @{ $self->{definitions} }),
		$self->as_owner(map { $self->insert_metric($_) } sort keys %{ $self->{metrics} }));
}

1;
