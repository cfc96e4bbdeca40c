-- name: tables
SELECT table_name FROM duckdb_tables()
WHERE database_name = current_database() AND NOT internal

-- name: used_bytes
-- What the file must have at least: three headers, and the blocks that are in use.
SELECT 3 * 4096 + block_size * used_blocks AS bytes FROM pragma_database_size()
WHERE database_name = current_database()

-- name: mark
-- What the high-water mark holds.
SELECT
    (SELECT max(version) FROM schema_version) AS schema_version,
    (SELECT count(*) FROM images) AS images,
    (SELECT coalesce(max(seq), 0) FROM images) AS images_seq,
    (SELECT coalesce(max(seq), 0) FROM jobs) AS jobs_seq

-- name: damage
-- A row for every rule that the data breaks.
SELECT 'images that are recorded twice' AS what, count(*) - count(DISTINCT id) AS rows FROM images
HAVING rows > 0
UNION ALL
SELECT 'images with the same position', count(*) - count(DISTINCT seq) FROM images
HAVING count(*) > count(DISTINCT seq)
UNION ALL
SELECT 'images with the same place in a batch', count(*) - count(DISTINCT (job_id, batch_index))
FROM images
HAVING count(*) > count(DISTINCT (job_id, batch_index))
UNION ALL
-- The files of a deleted picture are removed some day, its row stays.
SELECT 'images without a file', count(*) FROM (SELECT seq FROM images WHERE deleted_at IS NULL)
ANTI JOIN (SELECT image_seq AS seq FROM generation_files WHERE kind = 'original') USING (seq)
HAVING count(*) > 0
UNION ALL
SELECT 'jobs that are recorded twice', count(*) - count(DISTINCT id) FROM jobs
HAVING count(*) > count(DISTINCT id)

-- name: applied
SELECT version, name, checksum FROM schema_version ORDER BY version

-- name: record_migration
INSERT INTO schema_version (version, name, checksum, applied_at)
VALUES ($version, $name, $checksum, $now)
