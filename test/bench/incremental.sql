-- Prints the medians of the figures of incremental runs, and the ratios beside
-- their targets.
--
-- psql variables: figures, the file of "part, setting, history, what, turn,
-- figure"; times, how many times as long the long history is.

\set ON_ERROR_STOP on
\pset null ''
\pset footer off
\pset border 2
SET client_min_messages = warning;

CREATE TEMP TABLE figures (part text, setting text, history integer, what text, turn integer, figure float8);
\set copy 'COPY figures FROM ' :'figures'
:copy;

CREATE TEMP TABLE medians AS
SELECT part, setting, history, what, percentile_cont(0.5) WITHIN GROUP (ORDER BY figure) AS median,
	min(figure) AS least, max(figure) AS most, count(*) AS runs
FROM figures GROUP BY part, setting, history, what;

-- The full runs that find nothing are the same in every setting.
INSERT INTO medians
SELECT part, 'untracked', history, what, percentile_cont(0.5) WITHIN GROUP (ORDER BY figure),
	min(figure), max(figure), count(*)
FROM figures WHERE what LIKE 'nothing, full%' GROUP BY part, history, what;

CREATE TEMP TABLE settings (place integer, setting text, meaning text);
INSERT INTO settings VALUES
	(0, 'untracked', 'untracked'),
	(1, 'log-time', 'log, index (ts)'),
	(2, 'log-bucket', 'log by bucket, index (ts)'),
	(3, 'log-entity', 'log, index (entity_id, ts)'),
	(4, 'snapshot-brin', 'snapshot, BRIN'),
	(5, 'snapshot-btree', 'snapshot, B-tree');

\echo
\echo seconds (medians; rows read and groups changed by the run, WAL in kB)
SELECT m.part, s.meaning AS setting, m.history AS history, m.what,
	round(m.median::numeric, 4) AS seconds, round(m.least::numeric, 4) AS least,
	round(m.most::numeric, 4) AS most, m.runs, round(p.median::numeric, 4) AS processor,
	r.median AS "rows read", c.median AS changed, round(w.median / 1024) AS "WAL"
FROM medians m
	JOIN settings s USING (setting)
	JOIN medians w ON (w.part, w.setting, w.history, w.what) = (m.part, m.setting, m.history, m.what || ', WAL')
	JOIN medians p ON (p.part, p.setting, p.history, p.what) = (m.part, m.setting, m.history, m.what || ', CPU')
	LEFT JOIN medians r ON (r.part, r.setting, r.history, r.what) = (m.part, m.setting, m.history, m.what || ', rows read')
	LEFT JOIN medians c ON (c.part, c.setting, c.history, c.what) = (m.part, m.setting, m.history, m.what || ', changed')
ORDER BY m.part, m.history, s.place, m.what NOT LIKE 'nothing%', m.what;

\echo single-row INSERTs a second (medians)
SELECT s.meaning AS setting, split_part(m.what, ', ', 2) AS clients, split_part(m.what, ', ', 3) AS "with",
	round(m.median) AS tps, round(m.least) AS least, round(m.most) AS most, m.runs,
	round(1e6 * p.median) AS "processor us for one"
FROM medians m JOIN settings s USING (setting)
	JOIN medians p ON (p.part, p.setting, p.what) = (m.part, m.setting, m.what || ', CPU')
WHERE m.what ~ '^tps, [^,]*, [^,]*$'
ORDER BY 3 DESC, 2, s.place;

-- Each value is factor * a / b of two medians; "sign" says on which side of the
-- target it should be.  A divisor that is NULL stands for 1.
CREATE TEMP TABLE ratios (place serial, meaning text, unit text, part text, setting text, history integer,
	dividend text, divisor_setting text, divisor_history integer, divisor text,
	factor float8, sign text, target float8);

-- Shares of a full run that finds changes of the same kind.
INSERT INTO ratios (meaning, unit, part, setting, history, dividend, divisor_setting, divisor_history, divisor,
	factor, sign, target)
SELECT format('%s: share of a full run', v.meaning), '%', v.part, s.setting, 1, v.kind || ', run', s.setting, 1,
	v.kind || ', full', 100, CASE WHEN t.target IS NOT NULL THEN '<=' END, t.target
FROM (VALUES (1, 'late', 'hour', 'late rows of one hour'), (2, 'late', 'scattered', 'late rows scattered'),
		(3, 'steady', 'next', 'the next hour, of 1-hour, 1-day and 1-week'))
		v(place, part, kind, meaning)
	CROSS JOIN settings s
	LEFT JOIN (VALUES ('hour', 'log-time', 1), ('scattered', 'log-time', 60), ('scattered', 'log-entity', 5),
			('scattered', 'snapshot-brin', 5), ('scattered', 'snapshot-btree', 5)) t(kind, setting, target)
		ON (t.kind, t.setting) = (v.kind, s.setting)
ORDER BY v.place, s.place;

INSERT INTO ratios (meaning, unit, part, setting, history, dividend, factor, sign, target)
SELECT 'nothing new', 'ms', 'late', setting, 1, 'nothing, run', 1000, '<=', 5
FROM settings WHERE place > 0 ORDER BY place;

