"""Right by value, wrong by trick, and no answer that hangs or breaks the judge."""

from __future__ import annotations

import string
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tasks.math.judge import judge, read_number


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("42", "42"),
        (" 42.0 ", "42"),
        ("1,042", "1042"),
        ("-7", "-7"),
        ("\N{MINUS SIGN}7", "-7"),
        ("The answer is 42.", "42"),
        ("x = 42", "42"),
        (r"\boxed{42}", "42"),
        (r"$\frac{1}{2}$", "1/2"),
        (r"\frac{1}{2}", "1/2"),
        ("0.5", "1/2"),
        ("$x + 1$", "1 + x"),
    ],
)
def test_an_answer_is_right_by_its_value(answer: str, expected: str) -> None:
    assert judge(answer, expected)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("43", "42"),
        ("", "42"),
        ("-42", "42"),
        ("42.0001", "42"),
        ("12 + 30", "42"),  # the question is not its answer
        ("84/2", "42"),
        ("41 or 42", "42"),
        ("1/0", "1"),
        ("nan", "42"),
        ("forty-two", "42"),
        ("\0", "42"),
        ("(" * 900, "42"),
        ("4" * 1001, "4" * 1001),  # longer than anybody may answer
    ],
)
def test_what_is_not_the_answer_is_wrong(answer: str, expected: str) -> None:
    assert not judge(answer, expected)


def test_an_answer_that_would_calculate_for_ever_is_stopped_and_the_next_one_judged() -> None:
    started = time.monotonic()
    assert not judge("9**9**9**9", "x")
    assert time.monotonic() - started < 30
    assert judge("$1+x$", "x+1")


@given(st.text(string.printable, max_size=40))
def test_a_number_is_read_or_refused_and_nothing_else_happens(text: str) -> None:
    value = read_number(text)
    assert value is None or read_number(str(value)) == value


@given(st.fractions())
def test_every_fraction_is_read_back(value: Fraction) -> None:
    assert read_number(str(value)) == value
