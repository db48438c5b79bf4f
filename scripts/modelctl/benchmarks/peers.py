"""Our functions beside other ways to serve the same models: BentoML, MLServer, and the classic handler for uploads.

The servers are started as in their documentation, with one worker, each in its own environment (scripts/requirements).
Everything listens on 127.0.0.1 and ends with the measurement.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from modelctl import console, interrupts, paths
from modelctl.benchmarks import uploads
from modelctl.benchmarks.functions import Function, Model, Workshop
from modelctl.benchmarks.measurements import DIGITS, PARITY, SCAN, check_alike
from modelctl.benchmarks.rows import compare
from modelctl.benchmarks.uploads import Uploads
from modelctl.errors import UserError
from modelctl.local import memory
from modelctl.packaging import environments

#: The direct calls, and the uploads, per side that are counted for the processor time per call.
_CALLS, _UPLOADS = 300, 30

#: Calls before those.
_WARM = 5

_TIMEOUT_S = 120

_SCANS = {"instances": [[[[pixel] for pixel in row] for row in SCAN]]}

_SERVICES = Path(__file__).with_name("services")


class Figures(NamedTuple):
    """The figures of one start of one side."""

    #: Milliseconds from the start of the process to its first answer.
    first_answer: float
    #: The peak resident memory of its processes, in MB.
    memory: float
    #: Milliseconds per call.
    processor_time: float


#: The names of the figures, and their units.
_FIGURES = {"first_answer": "ms", "memory": "MB", "processor_time": "ms"}


@dataclass(frozen=True)
class Comparison:
    """One figure of ours and of a peer: medians, and the median and the quartiles of theirs divided by ours."""

    model: str
    peer: str
    figure: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    spread: tuple[float, float]
    runs: int

    def document(self) -> dict[str, Any]:
        """The comparison as `--json` prints it."""
        numbers = {"ours": self.ours, "theirs": self.theirs, "ratio": self.ratio}
        return {
            "model": self.model,
            "peer": self.peer,
            "figure": self.figure,
            "unit": self.unit,
            **{name: round(number, 3) for name, number in numbers.items()},
            "spread": [round(number, 3) for number in self.spread],
            "runs": self.runs,
        }


def comparisons(model: str, peer: str, pairs: Sequence[tuple[Figures, Figures]]) -> Iterator[Comparison]:
    """The three figures from pairs of ours and theirs; the two of a pair were measured in direct succession."""
    for place, (figure, unit) in enumerate(_FIGURES.items()):
        row = compare(figure, peer, [(ours[place], theirs[place]) for ours, theirs in pairs], faster=True)
        yield Comparison(
            model=model,
            peer=peer,
            figure=figure.replace("_", " "),
            unit=unit,
            ours=row.measured,
            theirs=row.baseline,
            ratio=row.ratio,
            spread=row.spread,
            runs=row.runs,
        )


@dataclass(frozen=True)
class Peer:
    """A server, by the name of its environment.

    Attributes:
        name: the name of its package.
        path: where it accepts requests.
    """

    name: str
    path: str

    def body(self) -> bytes:
        """The request."""
        if self.name == "bentoml":
            return json.dumps(_SCANS).encode()
        flat = [pixel for row in SCAN for pixel in row]
        tensor = {"name": "scan", "shape": [1, 8, 8, 1], "datatype": "FP32", "data": flat}
        return json.dumps({"inputs": [tensor]}).encode()

    def scores(self, answer: Any) -> Any:
        """The scores of an answer."""
        return answer if self.name == "bentoml" else [answer["outputs"][0]["data"]]

    def command(self, python: Path, folder: Path, port: int) -> list[str | Path]:
        """The command that starts it; the files that it reads are written to `folder`."""
        if self.name == "bentoml":
            serve = ("serve", "bentoml_service:Digits", "--host", "127.0.0.1", "--port", str(port), "--quiet")
            return [python.with_name("bentoml"), *serve, "--working-dir", _SERVICES]
        settings = {
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": _free_port(),
            "metrics_endpoint": None,
            # The model in the server's own process.
            "parallel_workers": 0,
            "debug": False,
        }
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        model = {"name": "digits", "implementation": "mlserver_service.Digits"}
        (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
        return [python.with_name("mlserver"), "start", folder]


PEERS = (Peer("bentoml", "/predict"), Peer("mlserver", "/v2/models/digits/infer"))


def measure(runs: int) -> list[Comparison]:
    """Measure everything, each side `runs` times, alternately.

    Raises:
        UserError: an environment could not be created, a side did not answer, or two sides answered differently.
    """
    pythons = {}
    for peer in PEERS:
        with console.step(f"environment of {peer.name}"):
            lock = paths.CHECKOUT / "scripts" / "requirements" / f"{peer.name}.txt"
            pythons[peer.name] = environments.ensure(peer.name, lock) / "bin" / "python"
    found: list[Comparison] = []
    with tempfile.TemporaryDirectory() as scratch, uploads.served(Path(scratch) / "stack") as s3:
        workshop = Workshop(Path(scratch), ["litert", "tensorflow"], s3.access, uploads.RESULTS)
        for model in (DIGITS, PARITY):
            ours = workshop.function("counted.handler", model, tensorflow=model.runtime == "tensorflow")
            for peer in PEERS:
                what = f"{model.name} on {model.runtime}, against {peer.name}"
                pairs = []
                with console.step(f"{what} (pairs: {runs})") as tell:
                    # The first pair reads files that are not in memory.
                    for number in range(runs + 1):
                        pair = _ours(ours), _theirs(peer, pythons[peer.name], model)
                        check_alike(what, pair[0][1], pair[1][1])
                        pairs.append((pair[0][0], pair[1][0]))
                        tell(f"{number} done")
                found += comparisons(f"{model.name}, {model.runtime}", peer.name, pairs[1:])
        found += _against_the_classic_handler(workshop, s3, runs)
    return found


def _against_the_classic_handler(workshop: Workshop, s3: Uploads, runs: int) -> Iterator[Comparison]:
    """Uploads: the SavedModel converted to LiteRT, as `modelctl import` does, and TensorFlow in a handler."""
    converted = workshop.converted(PARITY)
    ours = workshop.function("counted.handler", converted, tensorflow=True)
    theirs = workshop.function("counted.handler", PARITY, tensorflow=True, HANDLER="tensorflow_s3")
    peer = "import tensorflow, saved_model.load"
    pairs = []
    with console.step(f"uploads for {PARITY.name}, against {peer} (pairs: {runs})") as tell:
        for number in range(runs + 1):
            pair = _uploaded(ours, s3, f"{number}/ours"), _uploaded(theirs, s3, f"{number}/theirs")
            check_alike("uploads", pair[0][1], pair[1][1])
            pairs.append((pair[0][0], pair[1][0]))
            tell(f"{number} done")
    yield from comparisons(f"{PARITY.name}, uploaded", peer, pairs[1:])


def _ours(function: Function) -> tuple[Figures, Any]:
    """One start of our function for direct calls, and its answer."""
    figures, answers = _counted(function, [_SCANS] * (_WARM + _CALLS), _CALLS)
    return figures, answers[0]["predictions"]


def _uploaded(function: Function, s3: Uploads, folder: str) -> tuple[Figures, Any]:
    """One start of a function for uploads, each in an event of its own, and its predictions."""
    scan = json.dumps(_SCANS).encode()
    keys = [f"digits-tf/{folder}/{number}.json" for number in range(_WARM + _UPLOADS)]
    figures, _ = _counted(function, [{"Records": [s3.upload(key, scan)]} for key in keys], _UPLOADS)
    predictions = list(s3.take_predictions().values())
    check_alike(folder, predictions, predictions[:1] * len(keys))
    return figures, predictions[0]


def _counted(function: Function, events: Sequence[Any], counted: int) -> tuple[Figures, list[Any]]:
    """One start of a function, whose processor time is counted for the last events; and its answers."""
    clock = "processor time"
    run = function.run([*events[:-counted], clock, *events[-counted:], clock])
    before, after = run.answers[len(events) - counted], run.answers[-1]
    return Figures(run.answered_ms[0], run.peak_memory_mb, (after - before) / counted), run.answers


def _theirs(peer: Peer, python: Path, model: Model) -> tuple[Figures, Any]:
    """One start of a peer's server, and its answer."""
    body = peer.body()
    with tempfile.TemporaryDirectory() as scratch:
        folder, port = Path(scratch), _free_port()
        variables = {
            "PATH": f"{python.parent}:/usr/bin:/bin",
            "HOME": scratch,
            "LANG": "C.UTF-8",
            "MODEL": str(model.path),
            "PYTHONPATH": str(_SERVICES),
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENTOML_HOME": scratch,
            "BENTOML_DO_NOT_TRACK": "True",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = peer.command(python, folder, port)
        started = time.perf_counter()
        with running(command, variables, folder) as process:
            answer = _first_answer(peer, port, body, process, folder)
            first_answer = (time.perf_counter() - started) * 1000
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
            for _ in range(_WARM):
                _ask(connection, peer, body)
            before = _processor_ms(process.pid)
            for _ in range(_CALLS):
                _ask(connection, peer, body)
            spent = _processor_ms(process.pid) - before
            connection.close()
            resident = sum(memory.peak_mb(pid, isolated=False) for pid in memory.tree(process.pid))
    return Figures(first_answer, resident, spent / _CALLS), peer.scores(answer)


@contextmanager
def running(
    command: Sequence[str | Path], variables: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server, whose output goes to `folder`/output; at the end, all its processes are ended."""
    with (folder / "output").open("wb") as output, interrupts.deferred():
        process = subprocess.Popen(
            command,
            env=dict(variables),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches only this process, which then ends the server.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with interrupts.deferred():
            everything = memory.tree(process.pid)
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            for pid in everything:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def _first_answer(peer: Peer, port: int, body: bytes, process: subprocess.Popen[bytes], folder: Path) -> Any:
    """Send requests until it answers.

    Raises:
        UserError: it ended, or did not answer in time; the message has the end of its output.
    """
    until = time.monotonic() + _TIMEOUT_S
    while process.poll() is None and time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        try:
            return _ask(connection, peer, body)
        except (OSError, http.client.HTTPException, _NotReadyError):
            time.sleep(0.005)
        finally:
            connection.close()
    output = (folder / "output").read_text(encoding="utf-8", errors="replace")
    raise UserError(f"{peer.name} does not answer on port {port}; it wrote:\n{output[-2000:]}")


class _NotReadyError(Exception):
    """A server answers, but not with a prediction."""


def _ask(connection: http.client.HTTPConnection, peer: Peer, body: bytes) -> Any:
    connection.request("POST", peer.path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != http.HTTPStatus.OK:
        raise _NotReadyError(f"{response.status}: {answer[:200]!r}")
    return json.loads(answer)


def _processor_ms(pid: int) -> float:
    """Milliseconds of processor time that a process and its children have taken."""
    ticks = 0
    for process in memory.tree(pid):
        # After the name, which is in brackets and may contain anything:
        # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def table(found: Sequence[Comparison]) -> None:
    """Print the comparisons."""
    console.table(
        ("model", "against", "figure", "ours", "theirs", "theirs / ours", "half of them"),
        [
            (
                each.model,
                each.peer,
                each.figure,
                f"{each.ours:.2f} {each.unit}",
                f"{each.theirs:.2f} {each.unit}",
                f"{each.ratio:.1f}",
                f"{each.spread[0]:.1f} to {each.spread[1]:.1f}",
            )
            for each in found
        ],
        right=("ours", "theirs", "theirs / ours"),
    )
