"""Model files by their headers: checked, and told apart, without a framework or a weight."""
