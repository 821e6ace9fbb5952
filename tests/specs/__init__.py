"""Tests of bob.specs."""
