package Histories::Operations;

# What happens in a history: each operation changes the world and returns the
# SQL that does the same in the database; nothing, if it cannot be done as
# things are.
#
# An operation is a kind and a seed of its own, from which it draws all it
# chooses.  So it can be left out, and those after it still do what they did, as
# far as the world is the same for them: that is how histories are shrunk.

use strict;
use warnings;
use utf8;
use Exporter 'import';
use Fuzz::Quote;
use Fuzz::Random;
use Histories::Oracle;
use Histories::World;

use constant DAY => 86_400;

our @EXPORT = qw(first_kinds some_kinds operate);

# Kinds, and how often they come.
my %KINDS = (
	# rows
	insert => [ 10, \&insert ],
	insert_many => [ 0.5, \&insert_many ],
	insert_late => [ 8, \&insert_late ],
	copy => [ 3, \&copy ],
	update => [ 5, \&update ],
	move => [ 4, \&move ],
	move_entity => [ 2, \&move_entity ],
	update_words => [ 3, \&update_words ],
	delete => [ 4, \&delete_rows ],
	delete_old => [ 1, \&delete_old ],
	truncate => [ 0.5, \&truncate ],
	reload => [ 0.5, \&reload ],
	merge => [ 1, \&merge ],
	transaction => [ 4, \&transaction ],
	prepare => [ 2, \&prepare ],
	finish_prepared => [ 3, \&finish_prepared ],
	rewrite => [ 0.5, \&rewrite ],

	# partitions
	detach => [ 2, \&detach ],
	attach => [ 2.5, \&attach ],
	exchange => [ 1, \&exchange ],
	insert_leaf => [ 1, \&insert_leaf ],

	# DDL
	swap_words => [ 1, \&swap_words ],
	swap_metrics => [ 0.7, \&swap_metrics ],
	replace_column => [ 0.7, \&replace_column ],
	rename_and_back => [ 0.5, \&rename_and_back ],
	alter_type => [ 0.7, \&alter_type ],
	swap_labels => [ 0.7, \&swap_labels ],
	swap_ids_labels => [ 0.5, \&swap_ids_labels ],
	redefine_function => [ 1, \&redefine_function ],
	redefine_view => [ 1, \&redefine_view ],
	swap_tables => [ 0.7, \&swap_tables ],

	# definitions, metrics, mappings
	change_filter => [ 2, \&change_filter ],
	change_zone => [ 1, \&change_zone ],
	change_delay => [ 2, \&change_delay ],
	change_complete => [ 0.7, \&change_complete ],
	change_retention => [ 1, \&change_retention ],
	add_definition => [ 1.5, \&add_definition ],
	drop_definition => [ 1, \&drop_definition ],
	change_aggregates => [ 1, \&change_aggregates ],
	change_metrics => [ 0.7, \&change_metrics ],
	change_id => [ 0.7, \&change_id ],
	others_mapping => [ 0.3, \&others_mapping ],

	# modes
	track => [ 2, \&track ],
	track_all => [ 0.3, \&track_all ],
	untrack => [ 1, \&untrack ],

	# lookback and keep_history
	change_lookback => [ 1, \&change_lookback ],
	expire => [ 1.5, \&expire ],
	thin_out => [ 1, \&thin_out ],
	increase => [ 2, \&increase ],
	empty_for_a_run => [ 0.7, \&empty_for_a_run ],
	insert_expired => [ 0.3, \&insert_expired ],
	foreign_rows => [ 0.5, \&foreign_rows ],

	# runs
	run => [ 30, \&run ],
	run_in_transaction => [ 2, \&run_in_transaction ],
	run_rolled_back => [ 2, \&run_rolled_back ],
	run_failing => [ 1, \&run_failing ],
	run_due => [ 1, \&run_due ],
	run_cancelled => [ 1, \&run_cancelled ],
	run_terminated => [ 0.5, \&run_terminated ],
	run_by_service => [ 0.5, \&run_by_service ],
	run_nothing_new => [ 2, \&run_nothing_new ],
	verify => [ 2, \&verify ],
	backfill => [ 1.5, \&backfill ],
	dump_and_restore => [ 0.15, \&dump_and_restore ]);

# What a history begins with.
sub first_kinds
{
	return (chance(0.2) ? 'run' : (), ('insert_many') x between(1, 5), ('add_definition') x pick(0, 1, 2, 2),
		chance(0.5) ? 'change_metrics' : (), 'track_all');
}

