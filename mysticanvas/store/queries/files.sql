-- name: original
SELECT image.seq, file.path FROM images AS image
JOIN generation_files AS file ON file.image_seq = image.seq AND file.kind = 'original'
WHERE image.id = $id AND image.deleted_at IS NULL

-- name: path_of
SELECT path FROM generation_files WHERE image_id = $id AND kind = 'original'

-- name: last_seq
SELECT coalesce(max(seq), 0) AS seq FROM images

-- name: without_thumbnails
-- One look at the files of a range of pictures, rather than a join for each kind.
WITH lacking AS (
    SELECT
        image_seq AS seq, any_value(image_id)::VARCHAR AS id,
        max(path) FILTER (kind = 'original') AS path
    FROM generation_files
    WHERE image_seq > $after AND image_seq <= $last
    GROUP BY image_seq
    HAVING count(DISTINCT kind) FILTER (kind IN (SELECT unnest($kinds::VARCHAR[]))) < len($kinds)
)
SELECT lacking.seq, lacking.id, lacking.path FROM lacking
SEMI JOIN (
    SELECT seq FROM images WHERE seq > $after AND seq <= $last AND deleted_at IS NULL
) AS present USING (seq)
ANTI JOIN (SELECT image_seq AS seq FROM thumbnail_failures) AS failed USING (seq)
WHERE lacking.path IS NOT NULL
ORDER BY lacking.seq

-- name: kinds_of
SELECT image_seq AS seq, kind FROM generation_files
WHERE image_seq IN (SELECT unnest($seqs::BIGINT[]))

-- name: insert
INSERT INTO generation_files (
    image_id, image_seq, kind, position, path, sha256, bytes, width, height, created_at
)
SELECT
    unnest($image_id::UUID[]), unnest($image_seq::BIGINT[]), unnest($kind::VARCHAR[]), 0,
    unnest($path::VARCHAR[]), unnest($sha256::VARCHAR[]), unnest($bytes::BIGINT[]),
    unnest($width::INTEGER[]), unnest($height::INTEGER[]), $now

-- name: insert_failures
INSERT INTO thumbnail_failures (image_seq, reason, failed_at)
SELECT seq, reason, $now
FROM (SELECT unnest($seqs::BIGINT[]) AS seq, unnest($reasons::VARCHAR[]) AS reason)
WHERE seq NOT IN (SELECT image_seq FROM thumbnail_failures)

-- name: failure
SELECT reason FROM thumbnail_failures WHERE image_seq = $seq

-- name: failures
SELECT image.id::VARCHAR AS id, failed.reason FROM thumbnail_failures AS failed
JOIN images AS image ON image.seq = failed.image_seq
WHERE image.deleted_at IS NULL
ORDER BY image.seq

-- name: forget_failures
DELETE FROM thumbnail_failures

-- name: usage
SELECT coalesce(sum(bytes), 0)::BIGINT AS bytes FROM generation_files

-- name: deleted
-- Deleted pictures that still have files.
SELECT image.id::VARCHAR AS id, image.seq, image.path FROM images AS image
SEMI JOIN generation_files AS file ON file.image_seq = image.seq
WHERE image.deleted_at IS NOT NULL AND image.deleted_at <= $before
ORDER BY image.seq
LIMIT $limit

-- name: deleted_and_there
-- Deleted pictures whose original may still be there: a file can be of use to another picture, and
-- what is to go may not be gone.
SELECT id::VARCHAR AS id FROM images
WHERE deleted_at IS NOT NULL
  AND path IN (SELECT path FROM generation_files UNION ALL SELECT path FROM doomed_files)

-- name: bytes_of_deleted
SELECT count(DISTINCT image_seq) AS images, coalesce(sum(bytes), 0)::BIGINT AS bytes
FROM generation_files
WHERE image_seq IN (SELECT seq FROM images WHERE deleted_at IS NOT NULL)

-- name: still_deleted
SELECT seq FROM images
WHERE seq IN (SELECT unnest($seqs::BIGINT[])) AND deleted_at IS NOT NULL

-- name: doom
INSERT INTO doomed_files (path)
SELECT DISTINCT path FROM generation_files
WHERE image_seq IN (SELECT unnest($seqs::BIGINT[]))
RETURNING path

-- name: delete_of
DELETE FROM generation_files WHERE image_seq IN (SELECT unnest($seqs::BIGINT[]))

-- name: doomed
SELECT path FROM doomed_files WHERE path > $after ORDER BY path LIMIT $limit

-- name: named
SELECT DISTINCT path FROM generation_files WHERE path IN (SELECT unnest($paths::VARCHAR[]))

-- name: forget_doomed
DELETE FROM doomed_files WHERE path IN (SELECT unnest($paths::VARCHAR[]))

-- name: paths
SELECT path FROM generation_files WHERE image_seq > $after AND image_seq <= $last

-- name: range
-- The files of a range of pictures; those of deleted ones are left out.
SELECT file.image_seq AS seq, file.image_id::VARCHAR AS id, file.kind, file.path
FROM generation_files AS file
SEMI JOIN (
    SELECT seq AS image_seq FROM images WHERE seq > $after AND seq <= $last AND deleted_at IS NULL
) AS present USING (image_seq)
WHERE file.image_seq > $after AND file.image_seq <= $last
ORDER BY file.image_seq

-- name: delete_paths
-- Never the original of a picture: a row without one would stand for nothing.
DELETE FROM generation_files
WHERE kind <> 'original' AND path IN (SELECT unnest($paths::VARCHAR[]))
RETURNING path

-- name: matching
SELECT id::VARCHAR AS id FROM images AS image WHERE {where} ORDER BY image.seq

-- name: bytes_of_matching
SELECT coalesce(sum(bytes), 0)::BIGINT AS bytes FROM generation_files
WHERE image_seq IN (SELECT seq FROM images AS image WHERE {where})

-- name: bytes_of
SELECT coalesce(sum(bytes), 0)::BIGINT AS bytes FROM generation_files
WHERE image_id IN (SELECT unnest($ids::VARCHAR[])::UUID)

-- name: unfinished_jobs
SELECT id::VARCHAR AS id FROM jobs
WHERE id IN (SELECT unnest($ids::UUID[])) AND status IN ('queued', 'running')
