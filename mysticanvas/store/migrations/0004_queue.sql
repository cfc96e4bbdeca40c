-- What the queue needs to know of kinds of jobs other than pictures. No column has a default:
-- adding one makes DuckDB change a setting, and the configuration is locked.

-- Jobs that the orchestrator gave itself; shown on request only.
ALTER TABLE jobs ADD COLUMN internal BOOLEAN;
-- What came of a job that makes no pictures.
ALTER TABLE jobs ADD COLUMN result JSON;
-- Who runs it: the identity of an orchestrator's process, and when it was last heard of.
ALTER TABLE jobs ADD COLUMN runner VARCHAR;
ALTER TABLE jobs ADD COLUMN heartbeat_at TIMESTAMP;
-- What a crash of the orchestrator does to it: 'requeue' or 'cancel'.
ALTER TABLE jobs ADD COLUMN after_crash VARCHAR;
-- Why each attempt that counts against it ended, a JSON list of sentences.
ALTER TABLE jobs ADD COLUMN failures JSON;

UPDATE jobs SET internal = FALSE, after_crash = 'requeue', failures = '[]';

-- Small facts of the whole home, such as whether the queue is paused.
CREATE TABLE facts (
    name       VARCHAR PRIMARY KEY,
    value      JSON NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
