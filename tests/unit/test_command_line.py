"""What starting the command costs and changes."""

import subprocess
import sys

STARTED = """
import os, sys
environment = dict(os.environ)
import modelctl.cli
print(sorted({"numpy", "tensorflow"} & sys.modules.keys()), os.environ == environment)
"""


def test_it_shares_modules_with_the_function_but_neither_its_libraries_nor_its_environment() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", STARTED], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"
