"""CEL, the expression language of `x-kubernetes-validations`: parsed, type-checked at install, evaluated at each write.

`syntax` reads text into a tree, `types` derives types from a structural schema, `check` finds faults before anything runs
and chooses overloads, `evaluate` makes closures, `standard` and `kubernetes` are the functions, `validations` is what a
schema's rules are compiled to. Source: the published language definition of CEL and the documentation of Kubernetes.
"""
