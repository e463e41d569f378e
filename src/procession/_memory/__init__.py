"""Bytes: the domain, how its objects are named when sent, how items become bytes."""
