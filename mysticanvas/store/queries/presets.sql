-- name: by_name
SELECT * FROM presets WHERE kind = $kind AND name = $name AND deleted_at IS NULL

-- name: all
SELECT * FROM presets WHERE kind = $kind AND deleted_at IS NULL ORDER BY name

-- name: save
-- The same preset again changes nothing, its revision least of all.
INSERT INTO presets (kind, name, revision, model, settings, created_at, updated_at)
VALUES ($kind, $name, 1, $model, $settings, $now, $now)
ON CONFLICT (kind, name) DO UPDATE
SET revision = revision + 1, model = excluded.model, settings = excluded.settings,
    updated_at = excluded.updated_at, deleted_at = NULL
WHERE model <> excluded.model OR settings <> excluded.settings OR deleted_at IS NOT NULL
