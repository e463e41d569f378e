"""Build the one C extension; everything else about the package stands in pyproject.toml."""

import os
from glob import glob

from setuptools import Extension, setup

flags = ["-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-fvisibility=hidden", "-pthread"]
if os.environ.get("PROCESSION_WERROR") == "1":  # our own CI: a user's newer compiler may know new warnings
    flags.append("-Werror")

setup(
    ext_modules=[
        Extension(
            "procession._core",
            sources=sorted(glob("core/*.c") + glob("core/python/*.c")),
            depends=sorted(glob("core/*.h") + glob("core/python/*.h")),
            include_dirs=["core"],
            extra_compile_args=flags,
            extra_link_args=["-pthread"],
        )
    ]
)
