--
-- Last: the service, if there is one, learns that the extension is here.
--

CREATE FUNCTION batchagg_wake() RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION batchagg_wake() FROM PUBLIC;

COMMENT ON FUNCTION batchagg_wake() IS
'has the service look at this database when the transaction commits';

SELECT batchagg_wake();
