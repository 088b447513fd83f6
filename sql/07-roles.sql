--
-- The type of owners.
--
-- A role, as regrole: it follows ALTER ROLE ... RENAME, and is dumped by its name.
-- But for what regrole takes, the number of a role: it is another role's in the
-- cluster in which a dump is restored, maybe a superuser's.
--

CREATE TYPE batchagg_role;

CREATE FUNCTION batchagg_role_in(cstring) RETURNS batchagg_role
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION batchagg_role_out(batchagg_role) RETURNS cstring
AS 'regroleout'
LANGUAGE internal STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION batchagg_role_send(batchagg_role) RETURNS bytea
AS 'regrolesend'
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;

CREATE TYPE batchagg_role (
	INPUT = batchagg_role_in,
	OUTPUT = batchagg_role_out,
	SEND = batchagg_role_send,
	LIKE = pg_catalog.oid
);

CREATE CAST (batchagg_role AS pg_catalog.oid) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (batchagg_role AS pg_catalog.regrole) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (pg_catalog.oid AS batchagg_role) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (pg_catalog.regrole AS batchagg_role) WITHOUT FUNCTION AS ASSIGNMENT;

COMMENT ON TYPE batchagg_role IS
'a role by its name, as regrole; its number is refused';
COMMENT ON FUNCTION batchagg_role_in(cstring) IS
'input of type batchagg_role';
COMMENT ON FUNCTION batchagg_role_out(batchagg_role) IS
'output of type batchagg_role';
COMMENT ON FUNCTION batchagg_role_send(batchagg_role) IS
'binary output of type batchagg_role';
COMMENT ON CAST (batchagg_role AS pg_catalog.oid) IS
'the role''s number, as all that PostgreSQL asks about roles takes it';
COMMENT ON CAST (batchagg_role AS pg_catalog.regrole) IS
'the same role';
COMMENT ON CAST (pg_catalog.oid AS batchagg_role) IS
'the role of this number';
COMMENT ON CAST (pg_catalog.regrole AS batchagg_role) IS
'the same role';
