"""The controllers that make built-in kinds work on the embedded API server: what kube-controller-manager is to a cluster.

Each is a pure decision, which takes the object, its children and `now`, and a thin reconcile that carries it out. All
are ordinary API clients; they run as well against a real API server that lacks a controller manager.
"""
