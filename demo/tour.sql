-- The tour, for psql.  The directory's other scripts are its chapters.

\set ON_ERROR_STOP on
\pset linestyle unicode
\pset border 1
\pset format wrapped
\pset columns 79
\pset footer off
\pset pager off
\pset null '-'
SET timezone = 'Europe/Berlin';

CREATE EXTENSION batchagg;

\ir user_activity.sql
\ir cell_kpi_data.sql
\ir cell_kpi.sql
\ir service.sql
