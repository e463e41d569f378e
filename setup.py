"""Build the one C extension; everything else about the package stands in pyproject.toml."""

import os
import sys
from glob import glob

from setuptools import Extension, setup

flags = ["-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-fvisibility=hidden", "-pthread"]
if os.environ.get("PROCESSION_WERROR") == "1":  # ours only: a user's newer compiler may know new warnings
    flags.append("-Werror")

core = Extension(
    "procession._core",
    sources=sorted(glob("core/*.c") + glob("core/python/*.c")),
    depends=sorted(glob("core/*.h") + glob("core/python/*.h")),
    include_dirs=["core"],
    extra_compile_args=flags,
    extra_link_args=["-pthread", "-ldl"],  # dlopen, in a glibc older than 2.34,
)

# Elsewhere nothing is compiled, so that `import procession` gets as far as saying that it needs Linux.
setup(ext_modules=[core] if sys.platform == "linux" else [])
