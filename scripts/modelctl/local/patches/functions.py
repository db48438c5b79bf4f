"""Lambda: functions run in execution environments of this stack, with the limits and roles that AWS requires."""

import contextlib
import functools
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from ministack.core import lambda_runtime
from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from inference import CHECK
from modelctl.local import logs, memory, metrics, permissions
from modelctl.local.execution import Host
from modelctl.local.layout import MAX_CHECKS, MAX_ENVIRONMENTS
from modelctl.local.patches.patching import replace
from modelctl.local.worker import FunctionWorker

_VPC_ACTIONS = ("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface")

Response = tuple[int, dict[str, str], bytes]
Record = dict[str, Any]

# Each call has its own thread, so those that wait here do not block others.
_checks = threading.BoundedSemaphore(MAX_CHECKS)


def install(host: Host) -> None:
    """Patch how the Lambda service creates and runs functions."""
    # Modelyard's functions are all Python.
    replace(lambda_runtime, "_worker_class_for", lambda _: lambda config: functools.partial(FunctionWorker, host))
    replace(lambda_svc, "_execute_function_warm", lambda _: _execute)
    # `_execute` has already written the log.
    replace(lambda_svc, "_emit_lambda_logs", lambda _: lambda *arguments, **named: None)
    # It covers only direct calls; `_run` and `_admission` record the metrics of all calls.
    replace(lambda_svc, "_emit_lambda_metrics", lambda _: lambda *arguments, **named: None)
    replace(lambda_svc, "_acquire_execution_slot", _admission)
    replace(lambda_svc, "_reserved_concurrency", _shared_reservation)
    replace(
        lambda_svc,
        "_create_function",
        lambda create: lambda data: _without_code(data) or _without_network(data) or create(data),
    )
    replace(lambda_svc, "_update_config", _checked_update)
    threading.Thread(target=_bound_memory, daemon=True, name="memory").start()


# --- running ----------------------------------------------------------------------------------------------------------


def _execute(func: Record, event: Any, request_id: str) -> dict[str, Any]:
    """Run a function in its own execution environment, as Lambda does, and write its log."""
    is_check = isinstance(event, dict) and event.keys() == {CHECK}
    with _checks if is_check else contextlib.nullcontext():
        return _run(func, event, request_id)


def _run(func: Record, event: Any, request_id: str) -> dict[str, Any]:
    config = func["config"]
    name, version = config["FunctionName"], config["Version"]
    lambda_svc._ensure_reaper_thread()
    worker, _ = lambda_runtime.acquire_worker(name, config, func["code_zip"], qualifier=version)
    try:
        _make_room()
        invocation = worker.invoke(
            event, request_id, arn=config["FunctionArn"], trace_id=lambda_svc._xray_trace_id_for_invocation(config)
        )
    finally:
        lambda_runtime.release_worker(worker)
    metrics.invoked(name, invocation.duration_ms, failed=invocation.failed)
    logs.write(config, invocation.log_stream, invocation.lines)
    text = "\n".join(line.text for line in invocation.lines)
    return {"body": invocation.payload, "log": text} | ({"error": True} if invocation.failed else {})


def _make_room() -> None:
    """End idle environments, the one that has been idle longest first, until no more are alive than allowed.

    Lambda ends idle environments when it needs their place; the emulator would keep one of every version forever.
    """
    doomed = []
    with lambda_runtime._lock:
        pools = lambda_runtime._workers
        idle = sorted(
            ((worker.last_used, key, worker) for key, pool in pools.items() for worker in pool if not worker.in_use),
            key=lambda entry: entry[0],
        )
        excess = sum(len(pool) for pool in pools.values()) - MAX_ENVIRONMENTS
        for _, key, worker in idle[: max(0, excess)]:
            pools[key].remove(worker)
            doomed.append(worker)
    lambda_runtime.kill_workers(doomed)


def _bound_memory() -> NoReturn:
    """Enforce the memory of busy environments; Lambda would have frozen the others."""
    while True:
        time.sleep(memory.LOOK_EVERY_S)
        with lambda_runtime._lock:
            busy = [worker for pool in lambda_runtime._workers.values() for worker in pool if worker.in_use]
        for worker in busy:
            worker.bound_memory()


# --- concurrency ------------------------------------------------------------------------------------------------------


def _admission(original: Callable[..., tuple[str | None, str | None]]) -> Callable[..., tuple[str | None, str | None]]:
    """The metrics count every call that is admitted or throttled."""

    def admit(func: Record, config: Record) -> tuple[str | None, str | None]:
        slot, limit = original(func, config)
        running = None if slot is None else lambda_svc._inflight.get(slot, 1)
        metrics.admitted(config["FunctionName"], running)
        return slot, limit

    return admit


def _shared_reservation(original: Callable[[Record, Record], int | None]) -> Callable[[Record, Record], int | None]:
    """A function's reserved concurrency is shared by all its versions and aliases.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html. The emulator stores it with the
    function but looks it up in the version.
    """

    def reserved(func: Record, config: Record) -> int | None:
        return original(lambda_svc._functions.get(config["FunctionName"]) or func, config)

    return reserved


# --- what AWS refuses -------------------------------------------------------------------------------------------------


def _without_code(data: Record) -> Response | None:
    """Return the error for a function whose code is not in S3, or None; the emulator would run a mock instead."""
    code = data.get("Code") or {}
    if "S3Key" not in code:
        return None
    if lambda_svc._fetch_code_from_s3(code["S3Bucket"], code["S3Key"], version_id=code.get("S3ObjectVersion")):
        return None
    return _invalid(
        "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."
    )


def _without_network(data: Record) -> Response | None:
    """Return the error for a function in a VPC whose role may not manage its network interfaces, or None.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
    """
    if not (data.get("VpcConfig") or {}).get("SubnetIds"):
        return None
    for action in _VPC_ACTIONS:
        if not permissions.role_allows(data["Role"], action, "*"):
            short = action.removeprefix("ec2:")
            return _invalid(f"The provided execution role does not have permissions to call {short} on EC2")
    return None


def _invalid(message: str) -> Response:
    response: Response = error_response_json("InvalidParameterValueException", message, 400)
    return response


def _checked_update(original: Callable[[str, Record], Response]) -> Callable[[str, Record], Response]:
    def update(name: str, data: Record) -> Response:
        present = (lambda_svc._functions.get(name) or {}).get("config") or {}
        wanted = {key: data.get(key) or present.get(key) for key in ("VpcConfig", "Role")}
        return _without_network(wanted) or original(name, data)

    return update
