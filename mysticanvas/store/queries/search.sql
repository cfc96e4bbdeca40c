-- name: touch
INSERT INTO search_stale SELECT unnest($seqs::BIGINT[]), nextval('search_changes')

-- name: touch_tagged
INSERT INTO search_stale
SELECT image_seq, nextval('search_changes')
FROM (SELECT DISTINCT image_seq FROM image_tags WHERE tag_id = $tag_id)

-- name: state
SELECT generation, last_seq, images, words, stemmer, format,
    (SELECT coalesce(max(change), 0) FROM search_stale) AS change
FROM search_state

-- name: stems
SELECT word, stem(word, $stemmer) AS stem FROM (SELECT unnest($words::VARCHAR[]) AS word)

-- name: newer
SELECT image.seq, image.prompt, image.negative_prompt, image.caption, image.style, tagged.tags
FROM images AS image
LEFT JOIN (
    SELECT image_seq, list(DISTINCT tag.name ORDER BY tag.name) AS tags
    FROM image_tags JOIN tags AS tag ON tag.id = tag_id
    WHERE image_seq > $after
    GROUP BY image_seq
) AS tagged ON tagged.image_seq = image.seq
WHERE image.seq > $after AND image.deleted_at IS NULL
ORDER BY image.seq
LIMIT $limit

-- name: some
SELECT image.seq, image.prompt, image.negative_prompt, image.caption, image.style, tagged.tags
FROM images AS image
LEFT JOIN (
    SELECT image_seq, list(DISTINCT tag.name ORDER BY tag.name) AS tags
    FROM image_tags JOIN tags AS tag ON tag.id = tag_id
    WHERE image_seq IN (SELECT unnest($seqs::BIGINT[]))
    GROUP BY image_seq
) AS tagged ON tagged.image_seq = image.seq
WHERE image.seq IN (SELECT unnest($seqs::BIGINT[])) AND image.deleted_at IS NULL
ORDER BY image.seq

-- name: backlog
-- What is not indexed yet: the pictures after one, and those that have changed.
SELECT newest, newer, changed
FROM (
    SELECT coalesce(max(seq), $after) AS newest, count(*) AS newer FROM images WHERE seq > $after
), (
    SELECT count(DISTINCT image_seq) AS changed FROM search_stale
)

-- name: changed
SELECT image_seq AS seq FROM search_stale
WHERE change > $change
GROUP BY image_seq
ORDER BY max(change)
LIMIT $limit

-- name: indexed
-- How much of the index these pictures are.
SELECT count(*) AS images, coalesce(sum(length), 0) AS words FROM search_texts
WHERE seq IN (SELECT unnest($seqs::BIGINT[]))

-- name: words
SELECT word FROM search_words WHERE starts_with(word, $prefix) LIMIT $limit

-- name: hits
-- The postings of some terms. The terms stand in the text as numbers: DuckDB then skips the blocks
-- that cannot have them, which it does not for a list in a parameter.
SELECT term, seq, tf, length, shown FROM search_postings_0 WHERE term IN ({terms}) {current}
UNION ALL
SELECT term, seq, tf, length, shown FROM search_postings_1 WHERE term IN ({terms}) {current}
UNION ALL
SELECT term, seq, tf, length, shown FROM search_postings_2 WHERE term IN ({terms}) {current}

-- name: hits_with
SELECT * FROM ({hits}) WHERE seq IN (SELECT seq FROM {texts} WHERE {has})

-- name: with_all
SELECT seq FROM ({hits}) GROUP BY seq HAVING count(*) = {count} LIMIT $most

-- name: with_any
-- A picture may come once for each of its terms: DuckDB stops early if it need not tell them apart.
SELECT seq FROM ({hits}) LIMIT $most

-- name: texts
-- By the numbers of rows: DuckDB then leaves out the blocks between, which it unpacks if it is asked
-- for the same rows by `seq`.
(
    SELECT seq, text FROM search_texts
    WHERE rowid IN (SELECT rowid FROM search_texts WHERE {chosen})
)

-- name: few
-- The postings of some terms as far as `most` goes, and the generation they are of. DuckDB takes
-- longer to plan a ranking than to read the few pictures that a rare word has.
SELECT NULL AS term, generation AS seq, NULL AS tf, NULL AS length, NULL AS shown FROM search_state
UNION ALL
{hits}
LIMIT {most}

