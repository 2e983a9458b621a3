"""Backup and recovery for Kubernetes: five backup APIs on one engine."""

__version__ = "0.1.0"
