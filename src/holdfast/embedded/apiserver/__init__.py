"""The embedded Kubernetes API: the same HTTP protocol as a real API server, kept in one SQLite file.

It serves stock kubectl, client libraries and our own controllers over TLS. One process, no high availability: who needs
that has a real cluster. An acknowledged write is on disk; a watcher hears of a write only after it is.
"""
