"""Worker processes: started, watched, started again. What becomes of a job is the queue's."""
