"""Schemas: one set of typed structs is the source of every CRD, and one walker holds objects against any CRD.

`structural` prunes, defaults and validates objects against a structural schema; `emit` makes such schemas from
structs; `generate` renders the files that are checked in. Nothing here knows a backup, a cluster or HTTP.
"""
