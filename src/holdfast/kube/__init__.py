"""The only Kubernetes client of Holdfast: requests, caches, work queues, leases, events.

It knows nothing of backups. Objects stay plain JSON, so unknown fields survive; nothing here ever writes back a typed
object. The shape is the field's own: reflectors fill stores, stores wake keys, one worker per key compares and acts.
"""
