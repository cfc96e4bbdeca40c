-- name: last
SELECT coalesce(max(seq), 0) AS seq FROM memory_measurements

-- name: of_key
SELECT * EXCLUDE (seq) FROM memory_measurements WHERE key = $key ORDER BY seq DESC LIMIT $most

-- name: seconds
-- Of the newest jobs of a kind, however many phases each has.
SELECT any_value(run_seconds) AS seconds FROM memory_measurements
WHERE run_key = $run_key AND run_seconds IS NOT NULL
GROUP BY job_id ORDER BY max(seq) DESC LIMIT $most

-- name: newest
-- The run that the oldest of them is of comes whole.
WITH newest AS (
    SELECT seq, job_id, attempt FROM memory_measurements ORDER BY seq DESC LIMIT $most
),
oldest AS (SELECT seq, job_id, attempt FROM newest ORDER BY seq LIMIT 1)
SELECT each.* EXCLUDE (seq) FROM memory_measurements AS each, oldest
WHERE each.seq >= oldest.seq
   OR (each.job_id = oldest.job_id AND each.attempt = oldest.attempt)
ORDER BY each.seq DESC

-- name: drop_old
DELETE FROM memory_measurements WHERE seq <= $seq

-- name: accuracy
-- A row for all, and one for each device and preset.
SELECT
    device, preset, count(*) AS phases, avg(abs(deviation)) AS mean,
    arg_max(deviation, abs(deviation)) AS worst, avg((deviation < 0)::INTEGER) AS under
FROM (
    SELECT device, preset, corrected / actual - 1 AS deviation FROM memory_measurements
    WHERE corrected IS NOT NULL AND actual > 0 AND NOT at_least
)
GROUP BY GROUPING SETS ((), (device, preset))
HAVING count(*) > 0
ORDER BY GROUPING(device) DESC, device, preset