# What does not happen in a world, by its theme.
my %EXCLUDED = (
	plain => { map { $_ => 1 } qw(change_lookback expire thin_out increase empty_for_a_run insert_expired) },
	lookback => { map { $_ => 1 } qw(verify expire thin_out increase empty_for_a_run insert_expired) },
	history => { map { $_ => 1 } qw(update move move_entity delete delete_old truncate reload merge
		transaction detach attach exchange insert_leaf alter_type swap_ids_labels swap_metrics
		swap_tables run_in_transaction run_rolled_back run_failing redefine_view change_filter change_zone
		change_delay change_complete change_retention drop_definition change_metrics change_id
		change_lookback) });

# What does not happen any more when results are there whose rows are gone.
my %EXCLUDED_THEN = map { $_ => 1 } qw(add_definition change_aggregates thin_out);

# The kinds of $n operations, but for those in %$known; those in %$often come often.
sub some_kinds
{
	my ($n, $known, $often) = @_;
	my @pairs = map { ($KINDS{$_}[0] * ($often->{$_} ? 10 : 1) => $_) }
		grep { !$known->{$_} } sort keys %KINDS;

	return map { weighted(@pairs) } 1 .. $n;
}

# SQL lines of an operation on the world.
sub operate
{
	my ($world, $kind, $seed) = @_;

	plant($seed, 1);
	return () if $EXCLUDED{ $world->{theme} }{$kind} || $world->{expired} && $EXCLUDED_THEN{$kind};
	return $KINDS{$kind}[1]->($world);
}

# --- rows --------------------------------------------------------------------

sub insert_rows
{
	my ($world, $target, @rows) = @_;

	return "INSERT INTO $target (" . join(', ', $world->columns) . ")\nVALUES "
		. join(",\n\t", @rows) . ';';
}

sub insert
{
	my ($world, $kind) = @_;
	my @rows = $world->some_rows(weighted(4 => 1, 3 => between(2, 8), 1 => between(10, 30)), $kind);

	return $world->for_each_copy(sub { insert_rows($world, $_[0], @rows) });
}

sub insert_many
{
	my ($world) = @_;
	my @rows = $world->some_rows(between(3, 20));

	return $world->for_each_copy(sub { insert_rows($world, $_[0], @rows) });
}

sub insert_late
{
	my ($world) = @_;

	return insert($world, pick('late', 'late', 'old'));
}

sub copy
{
	my ($world) = @_;
	my @lines = map {
		join "\t", map { $_ eq 'NULL' ? '\N' : s/^'(.*)'$/$1/r } $world->some_row
	} 1 .. between(1, 20);

	return $world->for_each_copy(sub {
		return "COPY $_[0] (" . join(', ', $world->columns) . ') FROM stdin;', @lines, '\.';
	});
}

# A condition that few or many rows meet.
sub some
{
	my $modulus = pick(2, 3, 7, 20, 50);

	return "k % $modulus = " . between(0, $modulus - 1);
}

sub value_column
{
	my ($world) = @_;

	return $world->{layout} eq 'row' ? 'metric_value' : pick('n', 'm');
}

sub set
{
	my ($world, $assignment, $where) = @_;

	$where //= some();
	return $world->for_each_copy(sub { "UPDATE $_[0] SET $assignment WHERE $where;" });
}

sub update
{
	my ($world) = @_;
	my $column = value_column($world);

	return set($world, "$column = " . pick("$column + 1", "-$column", 'NULL', between(0, 9)));
}

sub update_words
{
	my ($world) = @_;

	return set($world, pick("status = 'a'", "status = 'b'", "region = 'north'", 'status = NULL',
		"kind = 'red'", "kind = 'green'"));
}

sub move
{
	my ($world) = @_;
	my $moved = $world->{time_type} eq 'date' ? 'ts + ' . between(-9, 9) :
		"ts + interval '" . pick(-1, 1, 5, -24, 24, -240, 100) . " hours'";

	return set($world, "ts = $moved", 'isfinite(ts) AND ' . some());
}

sub move_entity
{
	my ($world) = @_;

	return set($world, 'user_id = ' . literal(pick(@{ $world->{ids} })));
}

sub delete_where
{
	my ($world, $where) = @_;

	return $world->for_each_copy(sub { "DELETE FROM $_[0] WHERE $where;" });
}

sub delete_rows
{
	my ($world) = @_;

	return delete_where($world, weighted(5 => some(), 1 => 'user_id = '
		. literal(pick(@{ $world->{ids} })), 0.3 => 'true'));
}

sub delete_old
{
	my ($world) = @_;
	my $time = literal(substr(instant($world->some_time('late')), 0, 19));

	return delete_where($world, "ts < $time");
}

sub truncate
{
	my ($world) = @_;

	return settled($world, $world->for_each_copy(sub { "TRUNCATE $_[0];" }));
}

