"""The image engine. torch and diffusers are imported in this package and nowhere else."""
