package Fuzz::Source;

# Random sources: what a job reads.
#
# A source is a relation of some shape (table, partitioned table, inheritance
# parent, view, materialized view, foreign table, temporary table) over a base
# table, into which the data goes.  Its columns are
#
#	k			the row's number, for random changes to pick rows by
#	ids			one per focal entity, and decoys that must not be taken for one
#	time		under a usual name, as the only column of such a type, or mapped
#	metrics		columns (column layout), or a name and a value (row layout)
#	dimensions	what filters look at
#
# in random order.  Some columns come late (added when the table has rows), and
# some go (dropped when the table has rows).
#
# All of it is made by create(), as SQL text; the other functions return SQL
# that changes the data.

use strict;
use warnings;
use utf8;
use Fuzz::Data;
use Fuzz::Quote;
use Fuzz::Random;

my @PLAIN_NAMES = qw(page_views clicks bytes_in latency_ms dropped_calls rx_level load throughput
	attempts cpu_busy errors_5xx setup_time);
my @ODD_NAMES = (
	'order', 'select', 'group', 'Mixed_Case', 'with space', 'dotted.name', 'quo"te', "o'clock",
	'per%cent', 'back\\slash', 'größe_m', '1st', '$2', 'a-b', 'user', 'semi;colon', 'x' x 50,
	':colon', '日本');
my @ROW_COLUMNS = (
	[ 'metric_name', 'metric_value' ],
	[ 'udc_config_name', 'udc_config_value' ],
	[ 'name', 'value' ]);
my @LABELS = ('red', 'green', 'Light Blue', "o'range", 'black', 'ye"llow');

# A name as it is compared with others.
sub folded
{
	my ($name) = @_;

	return $name =~ tr/A-Z./a-z_/r;
}

# Another way to write a name that is still found.
sub respelt
{
	my ($name) = @_;

	return weighted(
		6 => $name,
		1 => $name =~ tr/a-z/A-Z/r,
		1 => $name =~ tr/_/./r,
		1 => join '_', map { ucfirst } split /_/, $name, -1);
}

# $n names that stay different when folded, some of them odd.
sub metric_names
{
	my ($n) = @_;
	my @names = sample($n, @PLAIN_NAMES, sample(pick(0, 0, 3, 12), @ODD_NAMES));

	push @names, 'counter_' . @names while @names < $n;
	return @names;
}

# --- making a source ---------------------------------------------------------

# Options: schema, name; focals (names of focal entities); clock; metrics
# (names); dimensions (columns of another source, to have the same); role (who
# reads it, if not its owner); server, what the server offers: citext (name of
# that type), collation (a nondeterministic one), loopback (a foreign server).
sub new
{
	my ($class, %o) = @_;
	my $self = bless { %o, columns => [], prelude => [], types => 0, next_k => 1 }, $class;

	$self->{layout} = weighted(3 => 'column', 1 => 'row');
	$self->{shape} = weighted(8 => 'table', 2 => 'partitioned', 2 => 'view', 1 => 'union view',
		1 => 'materialized view', 1 => 'inheritance', 0.5 => 'temporary',
		($self->{server}{loopback} && !$self->{role} ? 0.7 : 0) => 'foreign');
	$self->{schema} = 'pg_temp' if $self->{shape} eq 'temporary';
	$self->{relation} = qualified(@$self{qw(schema name)});
	$self->{base_name} = $self->is_table ? $self->{name} : "$self->{name} base";
	$self->{base} = qualified($self->{schema}, $self->{base_name});

	$self->add_column(
		name => 'k',
		type => 'integer',
		kind => 'number',
		make => sub { $self->{next_k}++ });
	$self->add_dimensions;
	$self->add_metrics;
	$self->add_time;
	$self->add_ids;
	$self->add_filler;
	$self->{columns} = [ shuffled(@{ $self->{columns} }) ];
	$self->choose_late_columns;
	return $self;
}

# Whether the relation is the base table itself.
sub is_table
{
	my ($self) = @_;

	return $self->{shape} !~ /view|foreign/;
}

