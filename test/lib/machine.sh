# What the scripts need of the machine: root, packages, PostgreSQL, a user
# that may run it, a temporary directory, and batchagg built and installed.
# For bash; sourced by test/run and demo/run, after them by anything that
# wants a server with batchagg (then cluster.sh too).
#
# Nothing of the machine is touched but: missing packages are installed with
# apt-get, and batchagg is installed into the PostgreSQL that was found.
# Building happens in a copy of the checkout under $WORK, which the
# unprivileged user can read wherever the checkout lies.
#
# Sets: ROOT (the checkout), WORK (temporary directory, removed at exit),
# TREE (the copy in it), PG_CONFIG, BINDIR, SERVER_USER.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

die()
{
	printf 'batchagg: %s\n' "$*" >&2
	exit 1
}

# Runs a command as the unprivileged user.
as_user()
{
	runuser -u "$SERVER_USER" -- env HOME="$WORK" "$@"
}

# Whether $1 is the pg_config of a PostgreSQL that can be built against and run.
pg_config_serves()
{
	local pgxs

	pgxs=$("$1" --pgxs 2>/dev/null) && [ -f "$pgxs" ] &&
		[ -x "$("$1" --bindir)/initdb" ]
}

# Sets PG_CONFIG to what the caller chose, else the one in PATH, else the
# newest of the packaged ones; fails where there is none.
find_postgresql()
{
	local candidate

	if [ -n "${PG_CONFIG:-}" ]; then
		pg_config_serves "$PG_CONFIG" ||
			die "PG_CONFIG=$PG_CONFIG does not lead to a server with its development files"
		return 0
	fi
	for candidate in pg_config \
		$(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -Vr); do
		if pg_config_serves "$candidate"; then
			PG_CONFIG=$candidate
			return 0
		fi
	done
	return 1
}

# The major version of PostgreSQL that the machine's distribution ships.
packaged_version()
{
	apt-cache show --no-all-versions postgresql 2>/dev/null |
		sed -n 's/^Version: \([0-9]*\).*/\1/p'
}

# Installs what building and testing need and the machine lacks.
#
# Debian's server package makes and starts a cluster named "main" when it is
# installed.  Nobody asked for that one, so a drop-in file forbids it while
# our installation lasts.
install_packages()
{
	local packages=() major
	local dropins=/etc/postgresql-common/createcluster.d
	local dropin=$dropins/batchagg-no-main-cluster.conf

	command -v make >/dev/null || packages+=(make)
	command -v gcc >/dev/null && [ -e /usr/include/stdio.h ] || packages+=(gcc libc6-dev)
	perl -MIPC::Run -MTest::More -e 1 2>/dev/null || packages+=(perl libipc-run-perl)
	if [ -n "${BATCHAGG_VALGRIND:-}" ]; then
		command -v valgrind >/dev/null || packages+=(valgrind)
	fi
	if [ -n "${BATCHAGG_MATRIX:-}" ]; then
		command -v debootstrap >/dev/null || packages+=(debootstrap)
	fi
	if find_postgresql && [ ${#packages[@]} -eq 0 ]; then
		return 0
	fi

	command -v apt-get >/dev/null ||
		die "there is no apt-get here: install a PostgreSQL with its development files, ${packages[*]}"
	apt-get update -qq >"$WORK/apt.log" 2>&1 ||
		echo "apt-get update failed in part; trying with the package lists as they are"
	if ! find_postgresql; then
		major=$(packaged_version)
		[ -n "$major" ] || die "apt-get knows no package postgresql"
		packages+=("postgresql-$major" "postgresql-server-dev-$major")
	fi

	echo "installing ${packages[*]}"
	mkdir -p "$dropins"
	echo "create_main_cluster = false" >"$dropin"
	if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		"${packages[@]}" >>"$WORK/apt.log" 2>&1; then
		rm -f "$dropin"
		tail -n 20 "$WORK/apt.log" >&2
		die "apt-get install failed"
	fi
	rm -f "$dropin"
	find_postgresql || die "no usable PostgreSQL even after installing it"
}

# Installs pg_cron for the PostgreSQL that was found, where that is a packaged
# one and apt-get has it; tests that need it are skipped where it is missing.
install_pg_cron()
{
	local major

	[ ! -e "$("$PG_CONFIG" --sharedir)/extension/pg_cron.control" ] || return 0
	major=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
	[ "$("$PG_CONFIG" --sharedir)" = "/usr/share/postgresql/$major" ] &&
		command -v apt-get >/dev/null || return 0

	if ! apt-cache show "postgresql-$major-cron" >/dev/null 2>&1; then
		apt-get update -qq >>"$WORK/apt.log" 2>&1
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		"postgresql-$major-cron" >>"$WORK/apt.log" 2>&1 ||
		echo "# postgresql-$major-cron could not be installed"
}

# Makes $WORK, and sees to it that it goes away again.
make_work_directory()
{
	WORK=$(mktemp -d -t batchagg.XXXXXX) || die "no temporary directory"
	chmod 755 "$WORK"
	trap leave EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

leave()
{
	cd /
	if declare -F cluster_stop >/dev/null; then
		cluster_stop
	fi
	if [ -n "${BATCHAGG_KEEP:-}" ]; then
		echo "kept: $WORK"
	else
		rm -rf "$WORK"
	fi
}

# To be called first: all of the above.
prepare_machine()
{
	[ "$(id -u)" = 0 ] ||
		die "needs root, to install packages and to run the server as another user: use sudo"
	make_work_directory
	install_packages
	BINDIR=$("$PG_CONFIG" --bindir)
	PATH=$BINDIR:$PATH
	if id postgres >/dev/null 2>&1; then
		SERVER_USER=postgres
	else
		SERVER_USER=nobody
	fi
	TREE=$WORK/batchagg
	mkdir "$TREE"
	tar -C "$ROOT" --exclude=./.git --exclude='*.o' --exclude='*.d' --exclude='*.so' \
		--exclude='./batchagg--*.sql' --exclude=./test/unit/build -cf - . | tar -C "$TREE" -xf -
	chown -R "$SERVER_USER" "$WORK"
	cd "$TREE"
}

# Builds the copy as the unprivileged user and installs it; all output goes to
# the file $1.  Fails if that fails.
build_and_install()
{
	as_user make -s -C "$TREE" -j"$(nproc)" PG_CONFIG="$PG_CONFIG" all >"$1" 2>&1 &&
		make -s -C "$TREE" PG_CONFIG="$PG_CONFIG" install >>"$1" 2>&1
}