-- name: ranked
-- The best pictures of the index. A term without a given idf gets the one that its pictures mean,
-- those that the index does not have yet included.
WITH hit AS MATERIALIZED ({hits}),
weight AS MATERIALIZED ({weighed}),
scored AS ({scored}),
met AS MATERIALIZED (SELECT seq, score FROM scored WHERE seq <= $horizon {conditions})
SELECT
    state.generation,
    (SELECT count(*) FROM met) AS total,
    (SELECT list(idf ORDER BY place) FROM weight) AS idfs,
    top.seq, top.score
FROM search_state AS state
LEFT JOIN (
    SELECT seq, score FROM met
    WHERE {behind}
    ORDER BY {order}
    LIMIT $limit
) AS top ON true

-- name: weighed_one
-- Most searches are for one term, and what several need takes most of the time of these.
SELECT 0 AS place, {idf} AS idf
FROM (SELECT $elsewhere + count(*) AS df, $given::DOUBLE AS given FROM hit)

-- name: scored_one
-- No picture has a term twice.
SELECT seq, ({summand})::BIGINT AS score FROM hit CROSS JOIN weight

-- name: weighed_all
SELECT place, term, wanted, bit, {idf} AS idf
FROM (
    SELECT asked.*, asked.elsewhere + coalesce(counted.df, 0) AS df
    FROM (
        SELECT
            unnest(range(len($terms::UBIGINT[]))) AS place,
            unnest($terms::UBIGINT[]) AS term,
            unnest($elsewhere::BIGINT[]) AS elsewhere,
            unnest($given::DOUBLE[]) AS given,
            unnest($wanted::BOOLEAN[]) AS wanted,
            unnest($bits::BIGINT[]) AS bit
    ) AS asked
    LEFT JOIN (SELECT term, count(*) AS df FROM hit GROUP BY term) AS counted USING (term)
)

-- name: idf
CASE WHEN given IS NULL
    THEN log10(($images - df + 0.5::DOUBLE) / (df + 0.5::DOUBLE) + 1) ELSE given END

-- name: scored_all
SELECT seq, sum(CASE WHEN wanted THEN ({summand})::BIGINT ELSE 0 END)::BIGINT AS score
FROM hit JOIN weight USING (term)
GROUP BY seq
HAVING bool_or(wanted) AND NOT bool_or(shown AND NOT wanted) AND bit_or(bit) = {required}

-- name: summand
idf * (tf::DOUBLE * ({k1} + 1)
    / (tf::DOUBLE + {k1} * (1 - {b} + {b} * (length::DOUBLE / $average::DOUBLE)))) * {unit}

-- name: has
contains(text, ${name})

-- name: with_pieces
AND seq IN (SELECT seq FROM {texts} WHERE ({has}) {current})

-- name: without_pieces
AND seq NOT IN (SELECT seq FROM {texts} WHERE ({has}) {current})

-- name: without_terms
AND seq NOT IN (SELECT seq FROM ({hits}) WHERE shown)

-- name: current
AND seq NOT IN (SELECT unnest($hidden::BIGINT[]))

-- name: without
AND seq NOT IN (SELECT unnest($out::BIGINT[]))

-- name: filtered
AND seq IN (SELECT image.seq FROM images AS image WHERE {clause})

-- name: listed
-- Pictures by their place, where there is nothing to rank by.
WITH met AS MATERIALIZED (
    SELECT image.seq FROM images AS image
    WHERE image.seq <= $horizon AND {clause} {conditions}
)
SELECT
    state.generation,
    (SELECT count(*) FROM met) AS total,
    top.seq
FROM search_state AS state
LEFT JOIN (
    SELECT seq FROM met WHERE {behind} ORDER BY {order} LIMIT $limit
) AS top ON true

-- name: behind_best
score < $score OR (score = $score AND seq < $before)

-- name: order_best
score DESC, seq DESC

-- name: behind_newest
seq < $before

-- name: order_newest
seq DESC

-- name: behind_oldest
seq > $before

-- name: order_oldest
seq

-- name: met
SELECT image.seq FROM images AS image
WHERE image.seq IN (SELECT unnest($seqs::BIGINT[])) AND {clause}

