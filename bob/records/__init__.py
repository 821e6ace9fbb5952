"""Records of results: their content, their storage and their provenance."""
