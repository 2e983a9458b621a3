"""The programs inside our Jobs. Each takes one call of `core.calls`, does it, and ends in one report."""
