-- name: pictures
-- Ids and JSON as text, which every reader of Parquet understands.
COPY (
    SELECT * REPLACE (id::VARCHAR AS id, job::VARCHAR AS job, parent::VARCHAR AS parent,
                      recipe::VARCHAR AS recipe)
    FROM images
    WHERE ($project::VARCHAR IS NULL OR project = $project)
      AND ($ids::VARCHAR[] IS NULL OR id IN (SELECT unnest($ids::VARCHAR[])::UUID))
    ORDER BY seq
) TO $file (FORMAT parquet, COMPRESSION zstd)

-- name: image_tags
COPY (
    SELECT * REPLACE (image::VARCHAR AS image, job::VARCHAR AS job)
    FROM image_tags SEMI JOIN read_parquet($pictures) AS picture ON picture.id = image::VARCHAR
    ORDER BY image, tag
) TO $file (FORMAT parquet, COMPRESSION zstd)

-- name: tags
COPY (
    FROM tags SEMI JOIN read_parquet($image_tags) AS link ON link.tag = name
    ORDER BY name
) TO $file (FORMAT parquet, COMPRESSION zstd)

-- name: size
SELECT count(*) AS images, coalesce(sum(file.bytes), 0)::BIGINT AS bytes
FROM files AS file SEMI JOIN read_parquet($pictures) AS picture
    ON picture.id = file.image::VARCHAR
WHERE file.kind = 'original'

-- name: next
SELECT seq, id, path, prompt, width, height, recipe
FROM read_parquet($pictures)
WHERE seq > $after
ORDER BY seq
LIMIT $limit