# Adds a column; fields: name, type, make (the values), kind (for filters).
sub add_column
{
	my ($self, %column) = @_;

	push @{ $self->{columns} }, \%column;
	return $self->{columns}[-1];
}

sub has_column
{
	my ($self, $name) = @_;

	return scalar grep { folded($_->{name}) eq folded($name) } @{ $self->{columns} };
}

# The type itself, or a domain over it made for the occasion.
sub maybe_domain
{
	my ($self, $type, $p) = @_;
	my $name;

	return $type unless chance($p) && $self->{shape} ne 'temporary';
	$name = qualified($self->{schema}, "$self->{name} domain " . ++$self->{types});
	push @{ $self->{prelude} }, "CREATE DOMAIN $name AS $type CHECK (VALUE::text <> 'never')";
	return $name;
}

sub add_dimensions
{
	my ($self) = @_;
	my @names = ('status', pick('Region', 'region name', 'region'), pick(@WORDS[ 0, 1 ]));
	my @candidates = (
		[ 'flag', 'boolean', 'boolean', numbers('boolean') ],
		[ 'amount', 'numeric', 'number', amounts() ],
		map { [ $_, pick('text', 'varchar(40)', 'char(12)'), 'word', words() ] } @names);

	for my $candidate ($self->{dimensions} ? () : sample(between(1, 4), @candidates))
	{
		my %column;

		@column{qw(name type kind make)} = @$candidate;
		push @{ $self->{dimensions} }, \%column;
	}
	$self->add_column(%$_) for @{ $self->{dimensions} };
	return;
}

sub add_metrics
{
	my ($self) = @_;

	if ($self->{layout} eq 'row')
	{
		$self->add_row_columns;
		return;
	}
	for my $name (@{ $self->{metrics} })
	{
		my $type = pick(Fuzz::Data::number_types());
		my $column = $self->add_column(
			name => $name,
			type => $self->maybe_domain($type, 0.1),
			base_type => $type,
			make => numbers($type));

		push @{ $self->{metric_columns} }, $column;
	}
	return;
}

