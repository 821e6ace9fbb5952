"""Statistics over backbones and settings. Pure functions of arrays: no files, no records, no torch. See docs/statistics.md."""
