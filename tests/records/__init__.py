"""Tests of `bob/records/`."""
