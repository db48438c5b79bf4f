"""What starting the command changes: nothing that the programs which it starts would notice."""

import subprocess
import sys

STARTED = "import os; before = dict(os.environ); import modelctl.cli; print(os.environ == before)"


def test_its_imports_leave_the_environment_as_it_is() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", STARTED], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
