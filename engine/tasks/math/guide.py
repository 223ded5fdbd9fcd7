"""The scripted policies: `guide`, a solver of what is plain arithmetic, and `random`.

The guide sees only the prompt, as a model does, and its answer depends on nothing else. It solves
sums, products, expressions, greatest divisors, least multiples and linear equations; word problems
are beyond it.
"""

from __future__ import annotations

import ast
import math
import operator
import random
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from engine.errors import ConfigError
from engine.tasks.base import Message, ScriptedCall
from engine.tasks.math.calls import TOOL

_EXPRESSION = re.compile(
    r"(?:problem:|multiplication:|Calculate) (.+?)(?: =|\. |\.$)", re.MULTILINE
)
_NUMBERS = re.compile(r"\((GCD|LCM)\) of these numbers: ([\d, ]+)")
_EQUATION = re.compile(r"(?:for|of) (\w)\b[a-z ]*: (.+) = (.+)")
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def guide_call(messages: Sequence[Message], turn_key: tuple[int, int, int]) -> ScriptedCall:
    """The solution. Raises ConfigError for a family that it cannot solve."""
    del turn_key
    return ScriptedCall(TOOL, {"answer": solve(str(messages[-1]["content"]))})


def random_call(messages: Sequence[Message], turn_key: tuple[int, int, int]) -> ScriptedCall:
    """Any number of one to three digits; the turn key alone decides."""
    del messages
    chance = random.Random(":".join(map(str, ("random", *turn_key))))
    number = chance.randrange(10 ** chance.randint(1, 3))
    return ScriptedCall(TOOL, {"answer": str(-number if chance.random() < 0.2 else number)})


def solve(text: str) -> str:
    """The answer to a problem in the words of reasoning-gym. Raises ConfigError for others."""
    if found := _EXPRESSION.search(text):
        return str(evaluate(found[1], {}))
    if found := _NUMBERS.search(text):
        numbers = [int(number) for number in found[2].split(",")]
        return str(math.gcd(*numbers) if found[1] == "GCD" else math.lcm(*numbers))
    if found := _EQUATION.search(text):
        return str(_solve_linear(*found.groups()))
    raise ConfigError(
        "the guide solves plain arithmetic only, not this problem",
        hint="families: chain_sum, products, basic_arithmetic, gcd, lcm, simple_equations",
    )


def evaluate(expression: str, values: dict[str, Fraction]) -> Fraction:
    """The exact value of numbers, names, + - * / and brackets. Raises ConfigError for more."""
    try:
        return _evaluate(ast.parse(expression.strip(), mode="eval").body, values)
    except (SyntaxError, KeyError, ZeroDivisionError, RecursionError) as err:
        raise ConfigError(f"the guide cannot read {expression[:80]!r}") from err


def _evaluate(node: ast.expr, values: dict[str, Fraction]) -> Fraction:
    if isinstance(node, ast.BinOp):
        combine = _OPERATORS[type(node.op)]
        return Fraction(combine(_evaluate(node.left, values), _evaluate(node.right, values)))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand, values)
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return Fraction(node.value)
    raise KeyError(type(node).__name__)


def _solve_linear(name: str, left: str, right: str) -> Fraction:
    """The x of left(x) = right(x), both linear: the line through x = 0 and x = 1."""

    def gap(x: int) -> Fraction:
        values = {name: Fraction(x)}
        return evaluate(left, values) - evaluate(right, values)

    slope = gap(1) - gap(0)
    if slope == 0:
        raise ConfigError(f"the guide finds no single {name} for {left} = {right}")
    return -gap(0) / slope
