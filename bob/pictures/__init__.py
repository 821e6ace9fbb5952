"""Pages of images: which examples of a record, or of two, to look at, and how they are shown."""
