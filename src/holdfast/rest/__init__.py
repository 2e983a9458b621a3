"""The CloudCasa REST API over custom resources: HTTP, queries, writes, keys. Knows nothing of how a copy is made."""