INSERT INTO ratios (meaning, unit, part, setting, history, dividend, divisor_setting, divisor_history, divisor,
	factor, sign, target)
SELECT format('%s: %s times the history', v.meaning, :'times'), 'x', 'late', s.setting, :times, v.kind || ', run',
	s.setting, 1, v.kind || ', run', 1, '<=', 1.2
FROM (VALUES (1, 'hour', 'late rows of one hour'), (2, 'scattered', 'late rows scattered'),
		(3, 'nothing', 'nothing new')) v(place, kind, meaning)
	CROSS JOIN settings s
WHERE :times > 1
ORDER BY v.place, s.place;

-- The cost of the writers.
INSERT INTO ratios (meaning, unit, part, setting, history, dividend, divisor_setting, divisor_history, divisor,
	factor, sign, target)
SELECT v.meaning || ': tracked / untracked', 'x', 'writes', s.setting, 1, v.what, 'untracked', 1, v.what,
	1, v.sign, v.target
FROM (VALUES (1, 'COPY', 'COPY of 1,000,000 rows', '<=', 1.05),
		(2, 'tps, 1, fsync on', 'INSERTs a second, 1 client', '>=', 0.95),
		(3, 'tps, 2, fsync on', 'INSERTs a second, 2 clients', '>=', 0.95),
		(4, 'tps, 1, fsync off', 'INSERTs a second, 1 client, fsync off', '>=', 0.95),
		(5, 'tps, 2, fsync off', 'INSERTs a second, 2 clients, fsync off', '>=', 0.95))
		v(place, what, meaning, sign, target)
	CROSS JOIN settings s
WHERE s.place > 0
ORDER BY v.place, s.place;

INSERT INTO ratios (meaning, unit, part, setting, history, dividend, divisor_setting, divisor_history, divisor, factor)
SELECT 'INSERT of scattered rows: tracked / untracked', 'x', 'writes', s.setting, 1, 'scattered',
	'untracked', 1, 'scattered', 1
FROM settings s WHERE s.place > 0 ORDER BY s.place;

-- Marks by bucket and marks by bucket and entity.
INSERT INTO ratios (meaning, unit, part, setting, history, dividend, divisor_setting, divisor_history, divisor, factor)
VALUES ('scattered, run: by bucket / by bucket and entity', 'x', 'late', 'log-bucket', 1, 'scattered, run',
		'log-time', 1, 'scattered, run', 1),
	('scattered, writer: by bucket / by bucket and entity', 'x', 'writes', 'log-bucket', 1, 'scattered',
		'log-time', 1, 'scattered', 1);

-- What a run writes that finds nothing.  Of these the most counts.
INSERT INTO ratios (meaning, unit, part, setting, history, dividend, factor, sign, target)
SELECT v.meaning, v.unit, 'late', s.setting, 1, CASE s.place WHEN 0 THEN 'nothing, full, ' ELSE 'nothing, run, ' END || v.what,
	1, v.sign, v.target
FROM (VALUES (1, 'store bytes', 'nothing new: growth of the store', 'bytes', '<=', 0),
		(2, 'store rows', 'nothing new: rows of the store written', '', '<=', 0),
		(3, 'WAL', 'nothing new: WAL of the whole run', 'bytes', NULL, NULL)) v(place, what, meaning, unit, sign, target)
	CROSS JOIN settings s
ORDER BY v.place, s.place;

\echo targets
SELECT r.meaning, s.meaning AS setting,
	round(v.value::numeric, CASE WHEN r.unit = 'bytes' OR r.unit = '' THEN 0 ELSE 2 END) || ' ' || r.unit AS value,
	r.sign || ' ' || r.target || ' ' || r.unit AS target,
	CASE WHEN CASE r.sign WHEN '>=' THEN v.value >= r.target ELSE v.value <= r.target END
		THEN 'PASS' WHEN r.target IS NOT NULL THEN 'FAIL' END AS verdict,
	round((r.factor * CASE WHEN r.dividend LIKE 'tps, %' THEN q.median / p.median ELSE p.median / coalesce(q.median, 1) END)
		::numeric, 2) AS "by processor"
FROM ratios r
	JOIN settings s USING (setting)
	JOIN medians a ON (a.part, a.setting, a.history, a.what) = (r.part, r.setting, r.history, r.dividend)
	LEFT JOIN medians b
		ON (b.part, b.setting, b.history, b.what) = (r.part, r.divisor_setting, r.divisor_history, r.divisor)
	LEFT JOIN medians p ON (p.part, p.setting, p.history, p.what) = (a.part, a.setting, a.history, a.what || ', CPU')
	LEFT JOIN medians q ON (q.part, q.setting, q.history, q.what) = (b.part, b.setting, b.history, b.what || ', CPU'),
	LATERAL (SELECT r.factor * CASE WHEN r.dividend LIKE '%, store %' THEN a.most ELSE a.median END
		/ CASE WHEN r.divisor IS NULL THEN 1 ELSE b.median END) v(value)
WHERE r.divisor IS NULL OR b.what IS NOT NULL
ORDER BY r.place;
