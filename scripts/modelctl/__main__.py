"""Lets `python -m modelctl` do what `modelctl` does."""

import sys

from modelctl.cli import main

sys.exit(main())
