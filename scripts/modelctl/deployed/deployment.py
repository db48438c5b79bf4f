"""What was deployed, according to Terraform's outputs, and the clients for it."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.config import Config

from inference import keys
from modelctl.errors import UserError
from modelctl.registry import validation
from modelctl.targets import Target
from modelctl.terraform import initialising, local_runs

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

# Lambda's own limit: a call of a model waits as long as the function may run.
_LONGEST_CALL_S = 900
_CONFIG = Config(retries={"mode": "standard"}, max_pool_connections=32)


@dataclass(frozen=True)
class Model:
    """One served model; the fields are those of the Terraform output `deployment`."""

    name: str
    version: str
    digest: str
    runtime: str
    description: str
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    format: str
    function_name: str
    alias: str
    queue_url: str
    dead_letter_queue_url: str
    log_group: str
    memory_mb: int
    timeout_s: int
    #: Seconds after which an input that was received, but neither served nor given up, is received again.
    visibility_timeout_s: int
    retries: int

    def takes(self, key: str) -> bool:
        """Whether an upload under this key is routed to the model."""
        return keys.is_routed(key, self.prefixes, self.suffixes)


class Live(NamedTuple):
    """What is behind the alias of a model's function."""

    #: The model's version in the registry.
    version: str
    digest: str


class Deployment:
    """A deployment on one target.

    Args:
        target: where.
        outputs: a file with the output of `terraform output -json`, for users who may not read the state.

    Raises:
        UserError: nothing was applied there, or the file does not describe it.
    """

    def __init__(self, target: Target, outputs: Path | None = None):
        self.target = target
        described = _from_file(outputs) if outputs else _from_state(target)
        self.name: str = described["name"]
        # The deployment's region, regardless of the user's shell.
        self._session = target.session(described["region"])
        # A session may create only one client at a time; clients may be used by several threads.
        # https://boto3.amazonaws.com/v1/documentation/api/latest/guide/session.html
        self._makes_a_client = threading.Lock()
        self.inputs: str = described["buckets"]["inputs"]
        self.results: str = described["buckets"]["results"]
        #: How uploads are announced: `notification`, `eventbridge` or `both`. Earlier versions do not output it.
        self.event_way: str = described.get("event_way", "notification")
        self.models: Mapping[str, Model] = {
            name: Model(
                **{
                    # Earlier versions do not output this; Lambda requires six times the function's timeout.
                    "visibility_timeout_s": 6 * model["timeout_s"],
                    **model,
                    "name": name,
                    "prefixes": tuple(model["prefixes"]),
                    "suffixes": tuple(model["suffixes"]),
                }
            )
            for name, model in sorted(described["models"].items())
        }

    def model(self, name: str) -> Model:
        """The model of this name.

        Raises:
            UserError: it is not deployed.
        """
        if name not in self.models:
            raise UserError(
                f"no model is named {name!r}; {validation.known(name, self.models, 'the deployed models are')}"
            )
        return self.models[name]

    def live_digest(self, model: Model) -> str | None:
        """The digest of the weights that serve inputs and direct calls; None if nothing does."""
        live = self.live(model)
        return live.digest if live else None

    def live(self, model: Model) -> Live | None:
        """What serves inputs and direct calls of a model; None if nothing does."""
        functions = self.function_settings
        try:
            # Lambda's rate limit per account is higher for this call than for all others that read settings together.
            found = functions.get_function(FunctionName=model.function_name, Qualifier=model.alias)
        except functions.exceptions.ResourceNotFoundException:
            return None
        document = json.loads(found["Configuration"]["Environment"]["Variables"]["MODELYARD_MODEL"])
        return Live(str(document["version"]), str(document["digest"]))

    @cached_property
    def s3(self) -> "S3Client":
        """A client for the buckets."""
        with self._makes_a_client:
            return self._session.client("s3", config=_CONFIG)

    @cached_property
    def sqs(self) -> "SQSClient":
        """A client for the queues."""
        with self._makes_a_client:
            return self._session.client("sqs", config=_CONFIG)

    @cached_property
    def functions(self) -> "LambdaClient":
        """A client for calling functions: no retries, since a second call is a second prediction."""
        config = _CONFIG.merge(Config(read_timeout=_LONGEST_CALL_S, retries={"total_max_attempts": 1}))
        with self._makes_a_client:
            return self._session.client("lambda", config=config)

    @cached_property
    def function_settings(self) -> "LambdaClient":
        """A client for reading how functions are configured."""
        with self._makes_a_client:
            return self._session.client("lambda", config=_CONFIG)

    @cached_property
    def log_events(self) -> "CloudWatchLogsClient":
        """A client for the log groups."""
        with self._makes_a_client:
            return self._session.client("logs", config=_CONFIG)

    @cached_property
    def metrics(self) -> Any:
        """A client for metrics and alarms."""
        with self._makes_a_client:
            return self._session.client("cloudwatch", config=_CONFIG)


def _from_state(target: Target) -> Mapping[str, Any]:
    """The output `deployment` as Terraform reads it from the state."""

    def read() -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = target.root.outputs().get("deployment")
        return found

    try:
        described = read()
    except UserError as problem:
        if target.name == "local" and "state file" in str(problem):
            raise UserError(
                "the local stack's state is incomplete, as after an apply on a full disk: make room and "
                "run `modelctl up`, which completes it"
            ) from problem
        # If nothing is deployed, the root was usually never initialised; but in a fresh clone, the state may be
        # elsewhere. The local stack is initialised by commands that change it, which run one at a time.
        if "Backend initialization required" in str(problem) and not local_runs.BACKEND_OVERRIDE.exists():
            described = None
        elif target.name == "aws" and initialising.is_needed(problem):
            initialising.init(target)
            described = read()
        else:
            raise
    if not described:
        raise UserError(
            "nothing is deployed: run `modelctl up` for the local stack, or `modelctl apply --target aws` for AWS"
        )
    return described


def _from_file(outputs: Path) -> Mapping[str, Any]:
    """The output `deployment` in a file."""
    try:
        found: Mapping[str, Any] = json.loads(outputs.read_text(encoding="utf-8"))["deployment"]["value"]
        found["buckets"], found["models"], found["region"]
    except OSError as problem:
        raise UserError(f"MODELYARD_OUTPUTS: {outputs} cannot be read: {problem.strerror}") from problem
    except (ValueError, KeyError, TypeError) as problem:
        raise UserError(
            f"MODELYARD_OUTPUTS: {outputs} is not what `terraform output -json` prints for a deployment: write it "
            "again, where the state can be read, with `terraform -chdir=terraform output -json > FILE`"
        ) from problem
    return found
