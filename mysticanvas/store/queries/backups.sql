-- name: content
-- What somebody made or changed, in a few numbers: not what follows from it, or comes by itself.
SELECT 'images' AS part, count(*) AS rows,
    bit_xor(hash(id, starred, rating, style, caption, deleted_at)) AS content
FROM images
UNION ALL
SELECT 'jobs', count(*), bit_xor(hash(id, status)) FROM jobs WHERE internal IS NOT TRUE
UNION ALL
SELECT 'tags', count(*), bit_xor(hash(id, name)) FROM tags
UNION ALL
SELECT 'tag_aliases', count(*), bit_xor(hash(normalized_alias, alias, target)) FROM tag_aliases
UNION ALL
SELECT 'image_tags', count(*), bit_xor(hash(image_seq, tag_id, source)) FROM image_tags
UNION ALL
SELECT 'presets', count(*), bit_xor(hash(kind, name, revision, model, deleted_at)) FROM presets
UNION ALL
SELECT 'facts', count(*), bit_xor(hash(name, value)) FROM facts
ORDER BY part