# Everything is replaced in one transaction.
sub reload
{
	my ($world) = @_;
	my $empty = chance(0.5) ? 'TRUNCATE' : 'DELETE FROM';
	my @rows = $world->some_rows(between(5, 40));

	return settled($world, $world->for_each_copy(sub {
		return ('BEGIN;', "$empty $_[0];", insert_rows($world, $_[0], @rows), 'COMMIT;');
	}));
}

sub merge
{
	my ($world) = @_;
	my $column = value_column($world);
	my @row = $world->some_row('recent');
	my $where = some();
	my $columns = join ', ', $world->columns;

	return $world->for_each_copy(sub {
		return "MERGE INTO $_[0] t USING (SELECT DISTINCT k FROM $_[0] WHERE $where) s ON t.k = s.k",
			"WHEN MATCHED AND t.k % 2 = 0 THEN UPDATE SET $column = 5",
			"WHEN MATCHED THEN DELETE;",
			"INSERT INTO $_[0] ($columns) VALUES (" . join(', ', @row) . ');';
	});
}

# Some changes of rows.
sub changes_of_rows
{
	my ($world) = @_;

	return map {
		weighted(3 => \&insert, 2 => \&insert_late, 1 => \&copy, 1 => \&update, 1 => \&move,
			1 => \&delete_rows, 0.5 => \&move_entity)->($world)
	} 1 .. between(1, 3);
}

# A transaction with savepoints, some of which are rolled back.
sub transaction
{
	my ($world) = @_;
	my @sql = ('BEGIN;', chance(0.5) ? changes_of_rows($world) : ());

	for (1 .. between(1, 3))
	{
		push @sql, 'SAVEPOINT s;', changes_of_rows($world);
		push @sql, 'SAVEPOINT t;', changes_of_rows($world), pick('ROLLBACK TO t;', 'RELEASE t;')
			if chance(0.3);
		push @sql, pick('ROLLBACK TO s;', 'RELEASE s;');
	}
	return (@sql, chance(0.15) ? 'ROLLBACK;' : 'COMMIT;');
}

sub prepare
{
	my ($world) = @_;

	return () if $world->{prepared};
	$world->{prepared} = 1;
	return ('BEGIN;', insert($world, pick('late', 'recent')), "PREPARE TRANSACTION '$world->{database}';");
}

sub finish_prepared
{
	my ($world) = @_;

	return () unless $world->{prepared};
	$world->{prepared} = 0;
	return pick(('COMMIT') x 4, 'ROLLBACK') . " PREPARED '$world->{database}';";
}

# SQL that needs locks which a prepared transaction may hold.
sub settled
{
	my ($world, @sql) = @_;

	return (finish_prepared($world), @sql);
}

# The table gets another file.
sub rewrite
{
	my ($world) = @_;
	my $how = pick('VACUUM FULL', 'VACUUM', 'ANALYZE');

	return settled($world, $world->for_each_copy(sub { "$how $_[0];" }));
}

# --- partitions --------------------------------------------------------------

# Does something for a partition, attached or detached; nothing where there is none.
sub with_partition
{
	my ($world, $attached, $make) = @_;
	my @candidates = grep { $attached xor $world->{detached}{$_} } 0 .. 5;

	return () if $world->{shape} ne 'partitioned' || !@candidates;
	return settled($world, $make->(pick(@candidates)));
}

sub detach
{
	my ($world) = @_;

	return with_partition($world, 1, sub {
		my ($i) = @_;

		$world->{detached}{$i} = 1;
		return $world->for_each_copy(sub { "ALTER TABLE $_[0] DETACH PARTITION $_[0]_$i;" });
	});
}

sub attach
{
	my ($world) = @_;

	return with_partition($world, 0, sub {
		my ($i) = @_;
		my $change = some();
		my $changed = chance(0.5);

		delete $world->{detached}{$i};
		return $world->for_each_copy(sub {
			return ($changed ? "DELETE FROM $_[0]_$i WHERE $change;" : (),
				attach_partition($world, $_[0], $i, "$_[0]_$i"));
		});
	});
}

# Rows of its range are in the default partition meanwhile.
sub attach_partition
{
	my ($world, $table, $i, $partition) = @_;
	my ($from, $to) = $world->partition_bounds($i);

	return "DELETE FROM ${table}_rest WHERE ts >= '$from' AND ts < '$to';",
		"ALTER TABLE $table ATTACH PARTITION $partition FOR VALUES FROM ('$from') TO ('$to');";
}

