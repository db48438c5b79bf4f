"""Our handler, its modules imported by statements: `-X importtime` tells of those alone, and not of `import_module`."""

import inference.runtimes.litert  # noqa: F401
from inference.handler import handler  # noqa: F401