# The name and value columns of a source in row layout.  The names in the rows
# are the metrics', each in some spelling, and others.
sub add_row_columns
{
	my ($self) = @_;
	my $type = pick(Fuzz::Data::number_types());
	my @names = map { pick($_, respelt($_)) } @{ $self->{metrics} };
	my $columns = weighted(
		3 => $ROW_COLUMNS[0],
		1 => pick(@ROW_COLUMNS),
		1 => [ 'What', 'how.much' ]);
	my ($name, $value) = @$columns;
	my ($longest, $name_type);

	$self->{rows_mapped} = $name eq 'What';
	push @names, 'unknown metric', undef if chance(0.5);
	($longest) = sort { $b <=> $a } map { length($_ // '') } @names;
	$name_type = pick('text', 'text', "varchar($longest)", 'char(' . ($longest + 2) . ')', 'name',
		$self->case_insensitive_type, $self->enum(unique(grep { defined } @names)));
	$self->{name_column} = $self->add_column(
		name => $name,
		type => $name_type,
		make => sub { pick(@names) });
	$self->{value_column} = $self->add_column(
		name => $value,
		type => $self->maybe_domain($type, 0.1),
		base_type => $type,
		make => numbers($type));
	return;
}

sub unique
{
	my %seen;

	return grep { !$seen{$_}++ } @_;
}

sub add_time
{
	my ($self) = @_;
	my $clock = $self->{clock};
	my $type = weighted(
		5 => 'timestamp with time zone',
		3 => 'timestamp without time zone',
		2 => 'date');
	my $name = weighted(4 => 'timestamp', 1 => 'time', 1 => 'ts', 2 => 'only', 2 => 'mapped');
	my $shift = $type =~ /with time zone/ ? undef : $clock->{shift};

	$self->{only_time} = $name eq 'only';
	$self->{time_mapped} = $name eq 'mapped';
	$name = pick('begun', 'Period Start', 'at.time') if $name =~ /only|mapped/;
	$self->{time} = $self->add_column(
		name => $name,
		type => $self->maybe_domain($type, 0.05),
		base_type => $type,
		kind => 'instant',
		clock => $clock,
		make => sub {
			my ($instant) = @_;

			return $instant if !defined $instant || $instant =~ /infinity/;
			return text_of_instant($instant, $shift);
		});
	return;
}

# An id column for each focal entity, and decoys.
sub add_ids
{
	my ($self) = @_;
	my @focals = grep { $_ ne '*' } @{ $self->{focals} };
	my $single = @focals == 1;
	my $mapped = $single && chance(0.2);
	# A column that is called as the focal entity would come before "id".
	my $plain = $single && !$mapped && chance(0.2) && !$self->has_column('id') && !$self->has_column($focals[0]);

	for my $focal (@focals)
	{
		$self->{ids}{$focal} = $self->add_column(
			name => $mapped ? pick('Entity Id', 'who', 'who.is') : $plain ? 'id' : "${focal}_id",
			$self->id_type);
	}
	$self->{id_mapped} = $mapped;
	if (!$plain && chance(0.3) && !$self->has_column('id'))
	{
		$self->add_column(name => 'id', type => 'integer', make => sub { between(1, 9) });
	}
	return;
}

# Type and values of an id column; padded, if its text has blanks at the end
# that are not stored, and zoned, if the engine takes the text to depend on
# TimeZone, as it does of all times, arrays and the like.
sub id_type
{
	my ($self) = @_;
	my $type = weighted(
		3 => 'text',
		2 => 'integer',
		4 => pick(id_types()),
		0.7 => 'enum',
		1 => 'case-insensitive');

	$type = 'bigint' if $self->{only_time} && $type =~ /date|timestamp/;
	if ($type eq 'enum')
	{
		my @labels = sample(between(1, 6), @LABELS);

		return (type => $self->enum(@labels), make => entities('enum', \@labels));
	}
	if ($type eq 'case-insensitive')
	{
		return (
			type => $self->case_insensitive_type,
			make => entities($type, [ 'a', 'A', 'Ab', 'aB', 'b', 'É', 'é', '' ]));
	}
	return (
		type => $self->maybe_domain($type, 0.1),
		padded => $type =~ /^char/ ? 1 : 0,
		zoned => $type =~ /^(date|time|interval|inet|integer\[)/ ? 1 : 0,
		make => entities($type));
}

# Makes an enum type, and returns its name; of temporary tables, text serves.
sub enum
{
	my ($self, @labels) = @_;
	my $name = qualified($self->{schema}, "$self->{name} enum " . ++$self->{types});

	return 'text' if $self->{shape} eq 'temporary';
	push @{ $self->{prelude} },
		"CREATE TYPE $name AS ENUM (" . join(', ', map { literal($_) } @labels) . ')';
	return $name;
}

sub case_insensitive_type
{
	my ($self) = @_;

	return pick('text', map { $self->{server}{$_} // () } 'citext', 'collation');
}

# Columns that nobody asks for.
sub add_filler
{
	my ($self) = @_;

	my @filler = (
		chance(0.15) ? { name => 'note', type => 'text', make => sub { 'n' x 3000 . rand() } } : (),
		chance(0.3) && !$self->{only_time} ?
			{ name => 'seen', type => 'date', make => sub { '2001-02-03' } } : (),
		chance(0.2) ? { name => 'gone', type => 'oid', goes => 1, make => sub { 7 } } : ());

	$self->add_column(%$_) for @filler;
	return;
}

# Some columns are added only when there are rows: existing rows have the
# default then, though it is not stored in them.
sub choose_late_columns
{
	my ($self) = @_;

	return unless chance(0.25) && $self->is_table && $self->{shape} ne 'partitioned';
	for my $column (@{ $self->{columns} })
	{
		next if $column->{name} eq 'k' || $column->{goes} || chance(0.6);
		$column->{late} = 1;
		$column->{default} = chance(0.5) ? $column->{make}->(946_684_800_000_000) : undef;
	}
	return;
}

# --- mappings ----------------------------------------------------------------

# Whether the job can do without a row in metricsandtables.
sub needs_mapping
{
	my ($self) = @_;

	return $self->{time_mapped} || $self->{id_mapped} || $self->{rows_mapped};
}

# The columns of a row of metricsandtables for one metric, as a hash of SQL
# literals; $metric_column: where it is not the metric's name.
sub mapping
{
	my ($self, $metric, $metric_column) = @_;
	my ($focal) = grep { $_ ne '*' } @{ $self->{focals} };
	my %mapping = (metricname => literal($metric), tablename => literal($self->{relation}));

	$mapping{id_column} = literal($self->{ids}{$focal}{name}) if $self->{id_mapped};
	$mapping{time_column} = literal($self->{time}{name}) if $self->{time_mapped};
	$mapping{metric_column} = literal($metric_column) if defined $metric_column;
	if ($self->{rows_mapped})
	{
		$mapping{name_column} = literal($self->{name_column}{name});
		$mapping{value_column} = literal($self->{value_column}{name});
		$mapping{layout} = q('row');
	}
	return %mapping;
}

# The columns a filter may use; only those that the source's $others have too.
sub filter_columns
{
	my ($self, @others) = @_;

	return grep { $_->{kind} } @{ $self->{columns} } unless @others;
	return ({ name => 'k', kind => 'number' }, @{ $self->{dimensions} });
}

# --- the relation ------------------------------------------------------------

# SQL that makes the relation and fills it with $n rows.
sub create
{
	my ($self, $n) = @_;
	my @early = grep { !$_->{late} } @{ $self->{columns} };
	my @late = grep { $_->{late} } @{ $self->{columns} };
	my $first_rows = @late || grep({ $_->{goes} } @early) ? int($n / 2) : $n;
	my @sql = map { "$_;" } @{ $self->{prelude} };

	push @sql, $self->create_base(@early);
	push @sql, $self->insert($first_rows, @early);
	push @sql, map { "ALTER TABLE $self->{base} DROP COLUMN $_->{name};" }
		grep { $_->{goes} } @early;
	$self->{columns} = [ grep { !$_->{goes} } @{ $self->{columns} } ];
	push @sql, map { "ALTER TABLE $self->{base} ADD COLUMN " . definition($_) . ';' } @late;
	push @sql, $self->insert($n - $first_rows);
	push @sql, $self->create_view if $self->{shape} =~ /view/;
	push @sql, $self->create_foreign if $self->{shape} eq 'foreign';
	push @sql, $self->create_index if chance(0.3) && $self->is_table;
	push @sql, $self->grant if $self->{role};
	push @sql, "ANALYZE $self->{base};" if chance(0.3);
	return join "\n", @sql, '';
}

sub definition
{
	my ($column) = @_;
	my $sql = ident($column->{name}) . ' ' . $column->{type};

	$sql .= ' DEFAULT ' . literal($column->{default}) if defined $column->{default};
	return $sql;
}

sub create_base
{
	my ($self, @columns) = @_;
	my $columns = join ', ', map { definition($_) } @columns;
	my $temporary = $self->{shape} eq 'temporary' ? 'TEMPORARY' : '';

	return $self->create_partitioned(@columns) if $self->{shape} eq 'partitioned';
	return "CREATE TABLE $self->{base} ($columns);",
		"CREATE TABLE " . $self->child('heir') . " (CHECK (k > 0)) INHERITS ($self->{base});"
		if $self->{shape} eq 'inheritance';
	return "CREATE $temporary TABLE $self->{base} ($columns);";
}

sub child
{
	my ($self, $suffix) = @_;

	return qualified($self->{schema}, "$self->{name} $suffix");
}

# A table in partitions whose columns have an order of their own.
sub create_partitioned
{
	my ($self, @columns) = @_;
	my $columns = join ', ', map { definition($_) } @columns;
	my $time = ident($self->{time}{name});
	my $center = $self->{clock}{center};
	my @days = map { text_of_instant($_ * 1_000_000, 0) } $center - 90_000, $center + 90_000;
	my @bounds = map { literal(substr $_, 0, 10) } @days;
	my ($key, @bounds_of) = weighted(
		1 => [ 'HASH (k)', map { "FOR VALUES WITH (MODULUS 3, REMAINDER $_)" } 0 .. 2 ],
		1 => [ 'RANGE (k)', 'FOR VALUES FROM (MINVALUE) TO (100)', 'DEFAULT' ],
		2 => [ "RANGE ($time)", "FOR VALUES FROM (MINVALUE) TO ($bounds[0])",
			"FOR VALUES FROM ($bounds[0]) TO ($bounds[1])", 'DEFAULT' ])->@*;
	my @sql = ("CREATE TABLE $self->{base} ($columns) PARTITION BY $key;");

	for my $i (0 .. $#bounds_of)
	{
		my $leaf = $self->child("part $i");
		my $shuffled = join ', ', map { definition($_) } shuffled(@columns);

		push @sql, "CREATE TABLE $leaf ($shuffled, old integer);",
			"ALTER TABLE $leaf DROP COLUMN old;",
			"ALTER TABLE $self->{base} ATTACH PARTITION $leaf $bounds_of[$i];";
	}
	return @sql;
}

# A view over the base table that keeps most rows, or has some twice.
sub create_view
{
	my ($self) = @_;
	my $columns = join ', ', map { 'b.' . ident($_->{name}) } @{ $self->{columns} };
	my $select = "SELECT $columns FROM $self->{base} b";
	my $kind = $self->{shape} eq 'materialized view' ? 'MATERIALIZED VIEW' : 'VIEW';
	my $body = $self->{shape} eq 'union view' ?
		"$select WHERE b.k % 3 > 0 UNION ALL $select WHERE b.k % 4 < 2" : pick(
		"$select WHERE b.k % 5 <> 0",
		"$select JOIN (SELECT g FROM generate_series(0, 2) g) j ON j.g = b.k % 4",
		"$select LEFT JOIN $self->{base} n ON n.k = b.k + 1 WHERE n.k % 3 IS DISTINCT FROM 0");

	return "CREATE $kind $self->{relation} AS $body;";
}

sub create_foreign
{
	my ($self) = @_;
	my $columns = join ', ', map { ident($_->{name}) . ' ' . $_->{type} } @{ $self->{columns} };

	my ($schema, $table) = map { literal($_) } @$self{qw(schema base_name)};

	return "CREATE FOREIGN TABLE $self->{relation} ($columns) SERVER $self->{server}{loopback}",
		"	OPTIONS (schema_name $schema, table_name $table);";
}

sub create_index
{
	my ($self) = @_;
	my $time = ident($self->{time}{name});

	return "CREATE INDEX ON $self->{base} "
		. pick("($time)", "USING brin ($time)", "(k, $time)") . ';';
}

# Lets the role read, perhaps not all rows.
sub grant
{
	my ($self) = @_;
	my @sql = ("GRANT SELECT ON $self->{relation} TO $self->{role};");

	if (chance(0.5) && $self->{shape} =~ /^(table|partitioned|inheritance)$/)
	{
		my $visible = pick('k % 3 <> 1', 'k > 50', q(current_user = 'nobody'));

		push @sql, "ALTER TABLE $self->{base} ENABLE ROW LEVEL SECURITY;",
			"CREATE POLICY some_rows ON $self->{base} USING ($visible);";
	}
	return @sql;
}

# Whether changes can be tracked: those of tables can, but for temporary ones and
# those with others that inherit from them.
sub can_be_tracked
{
	my ($self) = @_;

	return $self->{shape} =~ /^(table|partitioned)$/;
}

# SQL, without its semicolon, that has them tracked: by one entity's id, where its
# type allows, or by whatever is found.
sub track
{
	my ($self, $schema) = @_;
	my ($focal) = sample(1, sort keys %{ $self->{ids} });
	my @arguments = (literal($self->{relation}) . '::regclass', literal(pick('log', 'snapshot')),
		'time_column => ' . literal($self->{time}{name}));

	push @arguments, 'id_column => ' . literal($self->{ids}{$focal}{name})
		if $self->{ids}{$focal}{type} =~ /^(smallint|integer|bigint|text|varchar|uuid)(\(\d+\))?$/
		&& chance(0.7);
	return "SELECT $schema.batchagg_track_source(" . join(', ', @arguments) . ')';
}

# --- changes of the data -----------------------------------------------------

# SQL that adds $n rows, in all columns or in the given ones.
sub insert
{
	my ($self, $n, @columns) = @_;
	my @instants = instants($self->{clock}, $n);
	my @lines;

	return () if $n == 0;
	@columns = @{ $self->{columns} } unless @columns;
	@instants = sort { ($a // 0) cmp ($b // 0) } @instants if chance(0.4);
	for my $instant (@instants)
	{
		push @lines, copy_line(map { $_->{make}->($instant) } @columns);
	}
	push @lines, sample(between(1, 5), @lines) if chance(0.2);
	return $self->copy(\@lines, @columns);
}

# SQL that copies lines in; an inheritance child gets half of them.
sub copy
{
	my ($self, $lines, @columns) = @_;
	my @targets = ($self->{base}, $self->{shape} eq 'inheritance' ? $self->child('heir') : ());
	my $names = join ', ', map { ident($_->{name}) } @columns;
	my @sql;

	for my $i (0 .. $#targets)
	{
		my @share = @$lines[ grep { $_ % @targets == $i } 0 .. $#$lines ];

		push @sql, "COPY $targets[$i] ($names) FROM stdin;\n" . join('', @share) . '\.';
	}
	return @sql;
}

# SQL for one to four random changes.
sub change
{
	my ($self) = @_;
	my @sql;

	for (1 .. between(1, 4))
	{
		push @sql, weighted(
			3 => sub { $self->insert(between(1, 200)) },
			3 => sub { $self->update_metric },
			2 => sub { $self->update_time },
			1 => sub { $self->update_id },
			1 => sub { $self->update_dimension },
			2 => sub { $self->delete_rows },
			0.3 => sub { "TRUNCATE $self->{base};" },
			0.5 => sub { $self->alter })->();
	}
	push @sql, "REFRESH MATERIALIZED VIEW $self->{relation};"
		if $self->{shape} eq 'materialized view';
	return join "\n", @sql, '';
}

# A condition that few or many rows meet.
sub some_rows
{
	my ($self) = @_;
	my $modulus = pick(2, 7, 50, 400);

	return "k % $modulus = " . between(0, $modulus - 1);
}

# A new value of a column as an SQL literal; of the time, by the clock.
sub value_of
{
	my ($self, $column) = @_;

	return literal(scalar $column->{make}->(instants($self->{clock}, 1)));
}

# Sets a column in some rows.
sub update
{
	my ($self, $column, $value) = @_;

	$value //= $self->value_of($column);
	return "UPDATE $self->{base} SET " . ident($column->{name}) . " = $value WHERE "
		. $self->some_rows . ';';
}

sub update_metric
{
	my ($self) = @_;

	return $self->update($self->{value_column} // pick(@{ $self->{metric_columns} }));
}

# Gives some rows another time, or moves them.
sub update_time
{
	my ($self) = @_;
	my $name = ident($self->{time}{name});
	my $moved = $self->{time}{base_type} eq 'date' ? "$name + " . between(-40, 40) :
		"$name + interval '" . between(-5000, 5000) . " minutes'";

	return $self->update($self->{time}, chance(0.7) ? $moved : undef);
}

sub update_id
{
	my ($self) = @_;

	return map { $self->update($self->{ids}{$_}) } sample(1, sort keys %{ $self->{ids} });
}

sub update_dimension
{
	my ($self) = @_;

	return $self->update(pick(@{ $self->{dimensions} }));
}

sub delete_rows
{
	my ($self) = @_;
	my $late = ident($self->{time}{name}) . ' > ' . $self->value_of($self->{time});

	return "DELETE FROM $self->{base} WHERE " . pick($self->some_rows, $late) . ';';
}

# A change of the table's form that does not touch the source's meaning.
sub alter
{
	my ($self) = @_;

	return () unless $self->is_table;
	return "ALTER TABLE $self->{base} ADD COLUMN added_" . int(rand(1e6)) . " integer DEFAULT 7;";
}

1;
