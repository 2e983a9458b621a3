"""Measurements: each command prints ratios against a peer of the same run; nothing here is a test."""
