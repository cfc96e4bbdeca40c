-- No CREATE INDEX and no foreign keys: in DuckDB 1.5 a secondary index loses rows when the process
-- is killed, and foreign keys refuse lawful updates. PRIMARY KEY and UNIQUE are safe.
-- Times are UTC without a zone. Lists are JSON text, since updating a LIST column rewrites the row.

CREATE TABLE schema_version (
    version    INTEGER PRIMARY KEY,
    name       VARCHAR NOT NULL,
    checksum   VARCHAR NOT NULL,
    applied_at TIMESTAMP NOT NULL
);

CREATE TABLE jobs (
    id              UUID PRIMARY KEY,
    seq             BIGINT NOT NULL UNIQUE,
    kind            VARCHAR NOT NULL,
    status          VARCHAR NOT NULL,
    project         VARCHAR NOT NULL,
    owner           VARCHAR,
    priority        VARCHAR NOT NULL,
    request         JSON NOT NULL,
    task            JSON,
    request_hash    VARCHAR NOT NULL,
    request_id      VARCHAR NOT NULL,
    idempotency_key VARCHAR UNIQUE,
    attempts        INTEGER NOT NULL,
    notices         JSON NOT NULL,
    error           JSON,
    matched         BOOLEAN,
    reused          BOOLEAN NOT NULL,
    -- The job whose pictures are the result; NULL for the job's own.
    result_of       UUID,
    not_before      TIMESTAMP,
    created_at      TIMESTAMP NOT NULL,
    started_at      TIMESTAMP,
    finished_at     TIMESTAMP,
    internal        BOOLEAN,
    result          JSON,
    runner          VARCHAR,
    heartbeat_at    TIMESTAMP,
    after_crash     VARCHAR,
    failures        JSON
);

CREATE TABLE images (
    id                  UUID PRIMARY KEY,
    seq                 BIGINT NOT NULL UNIQUE,
    job_id              UUID NOT NULL,
    batch_index         INTEGER NOT NULL,
    batch_size          INTEGER NOT NULL,
    project             VARCHAR NOT NULL,
    owner               VARCHAR,
    parent              UUID,
    source              VARCHAR NOT NULL,
    prompt              VARCHAR NOT NULL,
    negative_prompt     VARCHAR NOT NULL,
    style               VARCHAR,
    caption             VARCHAR,
    preset              VARCHAR NOT NULL,
    model_digest        VARCHAR NOT NULL,
    pipeline            VARCHAR NOT NULL,
    -- Unsigned, since picture k of a batch has seed + k.
    seed                UBIGINT NOT NULL,
    width               INTEGER NOT NULL,
    height              INTEGER NOT NULL,
    mode                VARCHAR NOT NULL,
    num_inference_steps INTEGER NOT NULL,
    guidance_scale      DOUBLE NOT NULL,
    scheduler           VARCHAR NOT NULL,
    request_hash        VARCHAR NOT NULL,
    recipe_hash         VARCHAR NOT NULL,
    pixels_sha256       VARCHAR NOT NULL,
    recipe              JSON NOT NULL,
    starred             BOOLEAN NOT NULL,
    rating              TINYINT,
    created_at          TIMESTAMP NOT NULL,
    deleted_at          TIMESTAMP,
    -- That of the original, which never changes. NULL where it was swept before this column came.
    path                VARCHAR,
    UNIQUE (job_id, batch_index)
);

