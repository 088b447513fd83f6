# What the scripts need of the machine: packages, a PostgreSQL with its
# development files, a user who may run a server, a temporary directory, and
# batchagg built and installed.  For bash; sourced by test/run and demo/run,
# after them by anything that wants a server with batchagg (then cluster.sh
# too).
#
# The machine's PostgreSQL is not written to, nor are its clusters restarted:
# batchagg is installed into a private copy below $WORK.  PostgreSQL finds its
# files relative to its programs, as its own "make check" does; so the programs
# are copied, and everything else is links to files.  Building happens
# in a copy of the checkout, which the unprivileged user can read wherever the
# checkout lies.
#
# With BATCHAGG_DEV set, all that stays for the next time: the copies, what has been
# built, and the cluster (make dev).
#
# As root, missing packages are installed with apt-get, and the server runs as
# another user.  Anybody else needs the packages, and runs all as himself.
#
# Sets: ROOT (the checkout), WORK (temporary directory, removed at exit),
# TREE (the copy in it), PG_CONFIG (that of the private copy), SERVER_USER.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
OLDEST=15						# major version of PostgreSQL

# Settings of the caller's own server would lead psql and the tests there; his
# locale may not be installed.
for variable in ${!PG*}; do
	[ "$variable" = PG_CONFIG ] || unset "$variable"
done
export LC_ALL=C.UTF-8

say()
{
	printf 'batchagg: %s\n' "$*" >&2
}

die()
{
	say "$*"
	exit 1
}

is_root()
{
	[ "$(id -u)" = 0 ]
}

# Runs a command as the user who runs the server.
as_user()
{
	if is_root; then
		runuser -u "$SERVER_USER" -- env HOME="$WORK" "$@"
	else
		env HOME="$WORK" "$@"
	fi
}

# What $1, a pg_config, says under option $2.
pg_path()
{
	"$1" "--$2" 2>/dev/null
}

# The major version of the pg_config $1: 0 where it is none.
pg_major()
{
	local version

	version=$(pg_path "$1" version)
	[[ $version =~ ^PostgreSQL\ ([0-9]+) ]] && echo "${BASH_REMATCH[1]}" || echo 0
}

# Whether pg_config $1 belongs to a server that batchagg runs in.
pg_runs()
{
	[ "$(pg_major "$1")" -ge "$OLDEST" ] && [ -x "$(pg_path "$1" bindir)/initdb" ] &&
		[ -x "$(pg_path "$1" bindir)/postgres" ]
}

# Whether it has what extensions are built with.  Debian's client package has
# pg_config and pgxs.mk, but the headers are in postgresql-server-dev.
pg_builds()
{
	[ -f "$(pg_path "$1" pgxs)" ] && [ -f "$(pg_path "$1" includedir-server)/postgres.h" ]
}

# The pg_config programs of this machine: the caller's choice alone, else that
# in PATH and those of packages, the newest first.
pg_candidates()
{
	if [ -n "${PG_CONFIG:-}" ]; then
		echo "$PG_CONFIG"
		return
	fi
	command -v pg_config
	ls -d /usr/lib/postgresql/*/bin/pg_config /usr/pgsql-*/bin/pg_config 2>/dev/null | sort -Vr
}

# Sets PG_CONFIG to the first that runs and builds, else the first that runs;
# leaves it as it is where none does.
find_postgresql()
{
	local candidate runs=

	for candidate in $(pg_candidates); do
		pg_runs "$candidate" || continue
		if pg_builds "$candidate"; then
			PG_CONFIG=$candidate
			return
		fi
		runs=${runs:-$candidate}
	done
	PG_CONFIG=${runs:-${PG_CONFIG:-}}
}

# Why the caller's PG_CONFIG cannot be used.
check_chosen_postgresql()
{
	local major

	command -v "$PG_CONFIG" >/dev/null ||
		die "PG_CONFIG=$PG_CONFIG is not a program: type the path of a pg_config, such as PG_CONFIG=/usr/lib/postgresql/$OLDEST/bin/pg_config"
	major=$(pg_major "$PG_CONFIG")
	[ "$major" -gt 0 ] ||
		die "PG_CONFIG=$PG_CONFIG does not answer --version as a pg_config does: type the path of another"
	[ "$major" -ge "$OLDEST" ] ||
		die "PG_CONFIG=$PG_CONFIG is of PostgreSQL $major, batchagg needs $OLDEST or newer: type the path of another pg_config"
	pg_runs "$PG_CONFIG" ||
		die "PG_CONFIG=$PG_CONFIG has no server in $(pg_path "$PG_CONFIG" bindir): install PostgreSQL $major's server, or type the path of another pg_config"
}

