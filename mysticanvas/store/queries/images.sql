-- name: records
-- The rows that one of the queries below picks, with their original files. Rows are wide, so they
-- are fetched once they are picked, by `seq`, which a block's range tells apart.
SELECT
    image.id, image.seq, image.job_id, image.batch_index, image.project, image.parent,
    image.source, image.prompt, image.width, image.height, image.mode, image.seed, image.preset,
    image.request_hash, image.recipe_hash, image.pixels_sha256, image.recipe, image.created_at,
    file.path AS file_path, file.sha256 AS file_sha256, file.bytes AS file_bytes,
    file.width AS file_width, file.height AS file_height
FROM ({picked}) AS picked
JOIN images AS image ON image.seq = picked.seq
JOIN generation_files AS file ON file.image_seq = picked.seq AND file.kind = 'original'
ORDER BY image.seq DESC

-- name: by_id
SELECT seq FROM images WHERE id = $id AND deleted_at IS NULL

-- name: by_seqs
SELECT seq FROM images WHERE seq IN (SELECT unnest($seqs::BIGINT[])) AND deleted_at IS NULL

-- name: by_jobs
SELECT seq FROM images WHERE job_id = ANY($jobs::UUID[]) AND deleted_at IS NULL

-- name: by_request
-- The batch of the newest job of that request that still has all its pictures.
SELECT seq FROM images
WHERE deleted_at IS NULL AND job_id = (
    SELECT job_id FROM images
    WHERE request_hash = $request_hash AND deleted_at IS NULL
      AND ($project::VARCHAR IS NULL OR project = $project)
    GROUP BY job_id
    HAVING count(*) = max(batch_size)
    ORDER BY max(seq) DESC
    LIMIT 1
)

-- name: page
SELECT seq FROM images
WHERE seq < $before AND deleted_at IS NULL
  AND ($project::VARCHAR IS NULL OR project = $project)
  AND ($job::UUID IS NULL OR job_id = $job)
  AND ($recipe_hash::VARCHAR IS NULL OR recipe_hash = $recipe_hash)
ORDER BY seq DESC
LIMIT $limit

-- name: total
SELECT count(*) AS total FROM images
WHERE deleted_at IS NULL
  AND ($project::VARCHAR IS NULL OR project = $project)
  AND ($job::UUID IS NULL OR job_id = $job)
  AND ($recipe_hash::VARCHAR IS NULL OR recipe_hash = $recipe_hash)

-- name: by_part
SELECT id::VARCHAR AS id FROM images
WHERE deleted_at IS NULL AND ($project::VARCHAR IS NULL OR project = $project)
  AND (starts_with(id::VARCHAR, $part) OR ends_with(id::VARCHAR, $part))
LIMIT 2

-- name: known
SELECT id::VARCHAR AS id FROM images WHERE id = ANY($ids::UUID[])

-- name: last_seq
SELECT coalesce(max(seq), 0) AS seq FROM images

-- name: insert
-- One list a column: a hundred times faster than a statement a row.
INSERT INTO images (
    id, seq, job_id, batch_index, batch_size, project, parent, source, prompt, negative_prompt,
    preset, model_digest, pipeline, seed, width, height, mode, num_inference_steps,
    guidance_scale, scheduler, request_hash, recipe_hash, pixels_sha256, recipe, starred,
    created_at
)
SELECT
    unnest($id::UUID[]), unnest($seq::BIGINT[]), unnest($job_id::UUID[]),
    unnest($batch_index::INTEGER[]), unnest($batch_size::INTEGER[]), unnest($project::VARCHAR[]),
    unnest($parent::UUID[]), unnest($source::VARCHAR[]), unnest($prompt::VARCHAR[]),
    unnest($negative_prompt::VARCHAR[]), unnest($preset::VARCHAR[]),
    unnest($model_digest::VARCHAR[]), unnest($pipeline::VARCHAR[]), unnest($seed::UBIGINT[]),
    unnest($width::INTEGER[]), unnest($height::INTEGER[]), unnest($mode::VARCHAR[]),
    unnest($num_inference_steps::INTEGER[]), unnest($guidance_scale::DOUBLE[]),
    unnest($scheduler::VARCHAR[]), unnest($request_hash::VARCHAR[]),
    unnest($recipe_hash::VARCHAR[]), unnest($pixels_sha256::VARCHAR[]), unnest($recipe::JSON[]),
    FALSE, unnest($created_at::TIMESTAMP[])

-- name: insert_files
INSERT INTO generation_files (
    image_id, image_seq, kind, position, path, sha256, bytes, width, height, created_at
)
SELECT
    unnest($image_id::UUID[]), unnest($image_seq::BIGINT[]), unnest($kind::VARCHAR[]), 0,
    unnest($path::VARCHAR[]), unnest($sha256::VARCHAR[]), unnest($bytes::BIGINT[]),
    unnest($width::INTEGER[]), unnest($height::INTEGER[]), unnest($created_at::TIMESTAMP[])
