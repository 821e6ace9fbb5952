"""Files, paths, digests, downloads, and the cache of the Hugging Face hub."""
