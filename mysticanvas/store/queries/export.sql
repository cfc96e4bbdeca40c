-- name: pictures
-- Ids and JSON as text, which every reader of Parquet understands. Rows come as they are kept, in
-- the order of recording: to sort them would take all of them at once.
COPY (
    SELECT * REPLACE (id::VARCHAR AS id, job::VARCHAR AS job, parent::VARCHAR AS parent,
                      recipe::VARCHAR AS recipe)
    FROM images
    WHERE ($project::VARCHAR IS NULL OR project = $project)
      AND ($ids::VARCHAR[] IS NULL OR id IN (SELECT unnest($ids::VARCHAR[])::UUID))
) TO $file {options}

-- name: image_tags
COPY (
    SELECT * REPLACE (image::VARCHAR AS image, job::VARCHAR AS job)
    FROM image_tags SEMI JOIN read_parquet($pictures) AS picture ON picture.id = image::VARCHAR
) TO $file {options}

-- name: tags
COPY (
    FROM tags SEMI JOIN read_parquet($image_tags) AS link ON link.tag = name
    ORDER BY name
) TO $file {options}

-- name: size
SELECT count(*) AS images, coalesce(sum(file.bytes), 0)::BIGINT AS bytes
FROM files AS file SEMI JOIN read_parquet($pictures) AS picture
    ON picture.id = file.image::VARCHAR
WHERE file.kind = 'original'

-- name: pages
-- The last picture of each page.
SELECT max(seq) AS last
FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS place FROM read_parquet($pictures))
GROUP BY (place - 1) // $page ORDER BY last

-- name: page
-- With both bounds, so that only the row groups that have such pictures are read.
SELECT seq, id, path, prompt, width, height, recipe
FROM read_parquet($pictures)
WHERE seq > $after AND seq <= $last
ORDER BY seq