# A partition is replaced by a table with other rows.
sub exchange
{
	my ($world) = @_;

	return with_partition($world, 1, sub {
		my ($i) = @_;
		my $change = some();
		my $columns = join ', ', $world->columns;
		my $column = value_column($world);
		my $chosen = join ', ', map { $_ eq $column ? "-$_" : $_ } $world->columns;
		my $together = chance(0.5);

		return $world->for_each_copy(sub {
			my ($table, $copy) = @_;

			return ($together ? 'BEGIN;' : (),
				"CREATE TABLE ${table}_new (LIKE ${table} INCLUDING ALL);",
				"INSERT INTO ${table}_new ($columns) SELECT $chosen FROM ${table}_$i WHERE NOT ($change);",
				"ALTER TABLE $table DETACH PARTITION ${table}_$i;",
				attach_partition($world, $table, $i, "${table}_new"),
				"DROP TABLE ${table}_$i;",
				"ALTER TABLE ${table}_new RENAME TO $copy->{name}_$i;",
				$together ? 'COMMIT;' : ());
		});
	});
}

# Rows are put straight into a partition.
sub insert_leaf
{
	my ($world) = @_;

	return with_partition($world, 1, sub {
		my ($i) = @_;
		my ($from, $to) = $world->partition_bounds($i);
		my $columns = join ', ', $world->columns;
		my $chosen = join ', ', map { $_ eq 'ts' ? literal($from) : $_ } $world->columns;
		my $change = some();

		return $world->for_each_copy(sub {
			"INSERT INTO $_[0]_$i ($columns) SELECT $chosen FROM $_[0] WHERE $change;"
		});
	});
}

# --- DDL ---------------------------------------------------------------------

# Two columns swap their names, in one transaction.
sub swap_names
{
	my ($world, $one, $two) = @_;

	return settled($world, $world->for_each_copy(sub {
		return ('BEGIN;', "ALTER TABLE $_[0] RENAME $one TO away;",
			"ALTER TABLE $_[0] RENAME $two TO $one;", "ALTER TABLE $_[0] RENAME away TO $two;",
			'COMMIT;');
	}));
}

sub swap_words
{
	my ($world) = @_;

	return swap_names($world, 'status', 'region');
}

sub swap_metrics
{
	my ($world) = @_;

	return () if $world->{layout} ne 'column' || $world->{shape} eq 'view' || %{ $world->{detached} };
	@{ $world->{types} }{qw(n m)} = @{ $world->{types} }{qw(m n)};
	return swap_names($world, 'n', 'm');
}

sub replace_column
{
	my ($world) = @_;
	my $default = pick("'a'", "'b'", 'NULL');

	return () if $world->{shape} eq 'view';
	return settled($world, $world->for_each_copy(sub {
		"ALTER TABLE $_[0] DROP COLUMN status, ADD COLUMN status text DEFAULT $default;"
	}));
}

# A name that is there again when the job looks.
sub rename_and_back
{
	my ($world) = @_;
	my ($column) = sample(1, $world->columns);

	return settled($world, $world->for_each_copy(sub {
		return ("ALTER TABLE $_[0] RENAME $column TO away;",
			"ALTER TABLE $_[0] RENAME away TO $column;");
	}));
}

sub alter_type
{
	my ($world) = @_;
	my $type = pick('integer', 'numeric', 'float8', 'bigint');

	return () if $world->{layout} ne 'column' || $world->{shape} eq 'view' || %{ $world->{detached} };
	$world->{types}{n} = $type;
	return settled($world, $world->for_each_copy(sub { "ALTER TABLE $_[0] ALTER n TYPE $type;" }));
}

sub swap_values
{
	my ($type, $one, $two) = @_;

	return map { "ALTER TYPE $type RENAME VALUE $_;" }
		"'$one' TO 'away'", "'$two' TO '$one'", "'away' TO '$two'";
}

sub swap_labels
{
	my ($world) = @_;

	return settled($world, swap_values('h.kind', 'red', 'green'));
}

sub swap_ids_labels
{
	my ($world) = @_;

	return () unless $world->{id_type} eq 'h.who';
	return settled($world, swap_values('h.who', sample(2, map { "who $_" } 1 .. 4)));
}

sub redefine_function
{
	my ($world) = @_;
	my $body = pick(q($1 = 'a'), q($1 <> 'a'), q($1 IN ('b', 'c')));

	return "CREATE OR REPLACE FUNCTION h.good(text) RETURNS boolean IMMUTABLE LANGUAGE sql"
		. " AS \$\$SELECT $body\$\$;";
}

sub redefine_view
{
	my ($world) = @_;

	return () unless $world->{shape} eq 'view';
	$world->{view_keeps} = between(2, 9);
	return settled($world, $world->for_each_copy(sub { $world->create_view($_[0]) }));
}

