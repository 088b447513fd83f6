# C is formatted as PostgreSQL's is.

use strict;
use warnings;

use Test::More;

plan skip_all => 'there is no pg_bsd_indent (Debian: pg-bsd-indent)' if system('command -v pg_bsd_indent >/dev/null 2>&1') != 0;

my $differences = `test/lint/indent --check 2>&1`;
is($differences, '', 'test/lint/indent would change nothing');

done_testing();
