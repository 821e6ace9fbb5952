"""Features: extracted once, stored in shards, checked on every read."""
