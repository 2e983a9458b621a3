"""The pure domain: plans, runs, steps, retention, cron. No I/O, no clock (now is an argument), no Kubernetes client."""
