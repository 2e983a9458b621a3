"""The repository against its peers: `make bench-repo`, or `python -m benchmarks.repository --help`."""
