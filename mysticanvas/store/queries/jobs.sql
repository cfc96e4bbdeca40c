-- name: by_id
SELECT * FROM jobs WHERE id = $id

-- name: by_key
SELECT * FROM jobs WHERE idempotency_key = $key

-- name: by_part
SELECT id::VARCHAR AS id FROM jobs
WHERE starts_with(id::VARCHAR, $part) OR ends_with(id::VARCHAR, $part)
LIMIT 2

-- name: newest
SELECT * FROM jobs
WHERE ($status::VARCHAR IS NULL OR status = $status)
  AND ($project::VARCHAR IS NULL OR project = $project)
ORDER BY seq DESC
LIMIT $limit

-- name: running
SELECT * FROM jobs WHERE status = 'running' ORDER BY seq

-- name: insert
INSERT INTO jobs (
    id, seq, kind, status, project, priority, request, task, request_hash, request_id,
    idempotency_key, attempts, notices, error, matched, reused, result_of,
    created_at, started_at, finished_at
)
SELECT
    $id, (SELECT coalesce(max(seq), 0) + 1 FROM jobs), $kind, $status, $project, $priority,
    $request, $task, $request_hash, $request_id, $idempotency_key, $attempts, $notices, $error,
    $matched, $reused, $result_of, $created_at, $started_at, $finished_at
RETURNING *

-- name: claim
-- Interactive jobs come first, then the older one.
UPDATE jobs
SET status = 'running', attempts = attempts + 1, started_at = $now, not_before = NULL
WHERE id = (
    SELECT id FROM jobs
    WHERE status = 'queued' AND (not_before IS NULL OR not_before <= $now)
    ORDER BY priority <> 'interactive', seq
    LIMIT 1
)
RETURNING *

-- name: requeue
UPDATE jobs
SET status = 'queued', not_before = $not_before
WHERE id = $id AND attempts = $attempt AND status = 'running'
RETURNING id

-- name: finish
UPDATE jobs
SET status = $status, error = $error, matched = $matched, finished_at = $now
WHERE id = $id AND attempts = $attempt AND status = 'running'
RETURNING *

-- name: cancel_queued
UPDATE jobs
SET status = 'cancelled', not_before = NULL, finished_at = $now
WHERE id = $id AND status = 'queued'
RETURNING *

-- name: position
SELECT count(*) FILTER (
    (other.priority <> 'interactive', other.seq) < (job.priority <> 'interactive', job.seq)
) AS position
FROM jobs AS job, jobs AS other
WHERE job.id = $id AND job.status = 'queued' AND other.status = 'queued'
GROUP BY job.id

-- name: next_due
SELECT min(coalesce(not_before, $now)) AS due FROM jobs WHERE status = 'queued'

-- name: counts
SELECT status, count(*) AS jobs FROM jobs GROUP BY status
