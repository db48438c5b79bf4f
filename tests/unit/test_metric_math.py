"""What CloudWatch's expressions give, as far as the local stack computes them."""

import pytest

from modelctl.local.metric_math import ExpressionError, Value, evaluate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("IF(inputs >= 5, share, 0)", 0.5),
        ("IF(inputs > 5, share, 0)", 0),
        ("IF(inputs > 5, share)", None),
        ("IF(nothing > 5, share, 0)", None),
        ("IF(inputs >= 5 && share < 0.5, 1, 2)", 2),
        ("IF(inputs < 5 OR share == 0.5, 1, 2)", 1),
        ("inputs + share * 2 ^ 3", 9),
        ("(inputs - 1) / -2", -2),
        ("share / 0", None),
        ("nothing + 1", None),
    ],
)
def test_an_expression_gives_what_cloudwatch_says_it_does(expression: str, value: Value) -> None:
    assert evaluate(expression, {"inputs": 5.0, "share": 0.5, "nothing": None}) == value


@pytest.mark.parametrize(
    "expression", ["SEARCH('{AWS/SQS,QueueName}', 'Sum')", "unknown + 1", "inputs +", "inputs < 1 < 2"]
)
def test_what_is_not_computed_is_named(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(expression, {"inputs": 5.0})
