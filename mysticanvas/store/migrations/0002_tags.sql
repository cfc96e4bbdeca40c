-- Tags, their other names, and which picture has which.

CREATE TABLE tags (
    id              INTEGER PRIMARY KEY,
    -- What people see: the spelling of whoever used it first.
    name            VARCHAR NOT NULL,
    -- What makes two spellings one tag.
    normalized_name VARCHAR NOT NULL UNIQUE,
    created_at      TIMESTAMP NOT NULL
);

CREATE TABLE tag_aliases (
    normalized_alias VARCHAR PRIMARY KEY,
    alias            VARCHAR NOT NULL,
    -- The normalized name of a tag, or another alias. NULL where the user wants none: it is kept, so
    -- that an alias that ships with the package does not come back.
    target           VARCHAR,
    -- 'user' or 'starter', for those that ship.
    source           VARCHAR NOT NULL,
    created_at       TIMESTAMP NOT NULL
);

-- One row for a picture, a tag and a source; the single writer sees to it, since the index of a key
-- would take more memory than all the rest.
CREATE TABLE image_tags (
    image_seq  BIGINT NOT NULL,
    tag_id     INTEGER NOT NULL,
    source     VARCHAR NOT NULL,
    confidence FLOAT,
    job_id     UUID,
    created_at TIMESTAMP NOT NULL
);
