-- name: images
-- The pictures. `recipe` is JSON: recipe->>'$.params.scheduler'.
SELECT
    image.id,                                                   -- The picture's id.
    image.seq,                                                  -- Place in the order of recording.
    image.job_id AS job,                                        -- The job that made it.
    image.project,                                              -- The project that it belongs to.
    image.parent,                                               -- The picture it was made from.
    image.source,                                               -- What kind of call made it.
    image.prompt,                                               -- What was asked for.
    image.negative_prompt,                                      -- What was asked not to be there.
    image.style,                                                -- Name of the style, if one was used.
    image.caption,                                              -- What is to be seen, if described.
    image.preset,                                               -- Name of the preset.
    image.seed,                                                 -- The seed of this very picture.
    image.width,                                                -- Pixels across.
    image.height,                                               -- Pixels down.
    image.num_inference_steps,                                  -- Steps of the sampler.
    image.guidance_scale,                                       -- How closely the prompt is followed.
    image.scheduler,                                            -- Class name of the scheduler.
    image.request_hash,                                         -- SHA-256 of what was asked for.
    image.recipe_hash,                                          -- SHA-256 of all that decides pixels.
    image.pixels_sha256,                                        -- Equal for equal pixels.
    image.starred,                                              -- Whether it has a star.
    image.rating,                                               -- 0 to 5, NULL until rated.
    timezone('UTC', image.created_at) AS created_at,            -- When it was asked for.
    file.path,                                                  -- The PNG, below the home directory.
    image.recipe                                                -- Everything that decides its pixels.
FROM mysticanvas.main.images AS image
LEFT JOIN mysticanvas.main.generation_files AS file
    ON file.image_seq = image.seq AND file.kind = 'original'
WHERE image.deleted_at IS NULL

-- name: image_tags
-- Which picture has which tag.
SELECT
    image.id AS image,                                          -- The picture's id.
    tag.name AS tag,                                            -- The tag's name.
    link.source,                                                -- Who gave it, such as `user`.
    link.confidence,                                            -- 0 to 1, NULL if nobody guessed.
    link.job_id AS job,                                         -- The job that gave it, if one did.
    timezone('UTC', link.created_at) AS created_at              -- When it was given.
FROM mysticanvas.main.image_tags AS link
JOIN mysticanvas.main.tags AS tag ON tag.id = link.tag_id
JOIN mysticanvas.main.images AS image
    ON image.seq = link.image_seq AND image.deleted_at IS NULL

-- name: tags
-- The tags.
SELECT
    tag.name,                                                   -- As it is displayed.
    tag.normalized_name,                                        -- As it is compared.
    timezone('UTC', tag.created_at) AS created_at               -- When it was first used.
FROM mysticanvas.main.tags AS tag

-- name: tag_aliases
-- Other names of tags.
SELECT
    alias.alias,                                                -- The other name.
    alias.target,                                               -- What it stands for, as compared.
    alias.source,                                               -- Who made it, such as `starter`.
    timezone('UTC', alias.created_at) AS created_at             -- When it was made.
FROM mysticanvas.main.tag_aliases AS alias

-- name: files
-- The files of the pictures: originals, thumbnails and whatever else was kept.
SELECT
    file.image_id AS image,                                     -- The picture's id.
    file.kind,                                                  -- What it is, such as `original`.
    file.position,                                              -- Tells files of one kind apart.
    file.path,                                                  -- Below the home directory.
    file.sha256,                                                -- SHA-256 of its content.
    file.bytes,                                                 -- Its size.
    file.width,                                                 -- Pixels across.
    file.height,                                                -- Pixels down.
    timezone('UTC', file.created_at) AS created_at              -- When it was made.
FROM mysticanvas.main.generation_files AS file
JOIN mysticanvas.main.images AS image
    ON image.seq = file.image_seq AND image.deleted_at IS NULL

-- name: jobs
-- What was asked for, but for the library's own upkeep.
SELECT
    job.id,                                                     -- The job's id.
    job.seq,                                                    -- Place in the order of asking.
    job.kind,                                                   -- What it does, such as `generate`.
    job.status,                                                 -- Where it is, such as `succeeded`.
    job.project,                                                -- The project that it belongs to.
    job.priority,                                               -- `interactive` or `background`.
    job.request,                                                -- What was asked for.
    job.request_hash,                                           -- SHA-256 of it, for pictures.
    job.attempts,                                               -- How often it was begun.
    job.error,                                                  -- Why it failed, as a problem document.
    job.notices,                                                -- What the user should know.
    timezone('UTC', job.created_at) AS created_at,              -- When it was asked for.
    timezone('UTC', job.started_at) AS started_at,              -- When its last attempt began.
    timezone('UTC', job.finished_at) AS finished_at             -- When it ended.
FROM mysticanvas.main.jobs AS job
WHERE job.internal IS NOT TRUE

-- name: presets
-- Models and their settings by name.
SELECT
    preset.kind,                                                -- Which kind of model, such as `image`.
    preset.name,                                                -- The preset's name.
    preset.model,                                               -- Folder, file or hub id.
    preset.settings,                                            -- All else that it says.
    preset.architecture,                                        -- Class of the model's pipeline.
    preset.vram_weights_mib,                                    -- MiB of its weights, once known.
    timezone('UTC', preset.created_at) AS created_at,           -- When it was made.
    timezone('UTC', preset.updated_at) AS updated_at            -- When it was last changed.
FROM mysticanvas.main.presets AS preset
WHERE preset.deleted_at IS NULL
