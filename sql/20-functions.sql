--
-- Functions on jobs
--

CREATE FUNCTION batchagg_validate_job(
	job_id integer,
	OUT definition_id integer,
	OUT severity text,
	OUT sqlstate text,
	OUT message text,
	OUT detail text,
	OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_validate_job(integer) IS
'returns everything that is wrong with a job, and nothing if it can be run; sources are looked at with the rights of its owner';

CREATE FUNCTION batchagg_validate_job(
	job_name text,
	OUT definition_id integer,
	OUT severity text,
	OUT sqlstate text,
	OUT message text,
	OUT detail text,
	OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_validate_job(text) IS
'returns everything that is wrong with the job of this name, and nothing if it can be run; sources are looked at with the rights of its owner';

CREATE FUNCTION batchagg_create_job(
	event_name text,
	focal_entity text,
	entity text,
	granularities text[],
	metrics jsonb,
	tablename text DEFAULT NULL,
	resource_filter text DEFAULT NULL,
	job_delay integer DEFAULT 0,
	timezone text DEFAULT 'UTC',
	job_name text DEFAULT NULL,
	enable_flag boolean DEFAULT true,
	id_column text DEFAULT NULL,
	time_column text DEFAULT NULL,
	name_column text DEFAULT NULL,
	value_column text DEFAULT NULL,
	validate boolean DEFAULT true)
RETURNS integer
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_create_job(text, text, text, text[], jsonb, text, text, integer, text, text, boolean, text, text, text, text, boolean) IS
'makes a job with a definition for each granularity, its metrics as {"name": "aggregates"}, and their mappings where a table or a column is given; returns its id. ERROR with all problems if the job could not run; with validate => false, sources are not looked at';
