-- What the full-text search keeps beside the tables of its segments.

CREATE TABLE search_segments (
    id         INTEGER PRIMARY KEY,
    first_seq  BIGINT NOT NULL,
    last_seq   BIGINT NOT NULL,
    images     BIGINT NOT NULL,
    stemmer    VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Pictures whose words have changed since their segment was built.
CREATE TABLE search_stale (
    image_seq BIGINT PRIMARY KEY
);
