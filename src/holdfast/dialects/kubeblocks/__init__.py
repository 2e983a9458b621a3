"""The KubeBlocks data protection API on the engine of Holdfast."""
