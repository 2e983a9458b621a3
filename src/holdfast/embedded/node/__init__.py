"""A node for any Kubernetes API server: pods run as sandboxed processes of this machine.

An ordinary API client: it registers a Node, watches the pods that are bound to it, and runs each container in a
bubblewrap sandbox with the volumes at their mount paths. As root each pod has a network of its own. They die with this
process; whatever it finds half-run after a start it marks Failed, and the pod's owner decides what follows.
"""
