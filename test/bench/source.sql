-- Makes the table "source", analyzed and in shared memory.
--
-- psql variables:
--   rows        how many
--   id_type     type of the entity's id
--   entities    how many there are to choose from
--   metrics     how many metric columns
--   heap_order  what the heap is ordered by: n (time) or random()
--   nulls       share of metric values that are NULL
--
-- There is a row every 0.2592 s: 10 million in 30 days.  An entity reports at
-- random, so that the number of rows in a group of an hour varies (14 on
-- average), and neighbours in the heap are of different entities.

SELECT format('CREATE TABLE source (entity_id %s NOT NULL, ts timestamptz NOT NULL, %s)',
	:'id_type', string_agg(format('m%s float8', m), ', ' ORDER BY m))
FROM generate_series(1, :metrics) m \gexec

SELECT setseed(0.5) \g /dev/null
SELECT format($$
	INSERT INTO source
	SELECT %s, '2024-01-01+00'::timestamptz + (n - 1) * interval '0.2592 s', %s
	FROM (SELECT n FROM generate_series(1, %s) n ORDER BY %s) o$$,
	CASE :'id_type' WHEN 'text'
		THEN format($$to_char(1 + floor(random() * %s), '"entity-"FM%s')$$,
			:entities, repeat('0', greatest(4, length(:'entities'))))
		ELSE format('1 + floor(random() * %s)', :entities) END,
	string_agg(CASE WHEN :nulls > 0
		THEN format('CASE WHEN random() >= %s THEN random() * 1000 END', :nulls)
		ELSE 'random() * 1000' END, ', '),
	:rows, :'heap_order')
FROM generate_series(1, :metrics) \gexec

-- So that the planner knows how many groups there will be.
CREATE STATISTICS source_groups_trunc ON entity_id, date_trunc('hour', ts) FROM source;
CREATE STATISTICS source_groups_zone ON entity_id, date_trunc('hour', ts, 'UTC') FROM source;
CREATE STATISTICS source_groups_bin
	ON entity_id, date_bin('1 hour', ts, '2000-01-01+00') FROM source;
VACUUM (FREEZE, ANALYZE) source;
