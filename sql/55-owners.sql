--
-- Owners who are to be dropped (src/service/owners.c).
--
-- REASSIGN OWNED and DROP OWNED are followed by a hook of the library.  PostgreSQL has
-- no event trigger for the first.  Where the library was not loaded yet, the event
-- trigger for the second says so, before the owner can be dropped.
--

CREATE FUNCTION batchagg_owner_dropped() RETURNS event_trigger
AS 'MODULE_PATHNAME'
LANGUAGE C;
REVOKE EXECUTE ON FUNCTION batchagg_owner_dropped() FROM PUBLIC;

CREATE EVENT TRIGGER batchagg_owner_dropped ON ddl_command_end
	WHEN TAG IN ('DROP OWNED')
	EXECUTE FUNCTION batchagg_owner_dropped();

COMMENT ON FUNCTION batchagg_owner_dropped() IS
'event trigger: sees to it that DROP OWNED does not pass by the jobs of a role';
COMMENT ON EVENT TRIGGER batchagg_owner_dropped IS
'sees to it that DROP OWNED does not pass by the jobs of a role';
