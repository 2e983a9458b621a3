"""Kinds of our own API group, `holdfast.dev`."""
