"""What a model will take of a device's memory: pure arithmetic."""
