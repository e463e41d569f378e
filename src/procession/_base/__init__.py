"""The ground: errors, statistics, platform. Imports nothing of the library."""
