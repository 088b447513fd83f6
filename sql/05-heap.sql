--
-- The table access method of tables whose policies ask for current_user.  It is
-- heap; opening such a table loads the library (src/model/lend.c).
--

CREATE FUNCTION batchagg_heap_handler(internal) RETURNS table_am_handler
AS 'MODULE_PATHNAME'
LANGUAGE C;
REVOKE EXECUTE ON FUNCTION batchagg_heap_handler(internal) FROM PUBLIC;

CREATE ACCESS METHOD batchagg_heap TYPE TABLE HANDLER batchagg_heap_handler;

COMMENT ON FUNCTION batchagg_heap_handler(internal) IS
'handler of table access method batchagg_heap';
COMMENT ON ACCESS METHOD batchagg_heap IS
'heap, by a name of batchagg''s own: opening such a table loads the library, so that views over it lend their owner''s rights';
