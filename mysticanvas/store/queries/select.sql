-- name: tree
SELECT json_serialize_sql($query::VARCHAR)

-- name: functions
-- The built-in ones that are part of an expression. Those of `pg_catalog` only look at the catalog,
-- and macros that an index or a user made are not built in.
SELECT function_name, bool_or(stability <> 'CONSISTENT' OR has_side_effects)
FROM duckdb_functions()
WHERE internal AND database_name = 'system' AND schema_name = 'main'
  AND function_type IN ('scalar', 'aggregate', 'macro')
GROUP BY function_name

-- name: documentation
SELECT
    unnest($view::VARCHAR[]) AS view, unnest($column::VARCHAR[]) AS "column",
    unnest($type::VARCHAR[]) AS type, unnest($description::VARCHAR[]) AS description
