-- Thumbnails, previews, masks and init images beside the original: several files of a kind, and no
-- key, whose index would cost more memory than a million pictures may take. The single writer sees
-- to it that a place is taken once.

CREATE TABLE new_generation_files (
    -- The image's seq: a join on it reads a block or two, one on the id reads them all.
    image_seq  BIGINT NOT NULL,
    image_id   UUID NOT NULL,
    kind       VARCHAR NOT NULL,
    -- Of several files of one kind, which.
    position   INTEGER NOT NULL,
    -- Relative to the home directory, with forward slashes.
    path       VARCHAR NOT NULL,
    sha256     VARCHAR NOT NULL,
    bytes      BIGINT NOT NULL,
    width      INTEGER NOT NULL,
    height     INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL
);

INSERT INTO new_generation_files
SELECT image_seq, image_id, kind, 0, path, sha256, bytes, width, height, created_at
FROM generation_files
ORDER BY image_seq;

DROP TABLE generation_files;

ALTER TABLE new_generation_files RENAME TO generation_files;

-- Pictures that no thumbnail can be made of: not to be tried again and again.
CREATE TABLE thumbnail_failures (
    image_seq BIGINT NOT NULL,
    reason    VARCHAR NOT NULL,
    failed_at TIMESTAMP NOT NULL
);

-- Files that no row names any more and that are still to be removed.
CREATE TABLE doomed_files (
    path VARCHAR NOT NULL
);
