"""Speed beside the peers, measured in the same run: ``python -m benchmarks --help``.

One file of ``claims/`` for each claim. Within a claim everybody is measured once in each round, one after the other,
so what else the machine does meets all alike; a ratio is the median of the rounds' ratios. Nothing is asserted: a ratio
below the claimed one is marked SHORT. Only ``flat``, which has no peers, ends with an error if memory grew.
"""
