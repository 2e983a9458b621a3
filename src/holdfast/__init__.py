"""Backup and recovery for Kubernetes: five backup APIs on one engine."""
