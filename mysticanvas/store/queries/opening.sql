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

-- name: suspicion
-- `repeated`: rows stand in the order of `seq`, as they were recorded. A log that is replayed twice
-- appends its rows again, and steps back. `unmatched`: the pictures and the original files are as
-- many and give the same checksum. Neither has to sort or to build a hash table.
SELECT
    EXISTS (
        FROM (SELECT seq, lag(seq) OVER () AS before FROM images) WHERE seq <= before
    ) OR EXISTS (
        FROM (SELECT seq, lag(seq) OVER () AS before FROM jobs) WHERE seq <= before
    ) AS repeated,
    (SELECT (count(*), bit_xor(hash(seq))) FROM images WHERE deleted_at IS NULL)
    IS DISTINCT FROM (
        SELECT (count(*), bit_xor(hash(image_seq))) FROM generation_files WHERE kind = 'original'
    ) AS unmatched

-- name: repeated
-- A row for every rule that repeated rows break.
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
SELECT 'jobs that are recorded twice', count(*) - count(DISTINCT id) FROM jobs
HAVING count(*) > count(DISTINCT id)

-- name: unmatched
-- Deleted pictures may be without: their files are removed first.
SELECT 'images without a file' AS what, count(*) AS rows
FROM (SELECT seq FROM images WHERE deleted_at IS NULL)
ANTI JOIN (SELECT image_seq AS seq FROM generation_files WHERE kind = 'original') USING (seq)
HAVING count(*) > 0

-- name: applied
SELECT version, name, checksum FROM schema_version ORDER BY version

-- name: record_migration
INSERT INTO schema_version (version, name, checksum, applied_at)
VALUES ($version, $name, $checksum, $now)
