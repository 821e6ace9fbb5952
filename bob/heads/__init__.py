"""Saved linear probes: a file with weights, preprocessing and provenance, and its uses."""
