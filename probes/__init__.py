"""Probes: each reads one thing and never changes it."""
