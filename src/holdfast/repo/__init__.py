"""The backup repository: the restic format, version 2, read and written in process.

A library of its own: `open_store` a URL, `Repository.init` or `Repository.open` it, then `backup`, `restore`, `snapshots`,
`forget`, `read_root`, `check`, `stats`. Whatever is written here, the stock program lists, checks and restores.
"""
