"""The door by which engines, tools and launchers come in: ours, and those of extensions."""
