"""Actions: each does one thing, or raises."""