# The source's name comes to mean another table, and later the first one again.
sub swap_tables
{
	my ($world) = @_;
	my @rows = $world->some_rows(between(3, 30));
	my $made = $world->{spare};

	return () if $world->{shape} ne 'table';
	$world->{spare} //= { %{ $world->{types} } };
	@$world{qw(types spare)} = @$world{qw(spare types)};
	return settled($world, $world->for_each_copy(sub {
		my ($table, $copy) = @_;

		@$copy{qw(has_xid spare_has_xid tracked spare_tracked)} =
			@$copy{qw(spare_has_xid has_xid spare_tracked tracked)};
		return (
			$made ? () : ($world->create_table("${table}_spare"),
				insert_rows($world, "${table}_spare", @rows)),
			'BEGIN;', "ALTER TABLE $table RENAME TO away;",
			"ALTER TABLE ${table}_spare RENAME TO $copy->{name};",
			"ALTER TABLE h.away RENAME TO $copy->{name}_spare;", 'COMMIT;');
	}), $world->grant);
}

# --- definitions, metrics, mappings ------------------------------------------

# Changes one definition, or all in the same way.
sub change_definitions
{
	my ($world, $change, @columns) = @_;
	my @chosen = chance(0.5) ? @{ $world->{definitions} } : pick(@{ $world->{definitions} });

	$change->($_) for @chosen;
	return $world->as_owner(map { $world->update_definition($_, @columns) } @chosen);
}

sub change_filter
{
	my ($world) = @_;
	my $filter = $world->some_filter;

	return change_definitions($world, sub { $_[0]{filter} = $filter }, 'resource_filter');
}

sub change_zone
{
	my ($world) = @_;
	my $zone = pick(@Histories::World::ZONES);

	return change_definitions($world, sub { $_[0]{zone} = $zone }, 'timezone');
}

sub change_delay
{
	my ($world) = @_;
	my $delay = pick(0, 0, 1, 5, 24, 30, 100);

	return change_definitions($world, sub { $_[0]{delay} = $delay }, 'job_delay');
}

sub change_complete
{
	my ($world) = @_;

	return change_definitions($world, sub { $_[0]{complete_only} ^= 1 }, 'complete_only');
}

sub change_retention
{
	my ($world) = @_;
	my $retention = pick(undef, 24 * 3, 24 * 10, 24 * 30);

	return change_definitions($world, sub { $_[0]{retention} = $retention }, 'results_retention');
}

sub add_definition
{
	my ($world) = @_;
	my $d;

	return () if @{ $world->{definitions} } > 4;
	$d = $world->add_definition($world->some_granularity);
	return $world->insert_definition($d);
}

sub drop_definition
{
	my ($world) = @_;
	my $d;

	return () if @{ $world->{definitions} } < 2;
	$d = splice @{ $world->{definitions} }, int(rand(@{ $world->{definitions} })), 1;
	return $world->as_owner("DELETE FROM batchjob_definitions WHERE id % 100 = $d->{number};");
}

sub change_aggregates
{
	my ($world) = @_;
	my ($name) = sample(1, sort keys %{ $world->{metrics} });

	$world->{metrics}{$name} = [ $world->some_aggregates ];
	return $world->as_owner("UPDATE batchjob_metrics SET aggregation_types = "
			. literal(join ',', @{ $world->{metrics}{$name} }) . " WHERE metric_name = '$name';");
}

sub change_metrics
{
	my ($world) = @_;
	my $mapped = $world->{mapped};

	if ($world->{metrics}{m} && $world->{metrics}{n})
	{
		my ($name) = sample(1, 'n', 'm');

		delete $world->{metrics}{$name};
		return $world->as_owner("DELETE FROM batchjob_metrics WHERE metric_name = '$name';",
			$mapped ? "DELETE FROM metricsandtables WHERE metricname = '$name';" : ());
	}
	my $name = $world->{metrics}{m} ? 'n' : 'm';
	$world->{metrics}{$name} = [ $world->some_aggregates ];
	return $world->as_owner($world->insert_metric($name));
}

sub change_id
{
	my ($world) = @_;

	return () unless $world->{mapped};
	$world->{id_column} = $world->{id_column} eq 'user_id' ? 'other_id' : 'user_id';
	return $world->as_owner("UPDATE metricsandtables SET id_column = '$world->{id_column}';");
}

