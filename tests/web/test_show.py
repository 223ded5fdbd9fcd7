"""How pages word what they show."""

from __future__ import annotations

import pytest

from apps.web.templatetags.show import short_model


@pytest.mark.parametrize(
    ("model_id", "shown"),
    [
        ("ft:synthweb/crafter-small:job_0123456789abcdef", "ft:crafter-small…abcdef"),
        ("rl:Qwen/Qwen3-4B:job_0123456789abcdef:step_40", "rl:Qwen3-4B…abcdef:step_40"),
        (
            "fft:ft:a/b:job_1111111111111111:job_0123456789abcdef",
            "fft:b:job_1111111111111111…abcdef",
        ),
        ("gpt-4.1-mini", "gpt-4.1-mini"),
        ("x" * 40, "x" * 35 + "…"),
        (None, ""),
    ],
)
def test_the_id_of_a_trained_model_keeps_what_tells_it_apart(model_id, shown):
    assert short_model(model_id) == shown
