# A throwaway cluster in $WORK, for those who sourced machine.sh: own socket
# directory, which only its user and root may enter, no TCP, no fsync.
#
# Sets, for psql and everything else: PGHOST, PGPORT, PGUSER, PGDATABASE.

# Makes and starts it, unless it is there (BATCHAGG_DEV).  Arguments are further lines of
# its configuration.
cluster_start()
{
	export PGHOST=$WORK/socket PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	[ -d "$WORK/data" ] || cluster_make "$@"
	as_user pg_ctl status -D "$WORK/data" >/dev/null ||
		as_user pg_ctl start -w -s -D "$WORK/data" -l "$WORK/server.log" ||
		die "the server did not start: $(tail -n 5 "$WORK/server.log")"
}

cluster_make()
{
	as_user initdb -D "$WORK/data" --username=postgres --auth=trust --encoding=UTF8 \
		--locale=C.UTF-8 --no-sync --no-instructions >"$WORK/initdb.log" 2>&1 ||
		die "initdb failed: $(tail -n 5 "$WORK/initdb.log")"
	as_user mkdir -p -m 700 "$WORK/socket"
	cat >>"$WORK/data/postgresql.conf" <<-END
		listen_addresses = ''
		port = 5432
		unix_socket_directories = '$WORK/socket'
		fsync = off
		full_page_writes = off
		synchronous_commit = off
		timezone = 'UTC'
		log_timezone = 'UTC'
		jit = off
	END
	if [ $# -gt 0 ]; then
		printf '%s\n' "$@" >>"$WORK/data/postgresql.conf"
	fi
}

# Stops it, if it runs.
cluster_stop()
{
	if [ -f "$WORK/data/postmaster.pid" ]; then
		as_user pg_ctl stop -s -m immediate -D "$WORK/data" || true
	fi
}
