-- Sample data for chapter 2: the counters that 24 radio cells in Berlin report
-- every 15 minutes, for five weeks from Monday 2024-10-07.  On 2024-10-27 the
-- clocks go back, so that day has 25 hours.
--
-- The data are made up but behave like real ones: cells of homes, offices and a
-- railway station with their own days and weekends, reports that never come,
-- counters that are NULL, and reports that arrive hours late, so that the
-- table is not in the order of time.  They are the same each time: all chance
-- comes from a hash of cell and time.

-- The i-th number in [0,1) that a hash holds.
CREATE FUNCTION pg_temp.chance(hash bytea, i integer) RETURNS float8
LANGUAGE sql IMMUTABLE
RETURN (get_byte(hash, 2 * i) * 256 + get_byte(hash, 2 * i + 1)) / 65536.0;

-- A bell of height 1 around `at` hours of the day.
CREATE FUNCTION pg_temp.bell(hour float8, at float8, width float8) RETURNS float8
LANGUAGE sql IMMUTABLE
RETURN exp(-(((hour - at) / width) ^ 2));

\echo
\echo '== 2. Key figures of 24 radio cells ==========================================='
\echo
\echo 'The source: 12 counters every 15 minutes for five weeks, in which summer time'
\echo 'ends.'

CREATE TABLE cell_kpi
(
	cell_id text NOT NULL,
	time timestamptz NOT NULL,		-- start of the 15 minutes
	rrc_attempts integer,			-- connections asked for, and made
	rrc_success integer,
	erab_attempts integer,			-- bearers asked for, and set up
	erab_success integer,
	drops integer,					-- bearers lost
	handover_attempts integer,
	handover_success integer,
	traffic_dl_mb float8,
	traffic_ul_mb float8,
	prb_dl_percent float8,			-- radio blocks in use
	users_active float8,
	throughput_dl_mbps float8		-- of one user
);

INSERT INTO cell_kpi
WITH cell AS
(
	SELECT format('B%s-%s', lpad(site::text, 2, '0'), sector) AS cell_id,
		(ARRAY['home', 'office', 'station'])[1 + site % 3] AS kind,
		0.55 + 0.6 * pg_temp.chance(sha256(format('%s/%s', site, sector)::bytea), 0) AS size
	FROM generate_series(1, 8) site, generate_series(1, 3) sector
),
-- MATERIALIZED: else hash and load would be computed again at each use.
report AS MATERIALIZED
(
	SELECT cell.*, time,
		sha256(format('%s/%s', cell_id, extract(epoch FROM time)::bigint)::bytea) AS hash,
		extract(isodow FROM local) > 5 AS weekend,
		(extract(epoch FROM local::time) / 3600)::float8 AS hour
	FROM cell,
		generate_series(timestamptz '2024-10-07 00:00 Europe/Berlin',
						timestamptz '2024-11-10 23:45 Europe/Berlin', '15 minutes') time,
		LATERAL (SELECT time AT TIME ZONE 'Europe/Berlin' AS local) clock
),
busy AS MATERIALIZED
(
	SELECT report.*,
		size * (0.85 + 0.3 * pg_temp.chance(hash, 0)) *
		CASE kind
			WHEN 'home' THEN
				(0.10 + 0.25 * pg_temp.bell(hour, 12.5, 4) + 0.75 * pg_temp.bell(hour, 20.5, 3))
				* CASE WHEN weekend THEN 1.15 ELSE 1 END
			WHEN 'office' THEN
				(0.05 + 0.9 * pg_temp.bell(hour, 11, 2.5) + 0.7 * pg_temp.bell(hour, 15, 2.5))
				* CASE WHEN weekend THEN 0.25 ELSE 1 END
			ELSE
				(0.08 + 0.9 * pg_temp.bell(hour, 8, 1.3) + 0.95 * pg_temp.bell(hour, 17.5, 1.8))
				* CASE WHEN weekend THEN 0.6 ELSE 1 END
		END AS load
	FROM report
),
demand AS
(
	SELECT busy.*,
		round(40 + 1900 * load * (0.9 + 0.2 * pg_temp.chance(hash, 1))) AS rrc,
		round(30 + 1500 * load * (0.9 + 0.2 * pg_temp.chance(hash, 2))) AS erab,
		round(12 + 420 * load * (0.8 + 0.4 * pg_temp.chance(hash, 3))) AS handover,
		-- The share that fails: little, but more where the cell is full.
		0.003 + 0.03 * greatest(load - 0.75, 0) AS failing
	FROM busy
)
SELECT cell_id, time,
	rrc,
	rrc - round(rrc * failing * 2 * pg_temp.chance(hash, 4)),
	erab,
	erab - round(erab * failing * 2 * pg_temp.chance(hash, 5)),
	round(erab * failing * pg_temp.chance(hash, 6)),
	CASE WHEN cell_id <> 'B08-3' THEN handover END,		-- has no neighbours
	CASE WHEN cell_id <> 'B08-3' THEN handover - round(handover * failing * 3 * pg_temp.chance(hash, 7)) END,
	round((2600 * load * (0.8 + 0.4 * pg_temp.chance(hash, 8)))::numeric, 1),
	round((310 * load * (0.7 + 0.6 * pg_temp.chance(hash, 9)))::numeric, 1),
	CASE WHEN pg_temp.chance(hash, 10) >= 0.01
		THEN round(least(100, 4 + 82 * load * (0.9 + 0.2 * pg_temp.chance(hash, 10)))::numeric, 1) END,
	round((3 + 95 * load * (0.9 + 0.2 * pg_temp.chance(hash, 11)))::numeric, 2),
	CASE WHEN pg_temp.chance(hash, 12) >= 0.02
		THEN round((62 / (1 + 2.5 * load) * (0.8 + 0.4 * pg_temp.chance(hash, 12)))::numeric, 2) END
FROM demand
WHERE cell_id = 'B01-1'									-- reports without fail
	OR pg_temp.chance(hash, 13) >= 0.004				-- reports that never come
	AND NOT (cell_id LIKE 'B05-%'						-- a site without power
			 AND time >= '2024-10-16 02:00 Europe/Berlin'
			 AND time < '2024-10-16 05:30 Europe/Berlin')
-- The order of arrival: one report in fifty comes up to eight hours late.
ORDER BY time + CASE WHEN pg_temp.chance(hash, 14) < 0.02
				THEN pg_temp.chance(hash, 15) * interval '8 hours' ELSE '0' END,
	cell_id;

ANALYZE cell_kpi;
