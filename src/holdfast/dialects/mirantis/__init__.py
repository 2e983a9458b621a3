"""The Mirantis API: scheduled backups of a cluster's control plane (`kaas.mirantis.com/v1alpha1`)."""
