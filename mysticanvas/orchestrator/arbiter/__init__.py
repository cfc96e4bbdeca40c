"""Who has the memory of a device, and what is done so that the next request fits."""
