"""Runs ended in every way at random moments, and what they leave. Bounded: `make torture`."""
