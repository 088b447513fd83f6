-- A foreign server that leads back to this database, for sources that are
-- foreign tables.  Fails where postgres_fdw is missing or cannot connect.

CREATE EXTENSION IF NOT EXISTS postgres_fdw;
DROP SERVER IF EXISTS batchagg_fuzz CASCADE;
SELECT format('CREATE SERVER batchagg_fuzz FOREIGN DATA WRAPPER postgres_fdw'
			  ' OPTIONS (host %L, port %L, dbname %L)',
			  split_part(current_setting('unix_socket_directories'), ',', 1),
			  current_setting('port'), current_database()) \gexec
SELECT format('CREATE USER MAPPING FOR CURRENT_USER SERVER batchagg_fuzz OPTIONS (user %L)',
			  current_user) \gexec
CREATE FOREIGN TABLE batchagg_fuzz.far_span (zone text) SERVER batchagg_fuzz
	OPTIONS (schema_name 'batchagg_fuzz', table_name 'span');
SELECT FROM batchagg_fuzz.far_span LIMIT 1;
