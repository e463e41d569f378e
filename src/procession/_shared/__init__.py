"""Data: arrays that several processes see at once."""