# The major version of PostgreSQL that the machine's distribution ships.
packaged_version()
{
	apt-cache show --no-all-versions postgresql 2>/dev/null |
		sed -n 's/^Version: \([0-9]*\).*/\1/p' | head -n 1
}

# Whether pg_config $1 is Debian's, so that packages can complete its server.
pg_is_packaged()
{
	[ "$(pg_path "$1" bindir)" = "/usr/lib/postgresql/$(pg_major "$1")/bin" ]
}

# Sets PACKAGES to the Debian packages that the machine lacks for $1: demo or
# check.
missing_packages()
{
	local major

	PACKAGES=()
	command -v make >/dev/null || PACKAGES+=(make)
	command -v gcc >/dev/null || PACKAGES+=(gcc)
	[ -e /usr/include/stdio.h ] || PACKAGES+=(libc6-dev)
	if [ "$1" = check ]; then
		perl -MIPC::Run -MTest::More -e 1 2>/dev/null || PACKAGES+=(perl libipc-run-perl)
		[ -z "${BATCHAGG_VALGRIND:-}" ] || command -v valgrind >/dev/null || PACKAGES+=(valgrind)
	fi
	if [ -z "$PG_CONFIG" ]; then
		major=$(packaged_version) || true	# not known before apt-get update
		[ "${major:-$OLDEST}" -ge "$OLDEST" ] ||
			die "the packaged PostgreSQL is version $major, batchagg needs $OLDEST or newer: install one, or type PG_CONFIG=/path/to/pg_config"
		PACKAGES+=("postgresql${major:+-$major}")
	elif ! pg_builds "$PG_CONFIG" && ! pg_is_packaged "$PG_CONFIG"; then
		die "$PG_CONFIG has no development files (postgres.h, pgxs.mk): install those of PostgreSQL $(pg_major "$PG_CONFIG"), or type PG_CONFIG=/path/to/another/pg_config"
	fi
}

# Runs apt-get, as nobody is there to ask; waits for others that use it.
quiet_apt()
{
	DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o DPkg::Lock::Timeout=300 \
		"$@" >>"$WORK/apt.log" 2>&1
}

# Ends, as packages cannot be installed, because $1.
die_of_packages()
{
	die "missing ${PACKAGES[*]}, and $1: type \"sudo apt-get update && sudo apt-get install ${PACKAGES[*]}\""
}

