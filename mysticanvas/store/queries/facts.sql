-- name: by_name
SELECT value FROM facts WHERE name = $name

-- name: save
INSERT INTO facts (name, value, updated_at) VALUES ($name, $value, $now)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
