"""Predictions of memory held against what a GPU shows: `python -m benchmarks.gpu --out FOLDER`."""