CREATE TABLE generation_files (
    image_seq  BIGINT NOT NULL,
    image_id   UUID NOT NULL,
    kind       VARCHAR NOT NULL,
    position   INTEGER NOT NULL,
    path       VARCHAR NOT NULL,
    sha256     VARCHAR NOT NULL,
    bytes      BIGINT NOT NULL,
    width      INTEGER NOT NULL,
    height     INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE thumbnail_failures (
    image_seq BIGINT NOT NULL,
    reason    VARCHAR NOT NULL,
    failed_at TIMESTAMP NOT NULL
);

CREATE TABLE doomed_files (
    path VARCHAR NOT NULL
);

CREATE TABLE presets (
    kind         VARCHAR NOT NULL,
    name         VARCHAR NOT NULL,
    revision     INTEGER NOT NULL,
    model        VARCHAR NOT NULL,
    settings     JSON NOT NULL,
    created_at   TIMESTAMP NOT NULL,
    updated_at   TIMESTAMP NOT NULL,
    deleted_at   TIMESTAMP,
    architecture VARCHAR,
    -- MiB, and of what they were counted. NULL until they were.
    vram_weights_mib DOUBLE,
    weighed      VARCHAR,
    PRIMARY KEY (kind, name)
);

CREATE TABLE preset_revisions (
    kind       VARCHAR NOT NULL,
    name       VARCHAR NOT NULL,
    revision   INTEGER NOT NULL,
    model      VARCHAR NOT NULL,
    settings   JSON NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (kind, name, revision)
);

CREATE TABLE preset_files (
    kind     VARCHAR NOT NULL,
    name     VARCHAR NOT NULL,
    revision INTEGER NOT NULL,
    digest   VARCHAR NOT NULL,
    files    JSON NOT NULL,
    seen_at  TIMESTAMP NOT NULL,
    PRIMARY KEY (kind, name, revision, digest)
);

CREATE TABLE model_files (
    path      VARCHAR PRIMARY KEY,
    size      BIGINT NOT NULL,
    mtime_ns  BIGINT NOT NULL,
    inode     UBIGINT NOT NULL,
    sha256    VARCHAR NOT NULL,
    hashed_at TIMESTAMP NOT NULL
);

CREATE TABLE model_profiles (
    key       VARCHAR PRIMARY KEY,
    model     VARCHAR NOT NULL,
    profile   JSON NOT NULL,
    traced_at TIMESTAMP NOT NULL
);

CREATE TABLE memory_measurements (
    seq               BIGINT NOT NULL,
    job_id            VARCHAR NOT NULL,
    attempt           INTEGER NOT NULL,
    preset            VARCHAR NOT NULL,
    model             VARCHAR NOT NULL,
    key               VARCHAR NOT NULL,
    run_key           VARCHAR NOT NULL,
    phase             VARCHAR NOT NULL,
    width             INTEGER NOT NULL,
    height            INTEGER NOT NULL,
    num_images        INTEGER NOT NULL,
    mitigations       VARCHAR[] NOT NULL,
    device            VARCHAR NOT NULL,
    projected         BIGINT,
    corrected         BIGINT,
    actual            BIGINT NOT NULL,
    at_least          BOOLEAN NOT NULL,
    known             VARCHAR NOT NULL,
    projected_weights BIGINT,
    weights           BIGINT NOT NULL,
    seconds           DOUBLE NOT NULL,
    run_seconds       DOUBLE,
    created_at        TIMESTAMP NOT NULL
);

CREATE TABLE tags (
    id              INTEGER PRIMARY KEY,
    name            VARCHAR NOT NULL,
    normalized_name VARCHAR NOT NULL UNIQUE,
    created_at      TIMESTAMP NOT NULL
);

CREATE TABLE tag_aliases (
    normalized_alias VARCHAR PRIMARY KEY,
    alias            VARCHAR NOT NULL,
    target           VARCHAR,
    source           VARCHAR NOT NULL,
    created_at       TIMESTAMP NOT NULL
);

CREATE TABLE image_tags (
    image_seq  BIGINT NOT NULL,
    tag_id     INTEGER NOT NULL,
    source     VARCHAR NOT NULL,
    confidence FLOAT,
    job_id     UUID,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE facts (
    name       VARCHAR PRIMARY KEY,
    value      JSON NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE TABLE search_state (
    generation BIGINT NOT NULL,
    last_seq   BIGINT NOT NULL,
    images     BIGINT NOT NULL,
    words      DOUBLE NOT NULL,
    stemmer    VARCHAR NOT NULL,
    format     INTEGER NOT NULL
);

CREATE TABLE search_segments (
    level  INTEGER NOT NULL,
    images BIGINT NOT NULL
);

CREATE TABLE search_postings_0 (
    term   UBIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    tf     FLOAT NOT NULL,
    length FLOAT NOT NULL,
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

CREATE TABLE search_texts (
    seq    BIGINT NOT NULL,
    length FLOAT NOT NULL,
    text   VARCHAR NOT NULL
);

CREATE TABLE search_words (
    word VARCHAR NOT NULL
);

CREATE SEQUENCE search_changes;

CREATE TABLE search_stale (
    image_seq BIGINT NOT NULL,
    change    BIGINT NOT NULL
);