# Somebody maps a metric to another table; these jobs have a table with it.
sub others_mapping
{
	my ($world) = @_;

	# In row layout nobody knows which metrics an entity has: there a mapping leads.
	return () if $world->{mapped} || $world->{layout} eq 'row' || $world->{others_mapping}++;
	return ($world->create_table('h.others'), $world->grant, $world->as_owner(
		"INSERT INTO metricsandtables (metricname, tablename) VALUES ('n', 'h.others');"));
}

# --- lookback and keep_history ------------------------------------------------

sub change_lookback
{
	my ($world) = @_;
	my $lookback = pick(undef, 36, 100, 240);

	return change_definitions($world, sub { $_[0]{lookback} = $lookback }, 'lookback');
}

# All rows of old days go, after a run that has seen them.
sub expire
{
	my ($world) = @_;
	my $until = $world->{center} - between(3, 40) * DAY;
	my ($columns, $day, @dropped);

	$until -= $until % DAY;
	return () if $until <= ($world->{expired} // 0);
	$columns = join ', ', $world->columns;
	$day = literal(substr(instant($until), 0, 10));
	@dropped = grep {
		$world->{shape} eq 'partitioned' && !$world->{dropped}{$_}
			&& ($world->partition_bounds($_))[1] le substr(instant($until), 0, 10)
	} 0 .. 5;
	@dropped = () if chance(0.3);
	$world->{dropped}{$_} = 1 for @dropped;
	my @sql = settled($world, run($world));
	$world->{expired} = $until;
	return (@sql,
		for_the_test("INSERT INTO batchagg_histories.kept SELECT $columns FROM h.a WHERE ts < $day;"),
		$world->for_each_copy(sub {
			my ($table) = @_;

			return (map({ "DROP TABLE ${table}_$_;" } @dropped), "DELETE FROM $table WHERE ts < $day;");
		}));
}

# Some rows go of which others are there, of the same entity and time.
sub thin_out
{
	my ($world) = @_;
	my @same = ('o.user_id = t.user_id', 'o.other_id = t.other_id', 'o.ts = t.ts', 'o.k < t.k');

	push @same, $world->{layout} eq 'row' ?
		('o.metric_name = t.metric_name', 'o.metric_value IS NOT NULL') :
		('o.n IS NOT NULL', 'o.m IS NOT NULL');
	return $world->for_each_copy(sub {
		"DELETE FROM $_[0] t WHERE EXISTS (SELECT FROM $_[0] o WHERE " . join(' AND ', @same) . ');'
	});
}

sub increase
{
	my ($world) = @_;
	my $column = value_column($world);

	return set($world, "$column = $column + 1");
}

# A run comes between the end of the rows and their return.
sub empty_for_a_run
{
	my ($world) = @_;
	my $columns = join ', ', $world->columns;

	return settled($world, $world->for_each_copy(sub {
		return ("CREATE TABLE $_[0]_away AS SELECT $columns FROM $_[0];", "TRUNCATE $_[0];");
	}), run_jobs($world), $world->for_each_copy(sub {
		return ("INSERT INTO $_[0] ($columns) SELECT $columns FROM $_[0]_away;", "DROP TABLE $_[0]_away;");
	}), run($world));
}

# A late row of a time whose rows are gone: what becomes of its groups may be
# this or that, but runs succeed and other groups are as they were.
sub insert_expired
{
	my ($world) = @_;
	my $time = ($world->{expired} // return ()) - between(1, 24 * 9) * 3600;
	my ($k, @row) = $world->some_row;
	my $literal = literal(substr(instant($time), 0, $world->{time_type} eq 'date' ? 10 : 19));

	$row[2] = $literal;
	return (for_the_test("INSERT INTO batchagg_histories.odd VALUES ($literal);"),
		$world->for_each_copy(sub { insert_rows($world, $_[0], '(' . join(', ', $k, @row) . ')') }),
		run($world));
}

# Rows that come with transaction ids of another server, as a subscriber has them.
sub foreign_rows
{
	my ($world) = @_;
	my @rows = $world->some_rows(between(1, 4));
	my $columns = join ', ', $world->columns;
	my $xid = pick("'999999999999'", "'3'", '(pg_current_xact_id()::text::bigint + 20)::text::xid8');

	return $world->for_each_copy(sub {
		my ($table, $copy) = @_;

		return insert_rows($world, $table, @rows) unless $copy->{has_xid};
		return "INSERT INTO $table ($columns, batchagg_xid)\nVALUES "
			. join(",\n\t", map { s/\)$/, $xid)/r } @rows) . ';';
	});
}

# --- modes -------------------------------------------------------------------

