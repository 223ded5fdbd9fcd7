"""How counts and long names are written."""

from __future__ import annotations

import pytest

from apps.web.templatetags.counts import games, joints, ownerless


@pytest.mark.parametrize(
    ("n", "measure", "words"),
    [(1, "achievements", "1 game"), (6000, "accuracy", "6,000 problems"), (None, "x", "0 games")],
)
def test_a_score_says_what_it_was_taken_from(n, measure, words):
    assert games(n, measure) == words


def test_a_long_id_breaks_at_its_joints_and_stays_text():
    assert joints("ft:a/b:job_1") == "ft:<wbr>a/<wbr>b:<wbr>job_<wbr>1"
    assert joints("<i>/x") == "&lt;i&gt;/<wbr>x"


def test_a_tile_names_a_model_without_its_owner():
    assert ownerless("ft:synthweb/crafter-small:job_1") == "ft:crafter-small:job_1"
    assert ownerless("guide") == "guide"
