-- name: resolve
-- One step of an alias, and the tag; a name that leads somewhere is no tag's.
SELECT given.name, alias.target, alias.source, tag.id
FROM (SELECT unnest($names::VARCHAR[]) AS name) AS given
LEFT JOIN tag_aliases AS alias ON alias.normalized_alias = given.name
LEFT JOIN tags AS tag ON tag.normalized_name = given.name

-- name: create
INSERT INTO tags (id, name, normalized_name, created_at)
SELECT
    (SELECT coalesce(max(id), 0) FROM tags) + unnest(range(1, len($names::VARCHAR[]) + 1)),
    unnest($names::VARCHAR[]), unnest($normalized::VARCHAR[]), $now
RETURNING id, normalized_name

-- name: seqs
SELECT id::VARCHAR AS id, seq FROM images WHERE id = ANY($ids::UUID[]) AND deleted_at IS NULL

-- name: attach
-- No key keeps a second row away, so this does. The bounds let blocks of other pictures be skipped;
-- for new pictures, that is all of them.
INSERT INTO image_tags (image_seq, tag_id, source, confidence, job_id, created_at)
SELECT DISTINCT given.image_seq, given.tag_id, $source, $confidence::FLOAT, $job_id::UUID, $now
FROM (
    SELECT unnest($seqs::BIGINT[]) AS image_seq, unnest($tag_ids::INTEGER[]) AS tag_id
) AS given
WHERE NOT EXISTS (
    SELECT 1 FROM image_tags AS present
    WHERE present.image_seq BETWEEN $first AND $last AND present.source = $source
      AND present.image_seq = given.image_seq AND present.tag_id = given.tag_id
)

-- name: raise_confidence
UPDATE image_tags SET confidence = $confidence
WHERE image_seq BETWEEN $first AND $last AND source = $source
  AND ($confidence::FLOAT IS NULL OR confidence < $confidence::FLOAT)
  AND (image_seq, tag_id) IN (SELECT (unnest($seqs::BIGINT[]), unnest($tag_ids::INTEGER[])))

-- name: detach
DELETE FROM image_tags
WHERE image_seq BETWEEN $first AND $last AND image_seq = ANY($seqs::BIGINT[])
  AND tag_id = ANY($tag_ids::INTEGER[])
  AND ($source::VARCHAR IS NULL OR source = $source)

-- name: of
SELECT
    tagged.image_seq, tag.name, tagged.source,
    -- A float of four bytes, as the decimal that was meant.
    round(tagged.confidence::DOUBLE, 6) AS confidence
FROM image_tags AS tagged JOIN tags AS tag ON tag.id = tagged.tag_id
WHERE tagged.image_seq BETWEEN $first AND $last AND tagged.image_seq = ANY($seqs::BIGINT[])
ORDER BY tag.normalized_name, tagged.source

-- name: page
-- One scan counts rows by tag and source. A picture has several rows of a tag only where several
-- sources gave it, so only such tags pay for counting pictures.
WITH hidden AS (
    SELECT seq FROM images WHERE deleted_at IS NOT NULL OR project <> $project
),
given AS (
    SELECT tag_id, source, count(*) AS images
    FROM image_tags ANTI JOIN hidden ON hidden.seq = image_tags.image_seq
    WHERE $tag_id::INTEGER IS NULL OR tag_id = $tag_id
    GROUP BY tag_id, source
),
summed AS (
    SELECT
        tag_id, sum(images)::BIGINT AS images, count(*) AS givers,
        map_from_entries(list((source, images) ORDER BY source)) AS sources
    FROM given GROUP BY tag_id
),
shared AS (
    SELECT tag_id, count(DISTINCT image_seq) AS images
    FROM image_tags ANTI JOIN hidden ON hidden.seq = image_tags.image_seq
    WHERE tag_id IN (SELECT tag_id FROM summed WHERE givers > 1)
    GROUP BY tag_id
),
counted AS (
    SELECT
        tag.name, tag.normalized_name, summed.sources,
        coalesce(shared.images, summed.images, 0) AS images
    FROM tags AS tag
    LEFT JOIN summed ON summed.tag_id = tag.id
    LEFT JOIN shared ON shared.tag_id = tag.id
    WHERE starts_with(tag.normalized_name, $prefix)
      AND ($tag_id::INTEGER IS NULL OR tag.id = $tag_id)
)
SELECT name, normalized_name, sources, images, total
FROM (
    SELECT *, count(*) OVER () AS total
    FROM counted
    WHERE $unused::BOOLEAN IS NULL OR $unused = (images = 0)
)
WHERE normalized_name > $after
ORDER BY CASE WHEN $most_used THEN -images END, normalized_name
LIMIT $limit

-- name: by_id
SELECT id, name, normalized_name FROM tags WHERE id = $id

-- name: respell
UPDATE tags SET name = $name, normalized_name = $normalized WHERE id = $id

-- name: drop
DELETE FROM tags WHERE id = $id

-- name: merge_confidence
-- Where a picture has both tags of one source, the higher confidence stays; NULL is the highest.
UPDATE image_tags AS kept SET confidence = moved.confidence
FROM image_tags AS moved
WHERE kept.tag_id = $into AND moved.tag_id = $tag_id
  AND moved.image_seq = kept.image_seq AND moved.source = kept.source
  AND kept.confidence IS NOT NULL
  AND (moved.confidence IS NULL OR moved.confidence > kept.confidence)

-- name: merge_twice
DELETE FROM image_tags AS moved
WHERE moved.tag_id = $tag_id AND EXISTS (
    SELECT 1 FROM image_tags AS kept
    WHERE kept.tag_id = $into
      AND kept.image_seq = moved.image_seq AND kept.source = moved.source
)

-- name: merge_rest
UPDATE image_tags SET tag_id = $into WHERE tag_id = $tag_id

-- name: aliases
SELECT
    alias.normalized_alias, alias.alias, alias.target, alias.source,
    coalesce(tag.name, alias.target) AS tag
FROM tag_aliases AS alias LEFT JOIN tags AS tag ON tag.normalized_name = alias.target
ORDER BY alias.normalized_alias

-- name: put_alias
INSERT INTO tag_aliases (normalized_alias, alias, target, source, created_at)
VALUES ($normalized, $alias, $target, 'user', $now)
ON CONFLICT (normalized_alias) DO UPDATE SET
    alias = excluded.alias, target = excluded.target, source = excluded.source,
    created_at = excluded.created_at

-- name: names
SELECT normalized_name FROM tags

-- name: drop_starter_aliases
DELETE FROM tag_aliases WHERE source = 'starter' AND normalized_alias = ANY($aliases::VARCHAR[])

-- name: put_starter_aliases
INSERT INTO tag_aliases (normalized_alias, alias, target, source, created_at)
SELECT unnest($aliases::VARCHAR[]), unnest($aliases::VARCHAR[]), unnest($targets::VARCHAR[]),
    'starter', $now
