-- What a preset was when a picture was made: the row of `presets` is the newest revision, and every
-- one is here. `preset_files` has the digests of a revision's files as jobs found them, one row for
-- each different set: files may change while the preset does not.

CREATE TABLE preset_revisions (
    kind       VARCHAR NOT NULL,
    name       VARCHAR NOT NULL,
    revision   INTEGER NOT NULL,
    model      VARCHAR NOT NULL,
    settings   JSON NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (kind, name, revision)
);

INSERT INTO preset_revisions
SELECT kind, name, revision, model, settings, updated_at FROM presets;

CREATE TABLE preset_files (
    kind     VARCHAR NOT NULL,
    name     VARCHAR NOT NULL,
    revision INTEGER NOT NULL,
    digest   VARCHAR NOT NULL,
    files    JSON NOT NULL,
    seen_at  TIMESTAMP NOT NULL,
    PRIMARY KEY (kind, name, revision, digest)
);

ALTER TABLE presets ADD COLUMN architecture VARCHAR;
