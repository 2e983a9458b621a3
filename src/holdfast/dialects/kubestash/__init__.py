"""KubeStash: BackupConfiguration and its nine companions, compiled into plans (see `dialect.py` for the list of handlers)."""
