"""Our handler, its modules imported by statements: `-X importtime` reports only those, and not `import_module`."""

import inference.runtimes.litert  # noqa: F401
from inference.handler import handler  # noqa: F401
