"""What a deployment costs: each amount is computed here by hand, from AWS's prices in us-east-1."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import cost_tables
from modelctl import costs, paths
from modelctl.costs import Use

RECORDED = Path(__file__).with_name("plans")
METRIC = {"metric": [{"metric_name": "InputErrors"}]}


def recorded(name: str) -> Any:
    """A plan by the name of its file."""
    return json.loads((RECORDED / f"{name}.json").read_text())


def dollars(units: costs.Units) -> float:
    """To the cent."""
    return round(costs.usd(units), 2)


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        # Five pollers ask three times a minute: 657,000 requests in 730 hours, at $0.40 per million.
        ("aws_lambda_event_source_mapping", {}, 0.26),
        ("aws_cloudwatch_metric_alarm", {"metric_query": []}, 0.10),
        # Two metrics and an expression on them.
        ("aws_cloudwatch_metric_alarm", {"metric_query": [METRIC, METRIC, {"metric": []}]}, 0.20),
        ("aws_cloudwatch_composite_alarm", {}, 0.50),
        ("aws_cloudwatch_dashboard", {}, 3.00),
        ("aws_kms_key", {}, 1.00),
        ("aws_sqs_queue", {}, 0),
    ],
)
def test_a_resource_costs_at_rest_what_aws_charges_for_it(kind: str, values: dict[str, Any], expected: float) -> None:
    assert dollars(costs.at_rest([(kind, values)])) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    # 10 GB for $0.023 each in S3; a model's files for $0.30 each on EFS as well.
    [("packages/litert.zip", 0.23), ("models/digits/d1/digits.tflite", 3.23)],
)
def test_a_file_is_stored_in_s3_and_that_of_a_model_on_efs_as_well(tmp_path: Path, key: str, expected: float) -> None:
    file = tmp_path / "file"
    with file.open("wb") as sparse:
        sparse.truncate(10 * 10**9)
    assert dollars(costs.at_rest([("aws_s3_object", {"key": key, "source": str(file)})])) == expected
    # Terraform counts relative paths from its folder. A file that is gone is not counted.
    assert costs.at_rest([("aws_s3_object", {"key": key, "source": "gone"})]) == {"s3_gb": 0, "efs_gb": 0}


@pytest.mark.parametrize(
    ("kind", "values", "known"),
    [
        ("aws_vpc_endpoint", {"vpc_endpoint_type": "Gateway"}, True),
        ("aws_vpc_endpoint", {"vpc_endpoint_type": "Interface"}, False),
        ("aws_efs_file_system", {"throughput_mode": "elastic"}, True),
        ("aws_efs_file_system", {"throughput_mode": "provisioned"}, False),
        ("aws_nat_gateway", {}, False),
        ("aws_kms_key", {}, True),
        ("aws_iam_role", {}, True),
    ],
)
def test_what_costs_by_the_hour_is_not_taken_for_free(kind: str, values: dict[str, Any], known: bool) -> None:
    assert costs.is_known(kind, values) == known


def test_a_plan_costs_something_before_and_after_it_is_applied() -> None:
    """Both of its models have the three alarms of their time, of one metric each."""
    plan = recorded("first_apply")
    # The dashboard and the key; two queues that are polled; six alarms.
    assert [round(usd, 2) for usd in costs.before_after(plan)] == [0, round(3 + 1 + 2 * 0.2628 + 6 * 0.10, 2)]
    for resource in plan["resource_changes"]:
        change = resource["change"]
        change["before"], change["after"] = change["after"], None
    assert [round(usd, 2) for usd in costs.before_after(plan)] == [5.13, 0]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0, 5.1256, "about $5.13 per month in us-east-1"),
        (5.1256, 5.7884, "about $5.79 per month in us-east-1, $0.66 more than now"),
        (1234.5, 1199.9, "about $1,199.90 per month in us-east-1, $34.60 less than now"),
        (5.1256, 5.1259, "about $5.13 per month in us-east-1"),
    ],
)
def test_a_plan_says_what_it_costs_at_rest(before: float, after: float, expected: str) -> None:
    assert costs.says(before, after) == f"at rest: {expected} (docs/costs.md)"


BUSY = Use(
    inputs=1_000_000,
    per_call=10,
    input_s=0.03,
    cold_starts=500,
    cold_start_s=0.5,
    memory_mb=2048,
    weights_mb=100,
    stored_kb=50,
    hours=365,
    by_event=True,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3_writes", 10.00),  # an upload and a result each, at $5 per million
        ("s3_reads", 0.80),  # whether there is a result, and the input, at $0.40 per million
        ("s3_gb", 1.15),  # 50 GB at $0.023
        ("events", 1.00),
        ("sqs_requests", 0.48),  # S3 sends a million, Lambda receives and deletes 100,000 batches: 1.2 million at $0.40
        ("lambda_requests", 0.02),  # 100,000 at $0.20 per million
        ("lambda_gb_s", 1.01),  # (30,000 s + 250 s) of 2 GB at $0.0000166667
        ("efs_read_gb", 1.50),  # 500 times 0.1 GB at $0.03
        ("custom_metrics", 0.90),  # six, half of the month, at $0.30
        ("log_gb", 0.33),  # 100,000 times 1,500 bytes and a million times 500: 0.65 GB at $0.50
    ],
)
def test_a_month_of_use_costs_what_aws_charges_for_it(name: str, expected: float) -> None:
    units = costs.in_use(BUSY)
    assert dollars({name: units[name]}) == expected


def test_large_batches_need_several_requests_to_sqs() -> None:
    """A request receives or deletes up to ten messages: of 100, each takes ten, and a batch of 11 takes two."""
    for per_call, requests in ((1, 3_000_000), (10, 1_200_000), (100, 1_200_000), (11, 1_000_000 + 4 * 1_000_000 / 11)):
        units = costs.in_use(Use(1_000_000, per_call, 0, 0, 0, 1024, 0, 0, 0))
        assert units["sqs_requests"] == requests
        assert units["events"] == 0


def test_every_price_has_a_page_of_aws_and_a_day() -> None:
    as_of, prices = costs.prices()
    assert date.fromisoformat(as_of).isoformat() == as_of
    assert [price.page for price in prices.values() if not price.page.startswith("https://aws.amazon.com/")] == []


# --- docs/costs.md ----------------------------------------------------------------------------------------------------


def test_the_text_has_the_amounts_that_follow_from_the_prices() -> None:
    """Those beside the tables, which `make docs` writes."""
    text = " ".join((paths.CHECKOUT / "docs" / "costs.md").read_text().split())
    model = {"sqs_requests": 657_000, "alarm_metrics": 4}
    deployment = {"dashboards": 1, "keys": 1, "composite_alarms": 1}
    two, three = (costs.usd(costs.added([deployment, *[model] * number])) for number in (2, 3))
    for says in (
        f"cost about ${costs.usd({**model, 'efs_gb': 0.05, 's3_gb': 0.05}):.1f}0 each per month",
        costs.says(two, three),
        f"a million inputs: ${costs.usd({'custom_metrics': costs.METRICS}):.2f}",
        f"A million inputs cost ${costs.usd({'s3_writes': 2_000_000}):.0f} to upload and to answer",
        f"500 MB with 1,000 cold starts a day costs ${costs.usd({'efs_read_gb': 0.5 * 1_000 * 30}):.0f} per month",
        f"function of 1 GB that never stops costs ${costs.usd({'lambda_gb_s': 730 * 3600}):.0f} per month",
        f"node with 8 GB costs ${costs.usd({'node_hours': 730}):.0f}",
        f"| 1 million SQS requests | ${costs.usd({'sqs_requests': 1_000_000}):.2f},",
        f"| 10 metrics of alarms | ${costs.usd({'alarm_metrics': 10}):.2f},",
        f"| ${costs.usd({'lambda_requests': 1_000_000, 'lambda_gb_s': 400_000}):.2f} |",
        f"| 5 GB of logs | ${costs.usd({'log_gb': 5}):.2f} |",
        f"images of models with `runtime: tensorflow`, for ${costs.usd({'ecr_gb': 1}):.2f} per GB",
        f"{costs.LOG_BYTES_PER_CALL:,} bytes of log",
        f"{costs.LOG_BYTES_PER_INPUT} bytes of log",
    ):
        assert says in text


def test_the_readme_compares_what_100_models_cost_at_rest() -> None:
    (_, endpoints), (_, cluster), (_, ours) = cost_tables.comparison()[1]
    # An hour of an endpoint costs $0.056, of a cluster $0.10, of a node $0.096; a month has 730.
    assert (endpoints, cluster) == ("$4,088.00", "$283.24")
    # $4.00, and four alarms on alarms at $0.50; 100 times 0.2628 + 0.40 and 50 MB at $0.323 per GB: $73.895.
    assert ours == "$73.89"
    rows = re.findall(r"^\| [^|]+ \| \$([0-9,]+): ", (paths.CHECKOUT / "README.md").read_text(), re.MULTILINE)
    assert rows == [f"{float(amount[1:].replace(',', '')):,.0f}" for amount in (endpoints, cluster, ours)]


@pytest.mark.parametrize(("page", "models", "alarms"), [("operations", 2, 1), ("releases", 99, 4)])
def test_the_plans_of_other_pages_cost_as_much_as_their_models(page: str, models: int, alarms: int) -> None:
    per_model = {"sqs_requests": 657_000, "alarm_metrics": 4}
    deployment = {"dashboards": 1, "keys": 1, "composite_alarms": alarms}
    cost = costs.usd(costs.added([deployment, *[per_model] * models]))
    lines = re.findall(r"^at rest: .*", (paths.DOCS / f"{page}.md").read_text(), re.MULTILINE)
    assert lines == [costs.says(cost, cost)]


@pytest.mark.parametrize(
    "page", sorted({*paths.DOCS.glob("*.md")} - {paths.DOCS / "costs.md"}), ids=lambda page: page.stem
)
def test_a_paragraph_that_states_a_price_links_to_the_page_of_prices(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    # Tables have descriptions of Terraform's, which have no links. An item of a list is a paragraph of its own.
    parts = re.split(r"\n\n|\n(?=- )", prose)
    stating = [part for part in parts if re.search(r"^[^|]*\$[0-9]", part)]
    assert [part for part in stating if "](costs.md" not in part] == []


def test_the_descriptions_of_fields_and_inputs_state_the_prices() -> None:
    schema = json.loads((paths.TERRAFORM / "modules" / "registry" / "model_registry.schema.json").read_text())
    alarm, events = costs.usd({"alarm_metrics": 1}), costs.usd({"events": 1_000_000})
    said = f"Each alarm costs ${alarm:.2f} per month, input_error_share twice that."
    assert schema["$defs"]["alarms"]["description"].endswith(said)
    assert f"AWS charges ${events:.0f} per million of these events" in (paths.TERRAFORM / "variables.tf").read_text()
