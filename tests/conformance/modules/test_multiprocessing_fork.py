"""What CPython's module of this name does: its suite for fork. (Some installations leave the small modules out.)"""

from test._test_multiprocessing import install_tests_in_module_dict  # type: ignore[import-not-found, unused-ignore]

install_tests_in_module_dict(globals(), "fork")
