"""Headers of model files, read with bounds: nothing in them is believed before it is checked."""
