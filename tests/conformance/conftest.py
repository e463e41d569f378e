"""CPython's suites are run by ``make conformance``, each in a program of its own, and not here."""

collect_ignore = ["modules"]
