"""The workload: what drives the target, in a process of its own."""
