"""Seeded fuzzers: damaged and hostile inputs end in an answer or in an error that users can act on.

`python -m tests.fuzz --seed 1 --count 500` gives every target 500 inputs; `make fuzz` calls it.
"""