-- name: load_batch
CREATE OR REPLACE TABLE search_batch AS
SELECT
    unnest($seq::BIGINT[]) AS seq, unnest($prompt::VARCHAR[]) AS prompt,
    unnest($caption::VARCHAR[]) AS caption, unnest($tags::VARCHAR[]) AS tags,
    unnest($style::VARCHAR[]) AS style, unnest($negative_prompt::VARCHAR[]) AS negative_prompt,
    unnest($text::VARCHAR[]) AS text

-- name: index_batch
PRAGMA create_fts_index(
    'search_batch', 'seq', 'prompt', 'caption', 'tags', 'style', 'negative_prompt',
    stemmer = '{stemmer}', stopwords = 'none', ignore = ' ', strip_accents = 0, lower = 0,
    overwrite = 1
)

-- name: weigh_batch
-- The extension's postings with all that a score needs; they are put in order where they are kept.
CREATE OR REPLACE TABLE search_weighed AS
WITH numbered AS MATERIALIZED (
    -- A word is in many pictures, and its number costs more than a join.
    SELECT termid, md5_number_lower(term) AS term FROM fts_main_search_batch.dict
),
posting AS (
    SELECT docid, termid, sum(weight) AS tf, bool_or(field.field <> 'negative_prompt') AS shown
    FROM fts_main_search_batch.terms
    JOIN fts_main_search_batch.fields AS field USING (fieldid)
    JOIN (
        SELECT unnest($fields::VARCHAR[]) AS field, unnest($weights::DOUBLE[]) AS weight
    ) AS weighed ON weighed.field = field.field
    GROUP BY docid, termid
)
SELECT
    numbered.term, docs.name AS seq, posting.tf::FLOAT AS tf,
    (sum(posting.tf) OVER (PARTITION BY posting.docid))::FLOAT AS length, posting.shown
FROM posting
JOIN numbered USING (termid)
JOIN fts_main_search_batch.docs AS docs USING (docid)

-- name: drop_batch
DROP SCHEMA fts_main_search_batch CASCADE; DROP TABLE search_batch; DROP TABLE search_weighed

-- name: add_postings
INSERT INTO search_postings_0 SELECT * FROM memory.main.search_weighed ORDER BY term, seq

-- name: add_texts
INSERT INTO search_texts
SELECT batch.seq, coalesce(weighed.length, 0), batch.text
FROM memory.main.search_batch AS batch
LEFT JOIN (
    SELECT seq, any_value(length) AS length FROM memory.main.search_weighed GROUP BY seq
) AS weighed USING (seq)
ORDER BY batch.seq

-- name: add_words
INSERT INTO search_words
SELECT word FROM (SELECT unnest($words::VARCHAR[]) AS word) ANTI JOIN search_words USING (word)
ORDER BY word

-- name: add_segment
INSERT INTO search_segments SELECT $level, $images WHERE $images > 0

-- name: remove_from
DELETE FROM {table} WHERE seq IN (SELECT unnest($seqs::BIGINT[]))

-- name: remove_marks
-- Those that the batch has seen; later ones are not in its snapshot.
DELETE FROM search_stale
WHERE image_seq IN (SELECT unnest($seqs::BIGINT[]))
   OR (image_seq > $after AND image_seq <= $last_seq)

-- name: advance
UPDATE search_state SET
    generation = generation + 1,
    last_seq = $last_seq,
    images = (SELECT count(*) FROM search_texts),
    words = (SELECT coalesce(sum(length::DOUBLE), 0) FROM search_texts)

-- name: levels
SELECT level, sum(images)::BIGINT AS images FROM search_segments GROUP BY level

-- name: merge
INSERT INTO search_postings_{above} SELECT * FROM search_postings_{level} ORDER BY term, seq

-- name: empty_postings
-- Dropped, not deleted from: rows that are deleted go into the log one by one.
CREATE OR REPLACE TABLE search_postings_{level} (
    term   UBIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    tf     FLOAT NOT NULL,
    length FLOAT NOT NULL,
    shown  BOOLEAN NOT NULL
)

-- name: forget
DELETE FROM {table}

-- name: forget_segments
DELETE FROM search_segments WHERE level = $level

-- name: begin_again
INSERT INTO search_state (generation, last_seq, images, words, stemmer, format)
VALUES ($generation, 0, 0, 0, $stemmer, $format)
