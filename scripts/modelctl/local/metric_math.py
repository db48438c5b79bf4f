"""CloudWatch's metric math, as far as the platform's alarms and graphs use it.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

#: The value at one point in time, or None without data.
Value = float | None

_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_IN_PYTHON = {"&&": " and ", "||": " or ", "^": "**", " AND ": " and ", " OR ": " or "}
_FOREIGN = re.compile("|".join(map(re.escape, _IN_PYTHON)))


class ExpressionError(Exception):
    """An expression that this emulation does not support, although CloudWatch may."""


def evaluate(expression: str, values: Mapping[str, Value]) -> Value:
    """The value of an expression at one point in time.

    Args:
        expression: arithmetic, comparisons, `AND`, `OR` and `IF` over numbers and the ids of other queries.
        values: the values of the other queries, by id.

    Returns:
        None if data is missing, or for a division by zero.

    Raises:
        ExpressionError: it is not such an expression.
    """
    # For these operators, Python has the same precedence as CloudWatch.
    try:
        tree = ast.parse(_FOREIGN.sub(lambda found: _IN_PYTHON[found[0]], expression.strip()), mode="eval")
    except SyntaxError as error:
        raise ExpressionError(f"{expression} cannot be read: {error.msg}") from error
    try:
        return _value(tree.body, values)
    except (ZeroDivisionError, OverflowError):
        return None


def _value(node: ast.expr, values: Mapping[str, Value]) -> Value:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _value(operand, values)
            return None if value is None else -value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _both(_OPERATORS[type(op)], _value(left, values), _value(right, values))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPERATORS:
            return _both(_OPERATORS[type(op)], _value(left, values), _value(right, values))
        case ast.BoolOp(op=op, values=operands):
            known = [_value(operand, values) for operand in operands]
            return None if None in known else float((all if isinstance(op, ast.And) else any)(known))
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, *rest], keywords=[]) if len(rest) <= 1:
            holds = _value(condition, values)
            if holds is None:
                return None
            if holds:
                return _value(then, values)
            return _value(rest[0], values) if rest else None
    raise ExpressionError(f"{ast.unparse(node)} is not emulated")


def _both(do: Callable[[float, float], Any], left: Value, right: Value) -> Value:
    return None if left is None or right is None else float(do(left, right))
