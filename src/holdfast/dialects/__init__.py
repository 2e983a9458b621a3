"""Five thin translators: each turns the objects of one backup API into plans, and what was observed into its statuses."""