# Installs what the machine lacks for $1: demo or check.
#
# Debian's server package makes and starts a cluster named "main" when it is
# installed.  Nobody asked for that one, so a drop-in file forbids it while
# our installation lasts.
install_packages()
{
	[ -z "${PG_CONFIG:-}" ] || check_chosen_postgresql
	find_postgresql
	missing_packages "$1"
	[ ${#PACKAGES[@]} -gt 0 ] || return 0

	command -v apt-get >/dev/null ||
		die "missing ${PACKAGES[*]} (by their names in Debian), and there is no apt-get: install them by this machine's own means"
	is_root || die_of_packages "only root may install packages"
	quiet_apt update || true	# the lists that are there may do
	missing_packages "$1"		# now that their versions are known
	apt-cache show "${PACKAGES[0]}" >/dev/null 2>&1 ||
		die_of_packages "apt-get does not find them (is this machine offline?)"

	say "installing ${PACKAGES[*]} (a minute or two)"
	DROPIN=/etc/postgresql-common/createcluster.d/batchagg-no-main-cluster.conf
	mkdir -p "${DROPIN%/*}"
	echo "create_main_cluster = false" >"$DROPIN"
	quiet_apt install --no-install-recommends "${PACKAGES[@]}" ||
		die_of_packages "apt-get install failed ($(grep -m 1 '^E:' "$WORK/apt.log"))"
	rm -f "$DROPIN"
	find_postgresql
	[ -n "$PG_CONFIG" ] || die "${PACKAGES[*]} are installed, but there is no server in /usr/lib/postgresql"
}

# Unpacks packages into the private copy of PostgreSQL, without installing
# them.
unpack_packages()
{
	local folder=$WORK/packages package

	rm -rf "$folder"
	mkdir "$folder"
	(cd "$folder" && quiet_apt download "$@") || return
	for package in "$folder"/*.deb; do
		dpkg -x "$package" "$PREFIX" || return
	done
	rm -r "$folder"
}

# Whether the private copy has development files, and of its server's version: a
# library built with newer headers may miss functions in an older server.
copy_fits()
{
	local headers server

	pg_builds "$PG_CONFIG" || return
	headers=$(sed -n 's/^#define PG_VERSION "\(.*\)"/\1/p' \
		"$(pg_path "$PG_CONFIG" includedir-server)/pg_config.h")
	server=$("$(pg_path "$PG_CONFIG" bindir)/postgres" -V)
	[[ " $server " == *" $headers "* ]]
}

# Sees to it that the private copy fits.  The development files of a packaged
# server are unpacked into it: installing postgresql-server-dev would bring LLVM
# and, where it is newer, have apt-get replace and restart the machine's server.
# Where there are none of the server's version, a server of theirs comes along.
complete_copy()
{
	local development=postgresql-server-dev-$MAJOR version

	! copy_fits || return 0
	version=$(dpkg-query -W -f '${Version}' "postgresql-$MAJOR" 2>/dev/null) || true
	if [ "$PACKAGED" = yes ]; then
		say "fetching $development into the copy of PostgreSQL"
		unpack_packages "$development=$version" || { is_root && quiet_apt update &&
			unpack_packages "$development=$version"; } ||
			unpack_packages "$development" "postgresql-$MAJOR" || true
	fi
	if ! copy_fits; then
		PACKAGES=("$development")
		pg_builds "$PG_CONFIG" || die_of_packages "apt-get cannot fetch it"
		say "PostgreSQL's development files are of another version than its server: should batchagg not load, install both in the same version"
	fi
}

# Removes the copy of PostgreSQL, and the cluster that it serves.
remove_copy()
{
	local pg_ctl

	for pg_ctl in $(find "$WORK/pg" -name pg_ctl 2>/dev/null); do
		[ ! -f "$WORK/data/postmaster.pid" ] || as_user "$pg_ctl" stop -s -m immediate -D "$WORK/data"
	done
	rm -rf "$WORK/pg" "$WORK/data"
}

# Makes a private copy of the PostgreSQL that was found, for batchagg to be
# installed into, and sets PG_CONFIG to its own.
copy_postgresql()
{
	local bindir pkglibdir sharedir includedir program directory

	local origin

	PREFIX=$WORK/pg
	MAJOR=$(pg_major "$PG_CONFIG")
	origin="$PG_CONFIG $(pg_path "$PG_CONFIG" version) $("$(pg_path "$PG_CONFIG" bindir)/postgres" -V)"
	PACKAGED=no
	! pg_is_packaged "$PG_CONFIG" || PACKAGED=yes
	bindir=$(pg_path "$PG_CONFIG" bindir)
	pkglibdir=$(pg_path "$PG_CONFIG" pkglibdir)
	sharedir=$(pg_path "$PG_CONFIG" sharedir)
	includedir=$(pg_path "$PG_CONFIG" includedir-server)

	PG_CONFIG=$PREFIX$bindir/pg_config
	PATH=$PREFIX$bindir:$PATH
	[ "$(cat "$WORK/pg.origin" 2>/dev/null)" != "$origin" ] || return 0
	remove_copy
	mkdir -p "$PREFIX$bindir"
	for program in initdb postgres psql createdb dropdb vacuumdb 'pg_*'; do
		cp -L "$bindir"/$program "$PREFIX$bindir/"
	done
	for directory in "$pkglibdir" "$sharedir" "$includedir"; do
		[ -d "$directory" ] || continue			# no development files
		mkdir -p "$PREFIX$directory"
		cp -rs "$directory/." "$PREFIX$directory/"
	done
	rm -f "$PREFIX$pkglibdir"/batchagg.so "$PREFIX$sharedir"/extension/batchagg[.-]*

	complete_copy
	echo "$origin" >"$WORK/pg.origin"
}

# The version of the copy's server, such as "PostgreSQL 15.4".
server_version()
{
	postgres -V | sed 's/^postgres (PostgreSQL)/PostgreSQL/'
}

# Unpacks pg_cron for a packaged PostgreSQL where apt-get has it and the machine
# doesn't; tests that need it are skipped where it is missing.
add_pg_cron()
{
	[ ! -e "$(pg_path "$PG_CONFIG" sharedir)/extension/pg_cron.control" ] || return 0
	[ "$PACKAGED" = yes ] && unpack_packages "postgresql-$MAJOR-cron" ||
		say "tests of pg_cron are skipped: postgresql-$MAJOR-cron is not to be had"
}

# Whether the server's user can run programs in directory $1, and a socket fits
# into its path.
directory_serves()
{
	printf '#!/bin/sh\n' >"$1/try" && chmod 755 "$1/try" && as_user "$1/try" 2>/dev/null &&
		[ ${#1} -le 70 ]
}

# Where everything stays that make dev leaves.
dev_directory()
{
	echo "${TMPDIR:-/tmp}/batchagg-dev-$(id -un)-$(cksum <<<"$ROOT" | cut -d ' ' -f 1)"
}

# Makes $WORK, and sees to it that it goes away again.
make_work_directory()
{
	local parent

	if [ -n "${BATCHAGG_DEV:-}" ]; then
		WORK=$(dev_directory)
		mkdir -p -m 755 "$WORK"
		[ -O "$WORK" ] || is_root || die "$WORK is somebody else's"
		directory_serves "$WORK" || die "$WORK does not serve: type TMPDIR=/a/directory/of/your/own"
		export TMPDIR=$WORK
		trap 'rm -f "${DROPIN:-}"' EXIT
		return
	fi
	for parent in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
		WORK=$(mktemp -d "$parent/batchagg.XXXXXX" 2>/dev/null) || continue
		chmod 755 "$WORK"
		if directory_serves "$WORK"; then
			rm "$WORK/try"
			export TMPDIR=$WORK
			trap leave EXIT
			trap 'exit 130' INT
			trap 'exit 143' TERM HUP
			return
		fi
		say "$parent does not serve: user $SERVER_USER must be able to enter it and run programs there, and its name be short"
		rm -rf "$WORK"
	done
	die "no temporary directory: type TMPDIR=/a/directory/of/your/own"
}

leave()
{
	cd /
	rm -f "${DROPIN:-}"
	if declare -F cluster_stop >/dev/null; then
		cluster_stop
	fi
	if [ -n "${BATCHAGG_KEEP:-}" ]; then
		say "kept $WORK"
	else
		rm -rf "$WORK"
	fi
}

# Copies the checkout, without what was built in it, into directory $1.  Files have
# the times that they have in the checkout, so make finds out what has changed.
copy_checkout()
{
	tar -C "$ROOT" --exclude=./.git --exclude='*.o' --exclude='*.d' --exclude='*.so' --exclude='*.gc[dn][ao]' \
		--exclude='./batchagg--*.sql' --exclude=./test/unit/build -cf - . | tar -C "$1" -xf -
}

# Removes from the copy what has been removed from the checkout.
forget_removed()
{
	local file

	(cd "$TREE" && find . -type f ! -path './.git/*') | while read -r file; do
		case $file in
			*.o | *.d | *.so | ./batchagg--* | ./test/unit/build/* | */results/* | */tmp_check/* | */regression.*) ;;
			*) [ -e "$ROOT/$file" ] || rm -f "$TREE/$file" ;;
		esac
	done
}

# Sets SERVER_USER, who runs servers.
find_server_user()
{
	if ! is_root; then
		SERVER_USER=$(id -un)
	elif id postgres >/dev/null 2>&1; then
		SERVER_USER=postgres
	else
		SERVER_USER=nobody
	fi
}

# To be called first: all of the above, for $1: demo, or check, which needs more.
prepare_machine()
{
	find_server_user
	make_work_directory
	install_packages "$1"
	copy_postgresql
	TREE=$WORK/batchagg
	mkdir -p "$TREE"
	copy_checkout "$TREE"
	forget_removed
	chown -hR "$SERVER_USER" "$WORK"
	cd "$TREE"
}

# Builds the copy and installs it, passing arguments from the second on to make;
# all output goes to the file $1.  Fails if that fails.
build_and_install()
{
	local log=$1

	shift
	as_user make -s -C "$TREE" -j"$(nproc)" PG_CONFIG="$PG_CONFIG" "$@" all install >"$log" 2>&1
}
