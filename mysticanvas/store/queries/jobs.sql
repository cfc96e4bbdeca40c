-- name: by_id
SELECT * EXCLUDE (request) FROM jobs WHERE id = $id

-- name: id_by_key
SELECT id::VARCHAR AS id FROM jobs WHERE idempotency_key = $key

-- name: request
SELECT request FROM jobs WHERE id = $id

-- name: by_part
SELECT id::VARCHAR AS id FROM jobs
WHERE (starts_with(id::VARCHAR, $part) OR ends_with(id::VARCHAR, $part))
  AND ($project::VARCHAR IS NULL OR project = $project OR internal)
LIMIT 2

-- name: page
-- Internal jobs belong to no project.
SELECT * EXCLUDE (request, task) FROM jobs
WHERE seq < $before
  AND ($status::VARCHAR IS NULL OR status = $status)
  AND ($kind::VARCHAR IS NULL OR kind = $kind)
  AND ($project::VARCHAR IS NULL OR project = $project OR internal)
  AND ($internal OR internal IS NOT TRUE)
ORDER BY seq DESC
LIMIT $limit

-- name: prompts
SELECT seq, prompt
FROM (
    SELECT seq, left(json_extract_string(task, '$.recipe.params.prompt'), $chars) AS prompt
    FROM jobs WHERE seq IN (SELECT unnest($seqs::BIGINT[]))
)
WHERE prompt IS NOT NULL

-- name: total
SELECT count(*) AS total FROM jobs
WHERE ($status::VARCHAR IS NULL OR status = $status)
  AND ($kind::VARCHAR IS NULL OR kind = $kind)
  AND ($project::VARCHAR IS NULL OR project = $project OR internal)
  AND ($internal OR internal IS NOT TRUE)

-- name: running
SELECT * EXCLUDE (request) FROM jobs WHERE status = 'running' ORDER BY seq

-- name: queued
SELECT seq FROM jobs WHERE status = 'queued' ORDER BY seq

-- name: waiting
-- All members of a task at once: it is parsed anew for each call, and parsed it is several times as
-- large.
SELECT id::VARCHAR AS id, seq, kind, priority <> 'interactive' AS background, not_before,
    coalesce(members[1], '') AS model,
    coalesce(
        try_cast(members[2] AS BIGINT) * try_cast(members[3] AS BIGINT)
        * try_cast(members[4] AS BIGINT), 0
    ) AS pixels
FROM (
    SELECT id, seq, kind, priority, not_before, json_extract_string(task, [
        '$.model.digest',
        '$.recipe.params.width',
        '$.recipe.params.height',
        '$.recipe.params.num_images'
    ]) AS members
    FROM jobs WHERE status = 'queued' AND seq BETWEEN $first AND $last
)

-- name: last_seq
SELECT coalesce(max(seq), 0) AS seq FROM jobs

-- name: claim
UPDATE jobs
SET status = 'running', attempts = attempts + 1, started_at = $now, not_before = NULL,
    runner = $runner, heartbeat_at = $now
WHERE id = $id AND status = 'queued'

-- name: heartbeat
UPDATE jobs SET heartbeat_at = $now WHERE id = $id AND status = 'running'

-- name: requeue
UPDATE jobs
SET status = 'queued', not_before = $not_before, failures = $failures, runner = NULL
WHERE id = $id AND attempts = $attempt AND status = 'running'

-- name: notice
UPDATE jobs SET notices = $notices
WHERE id = $id AND attempts = $attempt AND status = 'running'

-- name: finish
UPDATE jobs
SET status = $status, error = $error, failures = $failures, finished_at = $now
WHERE id = $id AND attempts = $attempt AND status = 'running'

-- name: succeed
UPDATE jobs
SET status = 'succeeded', matched = $matched, result = $result, finished_at = $now
WHERE id = $id AND attempts = $attempt AND status = 'running'

-- name: cancel_queued
UPDATE jobs
SET status = 'cancelled', error = $error, not_before = NULL, finished_at = $now
WHERE id = $id AND status = 'queued'

-- name: prune
-- The last row stays, since the high-water mark holds its seq.
DELETE FROM jobs
WHERE id IN (
    SELECT id FROM jobs AS old
    WHERE internal AND finished_at < $before AND seq < (SELECT max(seq) FROM jobs)
      AND NOT EXISTS (FROM images WHERE images.job_id = old.id)
      AND NOT EXISTS (FROM jobs AS later WHERE later.result_of = old.id)
    ORDER BY seq
    LIMIT $limit
)
