"""Waiting: locks."""
