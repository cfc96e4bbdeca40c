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
    updated_at = excluded.updated_at, deleted_at = NULL, vram_weights_mib = NULL, weighed = NULL
WHERE model <> excluded.model OR settings <> excluded.settings OR deleted_at IS NOT NULL

-- name: describe
UPDATE presets SET architecture = $architecture
WHERE kind = $kind AND name = $name AND architecture IS DISTINCT FROM $architecture

-- name: weigh
UPDATE presets SET vram_weights_mib = $mib, weighed = $weighed
WHERE kind = $kind AND name = $name AND revision = $revision

-- name: measured
UPDATE presets SET vram_weights_mib = $mib
WHERE kind = $kind AND name = $name AND revision = $revision

-- name: weighed
SELECT name, weighed FROM presets WHERE kind = $kind AND deleted_at IS NULL

-- name: keep_revision
INSERT INTO preset_revisions (kind, name, revision, model, settings, created_at)
SELECT kind, name, revision, model, settings, updated_at FROM presets
WHERE kind = $kind AND name = $name
ON CONFLICT DO NOTHING

-- name: delete
UPDATE presets SET deleted_at = $now WHERE kind = $kind AND name = $name AND deleted_at IS NULL

-- name: revisions
SELECT *, NULL AS architecture, NULL AS vram_weights_mib FROM preset_revisions
WHERE kind = $kind AND name = $name ORDER BY revision

-- name: files
SELECT files FROM preset_files
WHERE kind = $kind AND name = $name AND revision = $revision
ORDER BY seen_at DESC LIMIT 1

-- name: keep_files
INSERT OR REPLACE INTO preset_files (kind, name, revision, digest, files, seen_at)
VALUES ($kind, $name, $revision, $digest, $files, $now)
