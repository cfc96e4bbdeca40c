"""Worker processes: one engine each, behind the same HTTP shell."""
