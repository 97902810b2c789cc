-- Time partitions: tables partitioned by the range of one date or timestamp column.

-- The partition column of a table, if it is one that can be partitioned by time.
CREATE OR REPLACE FUNCTION trunkline_internal.time_partition_column(table_name regclass, OUT attname name, OUT atttypid oid) RETURNS record LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS
$$ SELECT a.attname, a.atttypid FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
   WHERE p.partrelid = $1 AND p.partstrat = 'r' AND p.partnatts = 1 AND a.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype) $$;

CREATE OR REPLACE FUNCTION trunkline.time_partition_range(table_name regclass, OUT lower_bound text, OUT upper_bound text) RETURNS record LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  relation pg_class;
  bound text;
BEGIN
  SELECT * INTO relation FROM pg_class WHERE oid = $1;
  IF NOT coalesce(relation.relispartition, false) THEN
    RAISE wrong_object_type USING MESSAGE = format('relation "%s" is not a partition', coalesce(relation.relname::text, $1::text));
  END IF;
  IF (SELECT p.partstrat <> 'r' OR p.partnatts <> 1 FROM pg_partitioned_table p JOIN pg_inherits i ON i.inhparent = p.partrelid WHERE i.inhrelid = $1) THEN
    RAISE feature_not_supported USING MESSAGE = format('relation "%s" is not a range partition by one column', relation.relname);
  END IF;
  bound := pg_get_expr(relation.relpartbound, $1);
  lower_bound := substring(bound, '^FOR VALUES FROM \(''([^'']*)''\)');
  upper_bound := substring(bound, ' TO \(''([^'']*)''\)$');
END $body$;

CREATE OR REPLACE VIEW trunkline.time_partitions AS
SELECT parent.oid::regclass AS parent_table, key.attname AS partition_column, part.oid::regclass AS partition,
       span.lower_bound AS from_value, span.upper_bound AS to_value, am.amname AS access_method
FROM pg_catalog.pg_class parent
JOIN LATERAL trunkline_internal.time_partition_column(parent.oid) key ON key.attname IS NOT NULL
JOIN pg_catalog.pg_inherits i ON i.inhparent = parent.oid
JOIN pg_catalog.pg_class part ON part.oid = i.inhrelid
LEFT JOIN pg_catalog.pg_am am ON am.oid = part.relam
JOIN LATERAL trunkline.time_partition_range(part.oid) span ON true
WHERE parent.relkind = 'p' AND part.relispartition
  AND parent.relnamespace <> ALL ((SELECT trunkline_internal.shard_namespaces())::oid[])
ORDER BY parent.oid::regclass::text, span.lower_bound;

-- The partitions of width partition_interval that are missing for [from_value, to_value). Their bounds are aligned with those of
-- the partitions there are, or, where there are none, with the calendar.
CREATE OR REPLACE FUNCTION trunkline.get_missing_time_partition_ranges(table_name regclass, partition_interval interval, to_value timestamptz, from_value timestamptz DEFAULT now())
  RETURNS TABLE (partition_name text, range_from_value text, range_to_value text) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  key record;
  name name;
  first timestamptz;
  last timestamptz;
  pattern text;
  unit text;
BEGIN
  SELECT relname INTO name FROM pg_class WHERE oid = $1;
  SELECT * INTO key FROM trunkline_internal.time_partition_column($1);
  IF key.attname IS NULL THEN
    RAISE wrong_object_type USING MESSAGE = format('%s is not partitioned by the range of one date or timestamp column', $1);
  END IF;
  IF partition_interval IS NULL OR partition_interval <= interval '0' THEN
    RAISE invalid_parameter_value USING MESSAGE = 'partition_interval must be positive';
  END IF;
  IF key.atttypid = 'date'::regtype AND partition_interval < interval '1 day' THEN
    RAISE invalid_parameter_value USING MESSAGE = 'partition_interval must be at least one day for a table partitioned by a date';
  END IF;
  IF NOT isfinite(to_value) OR NOT isfinite(from_value) THEN
    RAISE invalid_parameter_value USING MESSAGE = 'time partitions must begin and end at finite times';
  END IF;
  pattern := CASE WHEN partition_interval < interval '1 day' THEN 'YYYY_MM_DD_HH24MI'
                  WHEN partition_interval < interval '1 month' THEN 'YYYY_MM_DD'
                  WHEN partition_interval < interval '1 year' THEN 'YYYY_MM'
                  ELSE 'YYYY' END;
  IF partition_interval = interval '3 months' THEN
    pattern := 'YYYY"q"Q';
  ELSIF partition_interval = interval '1 week' THEN
    pattern := 'IYYY"w"IW';
  END IF;

  SELECT min(r.lower_bound::timestamptz) INTO first FROM pg_inherits i, trunkline.time_partition_range(i.inhrelid) r WHERE i.inhparent = $1;
  IF first IS NULL THEN
    unit := CASE WHEN partition_interval = interval '3 months' THEN 'quarter'
                 WHEN partition_interval = interval '1 week' THEN 'week'
                 WHEN partition_interval >= interval '1 year' THEN 'year'
                 WHEN partition_interval >= interval '1 month' THEN 'month'
                 WHEN partition_interval >= interval '1 day' THEN 'day'
                 WHEN partition_interval >= interval '1 hour' THEN 'hour'
                 ELSE 'minute' END;
    first := date_trunc(unit, from_value);
  END IF;
  WHILE first > from_value LOOP
    first := first - partition_interval;
  END LOOP;
  WHILE first + partition_interval <= from_value LOOP
    first := first + partition_interval;
  END LOOP;
  WHILE first < to_value LOOP
    last := first + partition_interval;
    IF NOT EXISTS (SELECT FROM pg_inherits i, trunkline.time_partition_range(i.inhrelid) r
                   WHERE i.inhparent = $1 AND r.lower_bound::timestamptz = first AND r.upper_bound::timestamptz = last) THEN
      IF EXISTS (SELECT FROM pg_inherits i, trunkline.time_partition_range(i.inhrelid) r
                 WHERE i.inhparent = $1 AND r.lower_bound IS NOT NULL AND r.lower_bound::timestamptz < last AND r.upper_bound::timestamptz > first) THEN
        RAISE invalid_object_definition USING MESSAGE = format('partition from %s to %s would overlap an existing partition of %s', first, last, $1),
          HINT = 'Use the interval that the existing partitions have.';
      END IF;
      partition_name := left(name, 63 - 18) || '_p' || to_char(first, pattern);
      range_from_value := CASE key.atttypid WHEN 'date'::regtype THEN first::date::text WHEN 'timestamp'::regtype THEN first::timestamp::text ELSE first::text END;
      range_to_value := CASE key.atttypid WHEN 'date'::regtype THEN last::date::text WHEN 'timestamp'::regtype THEN last::timestamp::text ELSE last::text END;
      RETURN NEXT;
    END IF;
    first := last;
  END LOOP;
END $$;
