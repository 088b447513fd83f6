--
-- Tracking the changes of a source
--
-- The triggers of a tracked table note each row in their WHEN condition, which is
-- false: so nothing is queued, and no row is fetched again.
--
--	CREATE TRIGGER batchagg_mark_insert AFTER INSERT ON visit FOR EACH ROW
--		WHEN (batchagg_note(7, NEW.ts, NEW.user_id)) EXECUTE FUNCTION batchagg_mark();
--
-- Whoever writes the table calls batchagg_note(), so that everybody may.  It does
-- nothing in a transaction that is not writing the source.  These functions are in
-- pg_catalog, and everybody is given them in so many words: or else writers of tracked
-- tables would be stopped by REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA ... FROM PUBLIC,
-- and by default privileges, which are not about them.
--

CREATE FUNCTION batchagg_track_source(
	source regclass,
	mode text DEFAULT 'log',
	time_column name DEFAULT NULL,
	id_column name DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_track_source(regclass, text, name, name) IS
'has changes of a table tracked, so that runs read what has changed; columns that are not given are those that definitions find';

CREATE FUNCTION batchagg_untrack_source(
	source regclass,
	drop_column boolean DEFAULT false)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_untrack_source(regclass, boolean) IS
'ends the tracking of a table; with drop_column, also drops the column that mode snapshot has added';

CREATE FUNCTION batchagg_settle_source(
	source regclass)
RETURNS text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_settle_source(regclass) IS
'marks what has become of the partitions of a tracked table, as each run does; returns why changes of the table may go unmarked, or NULL if all is well';

CREATE FUNCTION pg_catalog.batchagg_note(source integer, "time" "any")
RETURNS boolean
AS 'MODULE_PATHNAME', 'batchagg_note'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION pg_catalog.batchagg_note(source integer, "time" "any", id "any")
RETURNS boolean
AS 'MODULE_PATHNAME', 'batchagg_note'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION pg_catalog.batchagg_note_unstamped(source integer, xid xid8, "time" "any")
RETURNS boolean
AS 'MODULE_PATHNAME', 'batchagg_note_unstamped'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION pg_catalog.batchagg_note_unstamped(source integer, xid xid8, "time" "any", id "any")
RETURNS boolean
AS 'MODULE_PATHNAME', 'batchagg_note_unstamped'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

GRANT EXECUTE ON FUNCTION
	pg_catalog.batchagg_note(integer, "any"),
	pg_catalog.batchagg_note(integer, "any", "any"),
	pg_catalog.batchagg_note_unstamped(integer, xid8, "any"),
	pg_catalog.batchagg_note_unstamped(integer, xid8, "any", "any")
	TO PUBLIC;

CREATE FUNCTION batchagg_mark()
RETURNS trigger
AS 'MODULE_PATHNAME'
LANGUAGE C;

COMMENT ON FUNCTION pg_catalog.batchagg_note(integer, "any") IS
'in triggers of tracked sources: notes the time of a changed row, and returns false';
COMMENT ON FUNCTION pg_catalog.batchagg_note(integer, "any", "any") IS
'in triggers of tracked sources: notes the time and entity of a changed row, and returns false';
COMMENT ON FUNCTION pg_catalog.batchagg_note_unstamped(integer, xid8, "any") IS
'in triggers of tracked sources: notes an inserted row unless it has the transaction''s own id, and returns false';
COMMENT ON FUNCTION pg_catalog.batchagg_note_unstamped(integer, xid8, "any", "any") IS
'in triggers of tracked sources: notes an inserted row unless it has the transaction''s own id, and returns false';
COMMENT ON FUNCTION batchagg_mark() IS
'trigger: stands in the triggers of tracked sources, whose conditions do all the work; does nothing';
