# No file is so long that nobody reads it, and no function so long that it does not fit on a screen.

use strict;
use warnings;

use Test::More;

use constant { FILE_LINES => 800, FUNCTION_LINES => 60 };

my ($functions, @long_files, @long_functions) = (0);
foreach my $file (glob('src/*.c'), glob('src/*/*.c'))
{
	my ($begin, $name);

	open my $source, '<', $file or die "$file: $!";
	while (<$source>)
	{
		$name = $1 if /^(\w+)\(/;
		$begin = $. if /^\{/;
		next if !/^\}/ || !$begin;
		$functions++;
		push @long_functions, "$file: $name()" if $. - $begin - 1 > FUNCTION_LINES;
		undef $begin;
	}
	push @long_files, $file if $. > FILE_LINES;
}
cmp_ok($functions, '>', 500, 'the source is here');
is(join("\n", @long_files), '', 'no file has more than ' . FILE_LINES . ' lines');
is(join("\n", @long_functions), '', 'no function has more than ' . FUNCTION_LINES);

done_testing();
