"""The environment variables that Lambda sets, for code that runs a function as Lambda would.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
"""

import sysconfig
from pathlib import Path


def settings(function_name: str, memory_mb: int) -> dict[str, str]:
    """The variables from the configuration of a function that logs as JSON, without provisioned concurrency."""
    return {
        "AWS_LAMBDA_FUNCTION_NAME": function_name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }


def places(task_root: Path, layers: Path, programs: Path) -> dict[str, str]:
    """The variables with paths: the function's code, its layers, and the folder of the interpreter."""
    version = sysconfig.get_python_version()
    return {
        "LAMBDA_TASK_ROOT": str(task_root),
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin:{layers}/bin",
        "LD_LIBRARY_PATH": f"{task_root}:{task_root}/lib:{layers}/lib",
        "PYTHONPATH": f"{layers}/python/lib/python{version}/site-packages:{layers}/python",
    }
