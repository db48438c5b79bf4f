"""What this function serves: the environment that Terraform set, read once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.limits import Limits

#: The one variant of a model without a canary.
VARIANT = "stable"


@dataclass(frozen=True)
class InputConfig:
    """How an input becomes an array: `input` and `limits` of the registry entry."""

    format: str
    #: Height and width in pixels; None: as the model's signature says.
    size: tuple[int, int] | None = None
    #: Pillow's name for the channels (L, RGB, RGBA); None: as many channels as the signature has.
    mode: str | None = None
    #: Pixel values, 0 to 255, are multiplied by it; None: they stay.
    scale: float | None = None
    #: Per channel, what is subtracted from the scaled pixels and what the rest is divided by; empty: nothing.
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    #: Where the model has a pixel's channels: last (NHWC) or first (NCHW).
    layout: str = "NHWC"
    #: Names of the columns of CSV in the model's order; empty: they count as they stand.
    columns: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class OutputConfig:
    """What the numbers mean: `output` of the registry entry."""

    #: The file in the artifact with one label per line; None: predictions are the raw output.
    labels: str | None = None
    #: How many labels a prediction lists; None: all.
    top_k: int | None = None
    #: The least score of a label that a prediction lists; None: all.
    threshold: float | None = None
    #: What makes scores of the output (softmax, sigmoid); None: it is the scores.
    activation: str | None = None


@dataclass(frozen=True)
class Config:
    """One model and where its weights and results are."""

    name: str
    version: str
    digest: str
    runtime: str
    signature: str
    input: InputConfig
    output: OutputConfig
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    #: The folder of the artifact's files.
    artifact: Path
    #: Name of the results bucket.
    results: str


def read(environment: Mapping[str, str]) -> Config:
    """Read the configuration from the function's environment.

    Raises:
        KeyError: a variable or a field is missing; Terraform's module `model` sets them all.
    """
    model: dict[str, Any] = json.loads(environment["MODELYARD_MODEL"])
    source, target = model["input"], model.get("output") or {}
    size = source.get("size")
    return Config(
        name=model["name"],
        version=model["version"],
        digest=model["digest"],
        runtime=model["runtime"],
        signature=model["signature"],
        input=InputConfig(
            format=source["format"],
            size=(int(size[0]), int(size[1])) if size else None,
            mode=source.get("mode"),
            scale=source.get("scale"),
            mean=tuple(source.get("mean") or ()),
            std=tuple(source.get("std") or ()),
            layout=source.get("layout") or "NHWC",
            columns=tuple(source.get("columns") or ()),
            limits=Limits(**model.get("limits") or {}),
        ),
        output=OutputConfig(
            labels=target.get("labels"),
            top_k=target.get("top_k"),
            threshold=target.get("threshold"),
            activation=target.get("activation"),
        ),
        prefixes=tuple(model.get("prefixes") or ()),
        suffixes=tuple(model.get("suffixes") or ()),
        artifact=Path(environment["MODELYARD_WEIGHTS"]) / model["digest"],
        results=environment["MODELYARD_RESULTS"],
    )
