-- name: known
SELECT sha256 FROM model_files
WHERE path = $path AND size = $size AND mtime_ns = $mtime_ns AND inode = $inode

-- name: save
INSERT OR REPLACE INTO model_files (path, size, mtime_ns, inode, sha256, hashed_at)
VALUES ($path, $size, $mtime_ns, $inode, $sha256, $now)

-- name: places
SELECT path FROM model_files WHERE sha256 = $sha256 ORDER BY hashed_at DESC, path
