"""Linear probes that are kept: a file with weights, preprocessing and provenance, and its uses."""
