"""Words between processes: queues."""
