"""Measurements: pure functions from recording and timeline to values with their evidence."""
