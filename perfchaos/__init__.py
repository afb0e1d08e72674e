"""Chaos experiments under real load, with verdicts that are never falsely green."""
