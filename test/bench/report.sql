-- Prints the medians of the figures, and ratios of them beside their targets.
--
-- psql variables: figures, the file of "part, source, what, unit, turn, figure".

\set ON_ERROR_STOP on
\pset null ''
\pset footer off
\pset border 2
SET client_min_messages = warning;

CREATE TEMP TABLE figures (place serial, part text, source text, what text, unit text, turn integer,
	figure float8);
\set copy 'COPY figures (part, source, what, unit, turn, figure) FROM ' :'figures'
:copy;

CREATE TEMP TABLE medians AS
SELECT min(place) AS place, part, source, what, unit,
	percentile_cont(0.5) WITHIN GROUP (ORDER BY figure) AS median,
	min(figure) AS least, max(figure) AS most, count(*) AS runs
FROM figures GROUP BY part, source, what, unit;

\echo
\echo figures (medians)
SELECT part, source, what, round(median::numeric, 3) AS median, unit,
	round(least::numeric, 3) AS least, round(most::numeric, 3) AS most, runs
FROM medians ORDER BY place;

-- Each ratio is of two medians of one part; "sign" says on which side of the
-- target it should be.  A divisor that is NULL stands for 1.  Both are of the
-- same source, or of those that are named; those without a name are of any.
CREATE TEMP TABLE ratios (place serial, part text, meaning text, dividend text, divisor text,
	sign text, target float8, factor float8 DEFAULT 1, source text, divisor_source text);
INSERT INTO ratios (part, meaning, dividend, divisor, sign, target) VALUES
	('engine', 'best plain SELECT / read side', 'plain SELECT', 'read side', '>=', 12),
	('engine', 'read side / executor''s floor', 'read side', 'floor', '<=', 2.0),
	('engine', 'INSERT ... SELECT into long rows / end to end', 'plain INSERT into long rows', 'end to end', '>=', 30),
	('engine', 'best plain SELECT / end to end', 'plain SELECT', 'end to end', NULL, NULL),
	('engine', 're-run unchanged / end to end', 're-run', 'end to end', NULL, NULL),
	('engine', 'three granularities / one', 'three granularities', 'end to end', '<=', 1.3),
	('engine', 'bytes a result', 'bytes a result', NULL, '<=', 10),
	('engine', 'WAL bytes a result', 'WAL bytes a result', NULL, '<=', 14),
	('engine', 'a series, from view / long table', 'series from RuleExecutionResults, prepared',
		'series from long_results, prepared', '<=', 1.5),
	('engine', 'the same, planned each time', 'series from RuleExecutionResults, simple',
		'series from long_results, simple', '<=', 1.5),
	('engine', 'a bucket, from view / long table', 'bucket from RuleExecutionResults, prepared',
		'bucket from long_results, prepared', '<=', 1.5),
	('engine', 'the same, planned each time', 'bucket from RuleExecutionResults, simple',
		'bucket from long_results, simple', '<=', 1.5),
	('parallel', 'read side, 1 process / 2', 'read side, 1 process', 'read side, 2 processes', '>=', 1.7),
	('parallel', 'end to end, 1 process / 2', 'end to end, 1 process', 'end to end, 2 processes', NULL, NULL),
	('parallel', 'best plain SELECT, 1 or 2 processes / read side, 2', 'plain SELECT, 1 or 2 processes',
		'read side, 2 processes', NULL, NULL),
	('granularities', 'read side, 10 definitions / 1', 'read side, 10 definitions', 'read side, 1 definition', '<=', 1.5),
	('medians', 'best plain SELECT / read side, 7 aggregates and the median',
		'plain SELECT, 10 metrics, sum, avg, count, min, max, stddev, variance, median',
		'read side, 10 metrics, sum, avg, count, min, max, stddev, variance, median', '>=', 11),
	('medians', 'percentile_cont / read side, medians of 2 metrics', 'plain SELECT, 2 metrics, median',
		'read side, 2 metrics, median', '>=', 6),
	('rows', 'best plain SELECT / read side', 'plain SELECT, 10 of 10 names', 'read side, 10 of 10 names', '>=', 4),
	('rows', 'the same, half of the names', 'plain SELECT, 5 of 10 names', 'read side, 5 of 10 names', NULL, NULL),
	('wide', 'best plain SELECT / read side', 'plain SELECT', 'read side', NULL, NULL),
	('wide', 'best plain SELECT / read side, 10 of 300 columns', 'plain SELECT, 10 columns', 'read side, 10 columns', NULL, NULL),
	('groups', '64 MB / ample memory', 'read side, 64 MB', 'read side, ample memory', '<=', 3),
	('duckdb', 'DuckDB, 1 thread / read side, 1 process', 'DuckDB, 1 thread', 'read side, 1 process', '>=', 3),
	('duckdb', 'DuckDB, 2 threads / read side, 2 processes', 'DuckDB, 2 threads', 'read side, 2 processes', '>=', 2.2),
	('duckdb', 'DuckDB / read side, medians of 2 metrics', 'DuckDB, 2 medians', 'read side, 2 medians', '>=', 1.2);
INSERT INTO ratios (part, meaning, dividend, divisor, sign, target, factor, source) VALUES
	('engine', 'one query per metric, 10 / read side', 'one query per metric, for one', 'read side', NULL, NULL, 10, NULL),
	('wide', 'one query per metric, 50 / read side', 'one query per metric, for one', 'read side', '>=', 100, 50, 'wide-50'),
	('wide', 'one query per metric, 300 / read side', 'one query per metric, for one', 'read side', NULL, NULL, 300, 'wide-300');
INSERT INTO ratios (part, meaning, dividend, divisor, sign, target, source, divisor_source) VALUES
	('engine', 'read side, random / in order of time', 'read side', 'read side', '<=', 1.6, 'text-random', 'text-time'),
	('engine', 'read side, random / in order of time', 'read side', 'read side', '<=', 1.6, 'integer-random', 'integer-time'),
	('curves', 'read side, 4 times the rows', 'rows: ' || 4 * :rows, 'rows: ' || :rows, '<=', 4.2, 'text-time-4x', 'text-time');

\echo ratios
SELECT r.part, a.source, r.meaning AS ratio, round(v.value::numeric, 2) AS value,
	r.sign || ' ' || r.target AS target,
	CASE WHEN CASE r.sign WHEN '>=' THEN v.value >= r.target ELSE v.value <= r.target END
		THEN 'PASS' WHEN r.target IS NOT NULL THEN 'FAIL' END AS verdict
FROM ratios r
	JOIN medians a ON a.part = r.part AND a.what = r.dividend
		AND a.source = coalesce(r.source, a.source)
	LEFT JOIN medians b ON b.part = r.part AND b.what = r.divisor
		AND b.source = coalesce(r.divisor_source, a.source),
	LATERAL (SELECT r.factor * a.median / CASE WHEN r.divisor IS NULL THEN 1 ELSE b.median END)
		v(value)
WHERE r.divisor IS NULL OR b.what IS NOT NULL
ORDER BY min(a.place) OVER (PARTITION BY a.part), min(a.place) OVER (PARTITION BY a.part, a.source), r.place;