sub track
{
	my ($world) = @_;
	my ($copy) = sample(1, @{ $world->{copies} }[ 1, 1, 2, 2, 0 ]);
	my $mode = pick('log', 'snapshot');

	$mode = { b => 'log', c => 'snapshot' }->{ $copy->{name} } // 'log' if chance(0.7);
	return () if %{ $world->{detached} };
	$copy->{tracked} = 1;
	$copy->{has_xid} = 1 if $mode eq 'snapshot';
	return settled($world, "SELECT batchagg_track_source('h.$copy->{name}', '$mode');");
}

# The second copy in mode log, the third in snapshot.
sub track_all
{
	my ($world) = @_;

	return () if %{ $world->{detached} };
	$world->{copies}[2]{has_xid} = 1;
	$world->{copies}[$_]{tracked} = 1 for 1, 2;
	return settled($world, map { "SELECT batchagg_track_source($_);" } "'h.b'", "'h.c', 'snapshot'");
}

sub untrack
{
	my ($world) = @_;
	my ($copy) = sample(1, grep { $_->{tracked} } @{ $world->{copies} });
	my $drop = chance(0.5) ? ', true' : '';

	return () if %{ $world->{detached} } || !$copy;
	$copy->{tracked} = 0;
	$copy->{has_xid} = 0 if $drop;
	return settled($world, "SELECT batchagg_untrack_source('h.$copy->{name}'$drop);");
}

# --- runs --------------------------------------------------------------------

# Settings of the session that runs the jobs: none may matter.
sub some_settings
{
	my @settings = (
		"TimeZone = 'America/Caracas'", "DateStyle = 'SQL, DMY'", 'transform_null_equals = on',
		'array_nulls = off', 'standard_conforming_strings = off', 'enable_seqscan = off',
		"batchagg.work_mem = '64kB'", 'batchagg.batch_size = 3', 'search_path = pg_catalog, public',
		"IntervalStyle = 'iso_8601'", 'enable_hashagg = off');

	return map { "SET $_;" } chance(0.6) ? () : sample(between(1, 3), @settings);
}

# SQL that runs all jobs in one of the ways there are.
sub run_jobs
{
	my ($world) = @_;
	my @settings = $world->{known}{settings} ? () : some_settings();
	my @calls = weighted(
		3 => [ map { "SELECT * FROM batchagg_run_job($_);" } shuffled(1 .. 3) ],
		1 => ['SELECT * FROM batchagg_run_all();'],
		1 => [q(SELECT * FROM batchagg_run_event('EVERYHOUR');)])->@*;

	return (wait_for_quiet(), @settings, @calls, @settings ? 'RESET ALL;' : (),
		for_the_test(q(SELECT batchagg_histories.check_runs('succeeded');)));
}

sub wait_for_quiet
{
	return for_the_test('SELECT batchagg_histories.wait_for_quiet();');
}

sub run
{
	my ($world) = @_;

	return (run_jobs($world),
		for_the_test(expectations($world), 'SELECT batchagg_histories.judge();'));
}

# A run in the transaction of a writer that goes on writing.
sub run_in_transaction
{
	my ($world) = @_;

	return settled($world, 'BEGIN;', changes_of_rows($world), run($world), changes_of_rows($world),
		chance(0.3) ? run($world) : (), 'COMMIT;', run($world));
}

# Results of a run that is rolled back, alone or with rows.
sub run_rolled_back
{
	my ($world) = @_;

	return settled($world, 'BEGIN;', chance(0.5) ? changes_of_rows($world) : (), 'SAVEPOINT r;',
		changes_of_rows($world), run($world), 'ROLLBACK TO r;',
		chance(0.5) ? run($world) : (), chance(0.3) ? 'ROLLBACK;' : 'COMMIT;');
}

# Runs that fail leave things as they are; when the reason is gone, they go on.
sub run_failing
{
	my ($world) = @_;
	my $column = $world->{layout} eq 'row' ? 'metric_value' : (sort keys %{ $world->{metrics} })[0];
	my @break = $world->for_each_copy(sub { "ALTER TABLE $_[0] RENAME $column TO away;" });
	my @mend = $world->for_each_copy(sub { "ALTER TABLE $_[0] RENAME away TO $column;" });

	# Without the column, the other mapping would lead.
	return () if $world->{shape} eq 'view' || $world->{others_mapping};
	return settled($world, @break, changes_without($world, $column),
		q(SELECT * FROM batchagg_run_event('EVERYHOUR');),
		for_the_test(q(SELECT batchagg_histories.check_runs('failed');)), @mend);
}

# Changes that need no column of that name.
sub changes_without
{
	my ($world) = @_;

	return weighted(1 => [ delete_rows($world) ], 1 => [ move($world) ], 1 => [])->@*;
}

