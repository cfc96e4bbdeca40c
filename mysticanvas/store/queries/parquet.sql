-- name: columns
SELECT column_name AS name, data_type IN ('VARCHAR', 'JSON') AS is_text FROM duckdb_columns()
WHERE database_name = $catalog AND schema_name = 'main' AND table_name = $table

-- name: blocks
SELECT block, sum(bytes)::BIGINT AS bytes FROM ({values}) GROUP BY block ORDER BY block
