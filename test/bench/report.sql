-- Prints the medians of the figures, and the ratios beside their targets.
--
-- psql variables: figures, the file of "source, what, turn, figure";
-- rows and metrics of a source.

\set ON_ERROR_STOP on
\pset null ''
\pset footer off
\pset border 2
SET client_min_messages = warning;

CREATE TEMP TABLE figures (source text, what text, turn integer, figure float8);
\set copy 'COPY figures FROM ' :'figures'
:copy;

CREATE TEMP TABLE medians AS
SELECT source, what, percentile_cont(0.5) WITHIN GROUP (ORDER BY figure) AS median,
	min(figure) AS least, max(figure) AS most, count(*) AS runs
FROM figures GROUP BY source, what;

CREATE TEMP TABLE contestants (place integer, what text, meaning text);
INSERT INTO contestants VALUES
	(1, 'floor', 'executor''s floor: sum of the last column'),
	(2, 'SQL select', 'best plain SQL, SELECT'),
	(3, 'original, one metric', 'one query per metric, for one metric'),
	(4, 'SQL insert', 'best plain SQL, INSERT ... SELECT into long rows'),
	(5, 'read side', 'batchagg, read side'),
	(6, 'end to end', 'batchagg, end to end into an empty store'),
	(7, 're-run', 'batchagg, re-run unchanged'),
	(8, 'three', 'batchagg, three granularities end to end');

\echo
\echo seconds (medians)
SELECT m.source, c.meaning AS contestant, round(m.median::numeric, 3) AS seconds,
	round(m.least::numeric, 3) AS least, round(m.most::numeric, 3) AS most, m.runs,
	round((m.median / f.median)::numeric, 2) AS "x floor",
	round((m.median / s.median)::numeric, 3) AS "x SQL select"
FROM medians m
	JOIN contestants c USING (what)
	LEFT JOIN medians f ON f.source = m.source AND f.what = 'floor'
	LEFT JOIN medians s ON s.source = m.source AND s.what = 'SQL select'
ORDER BY m.source <> (SELECT source FROM figures LIMIT 1), m.source, c.place;

\echo ways to write the plain SELECT (one run each)
SELECT source, substr(what, length('SQL select, variant ') + 1) AS variant,
	round(median::numeric, 2) AS seconds
FROM medians WHERE what LIKE 'SQL select, variant %'
ORDER BY source <> (SELECT source FROM figures LIMIT 1), source, median;

-- Each ratio is of two medians of one source; "sign" says on which side of the
-- target it should be.  A divisor that is NULL stands for 1.
CREATE TEMP TABLE ratios (place integer, meaning text, dividend text, divisor text,
	factor float8, sign text, target float8);
INSERT INTO ratios VALUES
	(1, 'best plain SELECT / read side', 'SQL select', 'read side', 1, '>=', 8),
	(2, 'read side / executor''s floor', 'read side', 'floor', 1, '<=', 2.6),
	(3, 'INSERT ... SELECT into long rows / end to end', 'SQL insert', 'end to end', 1, '>=', 20),
	(4, 'one query per metric, all metrics / read side', 'original, one metric', 'read side',
		:metrics, NULL, NULL),
	(5, 'best plain SELECT / end to end', 'SQL select', 'end to end', 1, NULL, NULL),
	(6, 're-run unchanged / end to end', 're-run', 'end to end', 1, NULL, NULL),
	(7, 'three granularities / one', 'three', 'end to end', 1, '<=', 1.3),
	(8, 'bytes a result', 'bytes a result', NULL, 1, '<=', 12),
	(9, 'a series, from view / long table', 'series from RuleExecutionResults, prepared',
		'series from long_results, prepared', 1, '<=', 1.5),
	(10, 'the same, planned each time', 'series from RuleExecutionResults, simple',
		'series from long_results, simple', 1, '<=', 1.5),
	(11, 'a bucket, from view / long table', 'bucket from RuleExecutionResults, prepared',
		'bucket from long_results, prepared', 1, '<=', 1.5),
	(12, 'the same, planned each time', 'bucket from RuleExecutionResults, simple',
		'bucket from long_results, simple', 1, '<=', 1.5);

\echo reading results (medians of averages of 1,000 reads)
SELECT split_part(what, ', ', 1) AS reading, split_part(what, ', ', 2) AS protocol,
	round(1000 * median::numeric, 3) AS ms
FROM medians WHERE what LIKE 'series from %' OR what LIKE 'bucket from %'
ORDER BY 2, what;

\echo ratios
SELECT a.source, r.meaning AS ratio, round(v.value::numeric, 2) AS value,
	r.sign || ' ' || r.target AS target,
	CASE WHEN CASE r.sign WHEN '>=' THEN v.value >= r.target ELSE v.value <= r.target END
		THEN 'PASS' WHEN r.target IS NOT NULL THEN 'FAIL' END AS verdict
FROM ratios r
	JOIN medians a ON a.what = r.dividend
	LEFT JOIN medians b ON b.what = r.divisor AND b.source = a.source,
	LATERAL (SELECT r.factor * a.median / CASE WHEN r.divisor IS NULL THEN 1 ELSE b.median END)
		v(value)
WHERE r.divisor IS NULL OR b.what IS NOT NULL
ORDER BY a.source <> (SELECT source FROM figures LIMIT 1), a.source, r.place;
