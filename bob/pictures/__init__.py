"""Sheets of images: which examples of a record to look at, and how they are laid out."""
