--
-- What pg_dump takes along: the rows of all tables, and where their sequences
-- stand.  The built-in events come with the extension.  Who starts the jobs is
-- left behind (13-service.sql).
--

SELECT pg_catalog.pg_extension_config_dump('batchagg_events', 'WHERE NOT built_in');
SELECT pg_catalog.pg_extension_config_dump('batch_jobs', '');
SELECT pg_catalog.pg_extension_config_dump('batch_jobs_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('batchjob_definitions', '');
SELECT pg_catalog.pg_extension_config_dump('batchjob_definitions_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('batchjob_metrics', '');
SELECT pg_catalog.pg_extension_config_dump('metricsandtables', '');
SELECT pg_catalog.pg_extension_config_dump('batchagg_layouts', '');
SELECT pg_catalog.pg_extension_config_dump('batchagg_layouts_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('batchagg_positions', '');
SELECT pg_catalog.pg_extension_config_dump('batchagg_store', '');
SELECT pg_catalog.pg_extension_config_dump('batchagg_measurements', '');
SELECT pg_catalog.pg_extension_config_dump('batchagg_runs', '');
SELECT pg_catalog.pg_extension_config_dump('batchagg_runs_run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('batchagg_counters', '');
