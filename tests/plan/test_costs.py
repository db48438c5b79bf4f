"""What a deployment costs at rest is known of everything that is planned, and docs/costs.md counts what is planned."""

from collections.abc import Callable
from pathlib import Path

import yaml

from modelctl import costs, paths
from plan.planned import Plan

COSTS = Path(__file__).with_name("costs.yaml")
MODELS = list(yaml.safe_load(paths.REGISTRY.read_text())["models"])
#: Has the default alarms.
MODEL = "wine"


def at_rest(plan: Plan, counts: Callable[[str], bool]) -> dict[str, float]:
    """What the resources with such addresses cost at rest, without storage and composite alarms."""
    others = ("aws_s3_object", "aws_cloudwatch_composite_alarm")
    counted = ((plan.types[address], values) for address, values in plan.resources.items() if counts(address))
    return dict(costs.at_rest((kind, values) for kind, values in counted if kind not in others))


def of(model: str) -> Callable[[str], bool]:
    """Whether a resource belongs to a model."""
    return lambda address: f'["{model}"]' in address


def test_it_is_known_of_every_planned_resource_what_it_costs_at_rest(plan: Plan) -> None:
    """Of a new one somebody has to look it up, and add it to modelctl/costs.py."""
    assert [address for address, it in plan.resources.items() if not costs.is_known(plan.types[address], it)] == []


def test_the_docs_count_what_is_planned(plan: Plan, rewriting: bool) -> None:
    found = {
        "deployment": at_rest(plan, lambda address: not any(of(name)(address) for name in MODELS)),
        "model": at_rest(plan, of(MODEL)),
    }
    text = COSTS.read_text()
    if rewriting:
        comment = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
        text = comment + yaml.safe_dump({**yaml.safe_load(text), **found}, sort_keys=False)
        COSTS.write_text(text)
    recorded = yaml.safe_load(text)
    assert found == {part: recorded[part] for part in found}, "`make expected` and `make docs` rewrite what is counted"
    assert len(plan.of_type("aws_cloudwatch_composite_alarm")) == recorded["composite_alarms"][len(MODELS)]


def test_a_model_with_three_more_alarms_costs_30_cents_more(plan: Plan) -> None:
    assert round(costs.usd(at_rest(plan, of("digits"))) - costs.usd(at_rest(plan, of(MODEL))), 10) == 0.3


def test_the_dashboard_shows_eight_metrics_per_model(plan: Plan) -> None:
    """Up to 50 are free, which the docs say are six models."""
    (dashboard,) = plan.of_type("aws_cloudwatch_dashboard").values()
    shown = [metric for widget in dashboard["dashboard_body"]["widgets"] for metric in widget["properties"]["metrics"]]
    assert len(shown) == 8 * len(MODELS)


def test_what_is_stored_is_every_file_once_and_the_models_files_also_on_efs(plan: Plan) -> None:
    uploaded = plan.of_type("aws_s3_object").values()
    weights = [
        file
        for name in MODELS
        for file in (paths.CHECKOUT / "models" / name / "artifact").rglob("*")
        if file.is_file() and not file.name.startswith(".")
    ]
    stored = costs.at_rest(("aws_s3_object", values) for values in uploaded)
    assert round(stored["efs_gb"] * 10**9) == sum(file.stat().st_size for file in weights)
    # Others have no file: a few bytes of text.
    packages = [
        paths.TERRAFORM / each["source"]
        for each in uploaded
        if each["source"] and not each["key"].startswith("models/")
    ]
    assert round(stored["s3_gb"] * 10**9) == sum(file.stat().st_size for file in (*weights, *packages))
