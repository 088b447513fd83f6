-- Where the randomness of a script starts: BATCHAGG_SEED in the environment, an integer,
-- or by chance.  It is printed, and in the variable "seed".
\set seed ''
\getenv seed BATCHAGG_SEED
SELECT coalesce(nullif(:'seed', '')::bigint, floor(random() * 1000000)::bigint) AS seed
\gset
\echo seed :seed
SELECT setseed((:seed % 1000000) / 1000000.0) \g /dev/null
