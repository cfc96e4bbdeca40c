-- name: records
-- Whole rows with their original files. They are wide and may lie anywhere, so they are fetched
-- by `seq`, once they are picked. The numbers are written into the statement, and each table has
-- them of its own: only a list of constants lets DuckDB pass over the blocks that hold none.
SELECT
    image.id::VARCHAR AS id, image.seq, image.job_id::VARCHAR AS job_id, image.batch_index,
    image.project, image.parent::VARCHAR AS parent, image.source, image.prompt, image.width,
    image.height, image.mode, image.seed, image.preset, image.style, image.starred, image.rating,
    image.request_hash, image.created_at, image.caption, image.recipe_hash, image.pixels_sha256, image.recipe,
    file.path AS file_path, file.sha256 AS file_sha256, file.bytes AS file_bytes,
    file.width AS file_width, file.height AS file_height
FROM images AS image
JOIN generation_files AS file ON file.image_seq = image.seq AND file.kind = 'original'
WHERE {images} AND {files}

-- name: cards
SELECT
    image.id::VARCHAR AS id, image.seq, image.job_id::VARCHAR AS job_id, image.batch_index,
    image.project, image.parent::VARCHAR AS parent, image.source, image.prompt, image.width,
    image.height, image.mode, image.seed, image.preset, image.style, image.starred, image.rating,
    image.request_hash, image.created_at, image.path
FROM images AS image
WHERE {condition}

-- name: pick
SELECT image.seq FROM images AS image WHERE {condition} ORDER BY image.seq {order} LIMIT {limit}

-- name: pick_tagged
SELECT image_seq AS seq FROM image_tags WHERE {condition}
GROUP BY image_seq HAVING count(DISTINCT tag_id) = {count}
ORDER BY image_seq {order} LIMIT {limit}

-- name: count
SELECT count(*) AS total FROM images AS image WHERE {condition}

-- name: seqs
SELECT seq FROM images WHERE {column} IN ({ids}) AND deleted_at IS NULL

-- name: by_request
-- Every picture of that request; the newest complete batch of them is chosen outside.
SELECT seq, job_id, batch_size FROM images
WHERE request_hash = $request_hash AND deleted_at IS NULL
  AND ($project::VARCHAR IS NULL OR project = $project)
  AND ($dtype::VARCHAR IS NULL OR (recipe->>'$.environment.dtype') = $dtype)
  AND ($allowed::VARCHAR[] IS NULL
    OR list_has_all($allowed, coalesce((recipe->'$.mitigations')::VARCHAR[], [])))

-- name: by_head
-- Between the smallest and the largest id with that head, so that the key's order helps.
SELECT id::VARCHAR AS id FROM images
WHERE id >= $first::UUID AND id <= $last::UUID AND deleted_at IS NULL
  AND ($project::VARCHAR IS NULL OR project = $project)
LIMIT 2

-- name: by_tail
SELECT id::VARCHAR AS id FROM images
WHERE ends_with(id::VARCHAR, $part) AND deleted_at IS NULL
  AND ($project::VARCHAR IS NULL OR project = $project)
LIMIT 2

-- name: change
UPDATE images SET starred = coalesce($starred, starred), rating = coalesce($rating, rating)
WHERE id = $id::UUID AND deleted_at IS NULL

-- name: there
-- A join, since a list of thousands would be gone through for every row.
SELECT id::VARCHAR AS id FROM images
WHERE id IN (SELECT unnest($ids::VARCHAR[])::UUID) AND deleted_at IS NULL

-- name: known
SELECT id::VARCHAR AS id FROM images WHERE id IN (SELECT unnest($ids::VARCHAR[])::UUID)

-- name: delete
UPDATE images AS image SET deleted_at = $now
WHERE id IN (SELECT unnest($ids::UUID[])) AND deleted_at IS NULL AND {condition}
RETURNING seq, id::VARCHAR AS id

-- name: restore
UPDATE images SET deleted_at = NULL
WHERE id IN (SELECT unnest($ids::UUID[])) AND deleted_at IS NOT NULL
  AND seq IN (SELECT image_seq FROM generation_files WHERE kind = 'original')
RETURNING seq, id::VARCHAR AS id

-- name: last_seq
SELECT coalesce(max(seq), 0) AS seq FROM images
