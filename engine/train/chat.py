"""Chat templates of foreign models: can one show tools, and what to put in its place if not.

A model that comes from outside brings a template of its own. Where that one ignores tools or writes
calls in a form that nobody here reads, the text of tools and calls is put into plain messages first
and the template stays as it was behind that (`FOREWORD`); where there is none at all, `PLAIN` is
taken. So the folder stays a normal Hugging Face one, and whatever serves or trains it needs to know
nothing of this. Which characters the assistant speaks, without marks in the template: `data.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from engine.errors import ReplyError
from engine.llm.toolcalls import find_text_calls

# Before a template that knows no tools: they are told in the system message, calls become Qwen3's
# and Hermes' text, what a tool answered becomes a user's message.
FOREWORD = """\
{%- set house = namespace(messages=[], tools='') %}
{%- if tools %}
{%- set house.tools = 'You answer by calling a function. The functions and their arguments, as JSON\
 schema:\\n<tools>' %}
{%- for tool in tools %}
{%- set house.tools = house.tools ~ '\\n' ~ ((tool.function or tool) | tojson) %}
{%- endfor %}
{%- set house.tools = house.tools ~ '\\n</tools>\\nWrite the call as JSON between these tags:\\n\
<tool_call>\\n{"name": "NAME", "arguments": {"ARGUMENT": VALUE}}\\n</tool_call>' %}
{%- if messages[0].role != 'system' %}
{%- set house.messages = [{'role': 'system', 'content': house.tools}] %}
{%- endif %}
{%- endif %}
{%- for message in messages %}
{%- set content = message.content or '' %}
{%- if message.role == 'system' and loop.first and house.tools %}
{%- set told = {'role': 'system', 'content': content ~ '\\n\\n' ~ house.tools} %}
{%- elif message.role == 'tool' %}
{%- set told = {'role': 'user', 'content': '<tool_response>\\n' ~ content ~ '\\n</tool_response>'}\
 %}
{%- elif message.role == 'assistant' and message.tool_calls %}
{%- set said = namespace(text=content) %}
{%- for tool_call in message.tool_calls %}
{%- set call = tool_call.function or tool_call %}
{%- set given = call.arguments if call.arguments is string else call.arguments | tojson %}
{%- set said.text = said.text ~ ('\\n' if said.text else '') ~ '<tool_call>\\n{"name": "' ~\
 call.name ~ '", "arguments": ' ~ given ~ '}\\n</tool_call>' %}
{%- endfor %}
{%- set told = {'role': 'assistant', 'content': said.text} %}
{%- else %}
{%- set told = {'role': message.role, 'content': content} %}
{%- endif %}
{%- set house.messages = house.messages + [told] %}
{%- endfor %}
{%- set messages = house.messages %}
"""
# For a model without any template: ChatML, the stop token behind every turn.
PLAIN = """\
{%- for message in messages %}
{{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ END ~ '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
_TOOL = "look_around"
_SYSTEM, _CALL_ID = {"role": "system", "content": "You explore."}, "call00000"  # Mistral wants nine


class Template(NamedTuple):
    """The template to store, and in words what was done to the model's own ("" for nothing)."""

    text: str
    note: str


def usable_template(tokenizer: PreTrainedTokenizerBase) -> Template:
    """The model's own template where it carries tools both ways, else one that does."""
    own = _own(tokenizer)
    if not own:
        stop = tokenizer.convert_ids_to_tokens(tokenizer.eos_token_id)
        plain = FOREWORD + PLAIN.replace("END", repr(str(stop)))
        return Template(plain, "It has no chat template: ChatML with tools as text was put in.")
    if carries_tools(tokenizer, own):
        return Template(own, "")
    return Template(
        FOREWORD + own,
        "Its chat template carries no tools as they are read here: they are told as text in the "
        "system message, and calls are <tool_call> with JSON.",
    )


def carries_tools(tokenizer: PreTrainedTokenizerBase, template: str) -> bool:
    """Whether tools reach the model and a call that it writes is read back as it was made."""
    arguments = {"way": "north"}
    function = {"name": _TOOL, "arguments": arguments}
    call = {"id": _CALL_ID, "type": "function", "function": function}
    asked = [_SYSTEM, {"role": "user", "content": "Where?"}]
    said = {"role": "assistant", "content": "", "tool_calls": [call]}
    parameters = {
        "type": "object",
        "properties": {"way": {"type": "string"}},
        "required": ["way"],
    }
    tool = {"type": "function", "function": {"name": _TOOL, "description": "Look.",
                                             "parameters": parameters}}  # fmt: skip

    def write(messages: list[dict[str, Any]], *, ask: bool) -> str:
        return str(
            tokenizer.apply_chat_template(
                messages, tools=[tool], chat_template=template, tokenize=False,
                add_generation_prompt=ask, enable_thinking=False,
            )
        )  # fmt: skip

    try:
        prompt, whole = write(asked, ask=True), write([*asked, said], ask=False)
        ids = tokenizer(whole, add_special_tokens=False)["input_ids"]
        n_prompt = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        answer = tokenizer.decode(ids[n_prompt:], skip_special_tokens=True)
        calls = find_text_calls(answer, [tool])
    except (TemplateError, TypeError, KeyError, ValueError, ReplyError):
        return False
    return _TOOL in prompt and [c.name for c in calls] == [_TOOL] and "north" in calls[0].arguments


def _own(tokenizer: PreTrainedTokenizerBase) -> str:
    """The template for conversations with tools, where there are several by name."""
    template: Any = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("tool_use") or template.get("default")
    return template if isinstance(template, str) else ""
