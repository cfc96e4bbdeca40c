-- What is known of the memory of models. `model_profiles` has what was traced, so that it is traced
-- once and not at every start; `memory_measurements` has what jobs took, one row for a phase of a
-- job: sizes in bytes, apart from weights. What was predicted of it is NULL where nothing was.

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
