"""Features that somebody has already: from files to records, and from the store to files."""
