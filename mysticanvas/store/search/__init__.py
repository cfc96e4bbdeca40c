"""Full-text search over what is said of pictures."""