# Slots that are due, after a run by hand, whose results stay.
sub run_due
{
	my ($world) = @_;

	return (run($world), "UPDATE batch_jobs SET scheduled_from = now() - interval '3 hours';", wait_for_quiet(),
		'SELECT * FROM batchagg_run_due();', judge_again(), run($world));
}

# Compares with what was expected before, but for the case that the hour has ended.
sub judge_again
{
	return for_the_test("SELECT batchagg_histories.judge() FROM batchagg_histories.clock"
			. " WHERE date_trunc('hour', slot) = date_trunc('hour', now());");
}

# A run that is ended in the midst of it, or is just not.
sub run_cancelled
{
	my ($world) = @_;
	my $time = between(1, 40);

	return (wait_for_quiet(), for_the_test('\\set ON_ERROR_STOP off'), "BEGIN; SET LOCAL statement_timeout = $time;",
		pick('SELECT * FROM batchagg_run_all();', map { "SELECT * FROM batchagg_run_job($_);" } 1 .. 3),
		'COMMIT;', for_the_test('\\set ON_ERROR_STOP on'), run($world));
}

# A session that is ended while it runs the jobs, or just before or afterwards.
sub run_terminated
{
	my ($world) = @_;
	my $time = between(10, 90) / 1000;
	my $psql = "psql -Xq -d $world->{database} -c";
	my $victim = qq{PGAPPNAME=victim $psql "SELECT * FROM batchagg_run_all()"};
	my $end = qq{$psql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND datname = '$world->{database}'"};

	return (wait_for_quiet(), "\\! ($victim & sleep $time; $end; wait) >/dev/null 2>&1", run($world));
}

# The service runs the jobs, after a run by hand, whose results stay: the slot of this
# hour, or several by a clock that is set back and goes fast.
sub run_by_service
{
	my ($world) = @_;
	my $now = "date_trunc('hour', now())";
	my $hours = between(1, 3);
	my $fast = chance(0.4);

	return (run($world), wait_for_quiet(), 'DELETE FROM batchagg_ledger;',
		"UPDATE batch_jobs SET scheduled_from = $now - interval '$hours hours', missed_runs = '"
			. pick('each', 'coalesce') . q(';),
		$fast ? "SELECT batchagg_set_clock($now - interval '$hours hours', $now);" : (),
		switch_service($world, 'on'), for_the_test('CALL batchagg_histories.wait_for_service();'),
		switch_service($world, 'off'), for_the_test('CALL batchagg_histories.wait_for_its_end();'),
		$fast ? 'SELECT batchagg_set_clock(NULL, NULL);' : (), judge_again(), run($world));
}

sub switch_service
{
	my ($world, $state) = @_;

	return ("ALTER DATABASE $world->{database} SET batchagg.enabled = $state;", 'SELECT pg_reload_conf();');
}

# The second of two runs in succession changes nothing.
sub run_nothing_new
{
	my ($world) = @_;

	return (run($world), map {
		("SELECT changed FROM batchagg_run_job($_) \\gset",
			for_the_test("SELECT batchagg_histories.check_fact('changed', '0', :'changed');"))
	} 1 .. 3);
}

sub verify
{
	my ($world) = @_;

	return (run($world), map {
		("SELECT count(*) AS differ FROM batchagg_verify_job($_) \\gset",
			for_the_test("SELECT batchagg_histories.check_fact('verified', '0', :'differ');"))
	} 1 .. 3);
}

sub backfill
{
	my ($world) = @_;
	my $from = substr(instant($world->{center} - between(1, 8) * DAY), 0, 10);
	my ($piece, @range) =
		weighted(1 => ['40 days'], 2 => [ '2 days', "'$from'" ], 1 => [ '40 days', 'NULL', "'$from'" ])->@*;
	my @piece = chance(0.5) ? () : ("piece => '$piece'", chance(0.5) ? 'newest_first => false' : ());

	return ((map { 'CALL batchagg_backfill(' . join(', ', $_, @range, @piece) . ');' } shuffled(1 .. 3)),
		run($world));
}

# The database goes on as a restored dump.
sub dump_and_restore
{
	my ($world) = @_;
	my $from = $world->{database};
	my @settled = settled($world);

	$world->{database} = $from =~ /_restored$/ ? $from =~ s/_restored$//r : "${from}_restored";
	return (@settled, "\\! dropdb --if-exists $world->{database}; createdb $world->{database}",
		switch_service($world, 'off'),
		"\\! pg_dump $from | psql -Xq -v ON_ERROR_STOP=1 $world->{database} >/dev/null",
		"\\c $world->{database}", 'SELECT batchagg_use_service();', run($world));
}

1;
