"""Model cards as HTML: what they are made of is shown, whatever else they hold is text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.web.markdown import render_markdown

OURS = re.compile(
    r"</?(h[3-6]|p|ul|li|pre|code|strong|table|thead|tbody|tr|th|td)>|</div>|<div class=.scroll.>"
    r"|<pre tabindex=.0.>"
)


def test_a_card_is_drawn():
    html = render_markdown(
        "# synthweb/small\n\n- kind: sft (**full**)\n- base: `x`\n\nTwo\nlines.\n\n"
        '| eval | n |\n|---|---|\n| run 3 | 50 |\n\n```json\n{"a": "**b**"}\n```\n'
    )
    assert html.split("\n") == [
        "<h3>synthweb/small</h3>",
        "<ul><li>kind: sft (<strong>full</strong>)</li><li>base: <code>x</code></li></ul>",
        "<p>Two lines.</p>",
        '<div class="scroll"><table><thead><tr><th>eval</th><th>n</th></tr></thead>'
        "<tbody><tr><td>run 3</td><td>50</td></tr></tbody></table></div>",
        '<pre tabindex="0">{&quot;a&quot;: &quot;**b**&quot;}</pre>',
    ]


def test_front_matter_is_shown_as_it_stands():
    html = render_markdown("---\nlibrary_name: transformers\n---\n\n# Title")
    assert html == '<pre tabindex="0">library_name: transformers</pre>\n<h3>Title</h3>'


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "# <img src=x onerror=alert(1)>",
        "- `<b>`**<i>**",
        "| <a> | b |\n|---|---|\n| <svg/onload=1> | ` |",
        "```\n</pre><script>\n```",
        "---\n<x>\n---",
        "[click](javascript:alert(1)) ![](http://evil/)",
    ],
)
def test_what_is_no_markup_of_ours_stays_text(text):
    assert "<" not in OURS.sub("", render_markdown(text))


@given(st.text(alphabet="<>&\"'`*#|-+ \n\\[]()ax", max_size=200))
def test_no_text_brings_a_tag_of_its_own(text):
    assert "<" not in OURS.sub("", render_markdown(text))


def test_a_huge_card_is_shown_plain():
    assert render_markdown("**x**" * 100_000).startswith('<pre tabindex="0">**x**')
