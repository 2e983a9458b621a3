"""The reconcile shell: observe the cluster, let the core decide, carry out its effects. Knows none of the five APIs."""
