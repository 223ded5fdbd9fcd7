"""What was asked of each model, as the pages show it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from apps.inference.queries import usage_by_model
from apps.inference.services import Counts, UsageKey, add_usage

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(project) -> None:
    """Two hours of one model, one of a provider's, and one of long ago."""
    hour = now().replace(minute=0, second=0, microsecond=0)
    mine = "ft:synthweb/small:job_0123456789abcdef"
    add_usage(
        {
            UsageKey(project.pk, hour, mine, ""): Counts(2, 0, 1000, 50, 0.0),
            UsageKey(project.pk, hour - timedelta(hours=1), mine, ""): Counts(1, 1, 234, 6, 0.0),
            UsageKey(project.pk, hour, "gpt", "lab"): Counts(1, 0, 10, 5, 0.25),
            UsageKey(project.pk, hour - timedelta(days=31), "old", ""): Counts(9, 0, 9, 9, 0.0),
        }
    )


def test_hours_add_up_to_a_row_a_model(project, asked):
    rows = usage_by_model(project=project)
    assert [(r.model[:3], r.provider, r.n_calls, r.n_errors, r.prompt_tokens) for r in rows] == [
        ("ft:", "", 3, 1, 1234),
        ("gpt", "lab", 1, 0, 10),
    ]
    assert [row.cost_usd for row in usage_by_model(project=project, model="gpt")] == [0.25]


def test_settings_show_calls_tokens_and_cost(client_of, alice, asked):
    html = client_of(alice).get("/settings/workers/").content.decode()
    for told in ("ft:small…abcdef", "1,234", "$0.2500", "a checkpoint of ours"):
        assert told in html
    assert "old" not in html.split('id="usage"')[1].split("</section>")[0]
