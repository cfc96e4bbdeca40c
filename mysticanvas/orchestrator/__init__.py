"""The orchestrator: one process per home that owns the store, the queue and the workers."""
