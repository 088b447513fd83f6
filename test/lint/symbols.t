# Of the library's symbols only those leave it that PostgreSQL looks up by name:
# else one could be taken for that of another library, or the other way round.

use strict;
use warnings;

use Test::More;

chomp(my $library = `pg_config --pkglibdir`);
$library .= '/batchagg.so';
$library =~ s/so$/dylib/ if !-e $library;
my @symbols = map { (split)[-1] } `nm -D --defined-only '$library' 2>/dev/null`;

plan skip_all => 'there is no nm, or it cannot read the library' if !@symbols;

my %exported = map { $_ => 1 } @symbols;
my @functions = map { /^pg_finfo_(.*)/ } @symbols;
my %expected = map { $_ => 1 } qw(Pg_magic_func _PG_init),
  (map { ($_, "pg_finfo_$_") } @functions),
  map { "batchagg_$_\_main" } qw(launcher scheduler worker parallel);

cmp_ok(@functions, '>', 30, 'functions for SQL leave the library');
is(join(' ', grep { !$exported{$_} } sort keys %expected), '', 'what PostgreSQL looks for is there');
is(join(' ', grep { !$expected{$_} } sort @symbols), '', 'and nothing else');

done_testing();
