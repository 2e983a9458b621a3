"""The network of a node's pods: one bridge in a network namespace of its own, which nothing but this process holds.

Nothing of the machine's own network is changed but for one virtual cable into it, and no name is left anywhere: when the node
ends, also by a kill, the kernel takes the namespace, the bridge, the cable and the rules back (docs/adr/0013).
"""
