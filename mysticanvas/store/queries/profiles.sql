-- name: get
-- `traced_at` is when it was traced or, within days, used since.
SELECT profile, traced_at AS used_at FROM model_profiles WHERE key = $key

-- name: save
INSERT OR REPLACE INTO model_profiles (key, model, profile, traced_at)
VALUES ($key, $model, $profile, $now)

-- name: note_used
UPDATE model_profiles SET traced_at = $now WHERE key = $key

-- name: prune
DELETE FROM model_profiles
WHERE traced_at < $before
  AND key NOT IN (SELECT key FROM model_profiles ORDER BY traced_at DESC LIMIT $least)
