"""`datasafed`: the command line by which a job of KubeBlocks' data protection moves files into and out of a repository.

Scripts of ActionSets call it: `pg_dump ... | datasafed push -z zstd - /dump.zst`. Where the files lie is told by the
environment and a configuration file (see `settings`), never by the command line. Everything streams, with memory that does not
grow with the file, and a file is there whole or not at all: a push that was killed leaves nothing under the final name.

`command` is the command line, `places` the stores, `codecs` compression and encryption. A container with a foreign image has
no Python, so there `client.c` stands for the command and hands its arguments, environment and open files to the `server` in a
sidecar of the same pod.
"""
