"""Extraction: passes over the images of a split, through every backbone, into the store."""
