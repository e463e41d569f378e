"""Processes, locks and queues that survive the death of anyone who uses them."""

__version__ = "0.1.0"
