"""At home: contexts, every name of ``multiprocessing``, and unmodified programs."""
