"""A Kubernetes for one machine: API server, controllers and a node that runs pods as sandboxed processes."""
