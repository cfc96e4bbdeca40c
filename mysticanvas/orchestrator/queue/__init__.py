"""The job queue: what a request becomes, when it runs, and whether it runs again."""
