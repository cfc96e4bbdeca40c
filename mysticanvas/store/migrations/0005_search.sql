-- The full-text index. mysticanvas/store/search says how it is built and asked.

-- One row.
CREATE TABLE search_state (
    -- Counts the changes of the index.
    generation BIGINT NOT NULL,
    -- Pictures up to this one are indexed; later ones are searched as they are.
    last_seq   BIGINT NOT NULL,
    images     BIGINT NOT NULL,
    -- Lengths of all indexed pictures together.
    words      DOUBLE NOT NULL,
    stemmer    VARCHAR NOT NULL,
    format     INTEGER NOT NULL
);

INSERT INTO search_state VALUES (0, 0, 0, 0, 'none', 0);

CREATE TABLE search_segments (
    -- Its postings are in search_postings_<level>.
    level  INTEGER NOT NULL,
    images BIGINT NOT NULL
);

-- A row for a picture and a term, of any field. Each segment is a run of rows in the order of terms.
CREATE TABLE search_postings_0 (
    -- The last 64 bits of the term's MD5: segments need no dictionary in common.
    term   UBIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    -- How often, each time counted with the weight of its field.
    tf     FLOAT NOT NULL,
    -- Of the picture: its words, counted likewise.
    length FLOAT NOT NULL,
    -- Whether it is in what the picture shows, and not in the negative prompt alone.
    shown  BOOLEAN NOT NULL
);

CREATE TABLE search_postings_1 (
    term   UBIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    tf     FLOAT NOT NULL,
    length FLOAT NOT NULL,
    shown  BOOLEAN NOT NULL
);

CREATE TABLE search_postings_2 (
    term   UBIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    tf     FLOAT NOT NULL,
    length FLOAT NOT NULL,
    shown  BOOLEAN NOT NULL
);

-- What phrases are looked for in: folded words between spaces, a line for each text of a picture.
CREATE TABLE search_texts (
    seq    BIGINT NOT NULL,
    length FLOAT NOT NULL,
    text   VARCHAR NOT NULL
);

-- Every word that a picture has had, as it was before stemming, for prefixes.
CREATE TABLE search_words (
    word VARCHAR NOT NULL
);

-- Pictures whose words have changed since they were indexed, once for each change. No key: a mark
-- that comes while the index takes an earlier one in has to stay.
CREATE SEQUENCE search_changes;

CREATE TABLE search_stale (
    image_seq BIGINT NOT NULL,
    change    BIGINT NOT NULL
);
