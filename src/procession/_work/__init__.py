"""Work: tasks, who does them, and how their results come back. Pools stand on it."""
