-- name: get
SELECT profile FROM model_profiles WHERE key = $key

-- name: save
INSERT OR REPLACE INTO model_profiles (key, model, profile, traced_at)
VALUES ($key, $model, $profile, $now)
