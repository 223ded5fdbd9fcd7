"""The small model's tokenizer: byte-level, one token for each word, fact or digit of the task.

Lives here: vocabulary, pre-tokenizer and chat template. Weights are in `model.py`.

The vocabulary is the 256 bytes (so every text has an encoding), the words found in the texts it is
given, and whole phrases that never change (the system prompt, the frame of a tool call). A word is
looked up whole (`ignore_merges`); what is not in the vocabulary falls back to its bytes. Nothing is
learnt from statistics, so the same texts give the same tokenizer on every machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

# What belongs together is one token: a run of equal actions ('"do", "do"'), a run of equal steps of
# a way (" left left"), an amount (" wood 2"). So each step of an answer is one choice, a way is
# translated run by run instead of counted out, and a turn has a third of the tokens.
WORD_PATTERN = (
    r'(?:, )?"([A-Za-z_]+)"(?:, "\1")*'
    r"| (left|right|up|down)(?: \2)*\b"
    r"|[\n ]?[a-z_]+ here\b"
    r"|\nahead [a-z]+"
    r"|[\n ]?[a-z_]+ \d+"
    r"|[\n ]?[A-Za-z_]+"
    r"| ?\d{1,3}"
    r"| ?[^\sA-Za-z_\d]"
    r"|\s"
)
# Where texts hold numbers to calculate with, each digit is one token, the same wherever it stands.
DIGIT_PATTERN = r"[\n ]?[A-Za-z_]+|\d| ?[^\sA-Za-z_\d]|\s"
TURN_OPENERS = ("<|im_start|>system\n", "\n<|im_start|>user\n", "\n<|im_start|>assistant\n")
END_OF_TURN = "<|im_end|>"
PADDING = "<|endoftext|>"

# ChatML with Qwen3's text for tool calls, so that one server and one parser serve both. Tools are
# named, not spelled out as JSON schema: the small model knows one task, and every token costs.
# `{% generation %}` marks what the loss counts: the assistant's turn with its stop token.
CHAT_TEMPLATE = """\
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '\\n<|im_start|>assistant\\n' }}
{%- generation %}
{{- message.content or '' }}
{%- for tool_call in message.tool_calls or [] %}
{%- set call = tool_call.function or tool_call %}
{%- if message.content or not loop.first %}{{ '\\n' }}{% endif %}
{{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
{{- call.arguments if call.arguments is string else call.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>' }}
{%- endgeneration %}
{%- elif message.role == 'system' %}
{{- '' if loop.first else '\\n' }}{{ '<|im_start|>system\\n' + message.content }}
{%- if tools and loop.first %}
{{- '\\nTools:' }}
{%- for tool in tools %}{{ ' ' + (tool.function or tool).name }}{% endfor %}
{%- endif %}
{{- '<|im_end|>' }}
{%- elif message.role == 'tool' %}
{{- '\\n<|im_start|>user\\n<tool_response>\\n' + message.content }}
{{- '\\n</tool_response><|im_end|>' }}
{%- else %}
{{- '\\n<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '\\n<|im_start|>assistant\\n' }}{% endif %}
"""


def tool_call_frame(tool_name: str, argument: str, brackets: str = "[]") -> tuple[str, str]:
    """The fixed text before and after the value of a call like `{"actions": [...]}`.

    brackets: what stands around the value, `""` (two quotes) for a text.
    """
    opening = f'<tool_call>\n{{"name": "{tool_name}", "arguments": {{"{argument}": {brackets[0]}'
    return opening, f"{brackets[1]}}}}}\n</tool_call>"


def make_tokenizer(
    texts: Iterable[str], phrases: Sequence[str], pattern: str = WORD_PATTERN
) -> PreTrainedTokenizerFast:
    """A tokenizer whose vocabulary covers `texts` word by word and holds `phrases` whole.

    texts: samples of what the model will read and write; order does not matter.
    phrases: long strings that never change; each becomes one ordinary (not special) token.
    pattern: what is looked up as one word.
    """
    splitter = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pipeline = pre_tokenizers.Sequence([splitter, byte_level])
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in pipeline.pre_tokenize_str(text) if len(word) > 1)
    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *sorted(counts)]
    vocabulary = {word: index for index, word in enumerate(words)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    backend.pre_tokenizer = pipeline
    backend.decoder = decoders.ByteLevel()
    specials = [PADDING, END_OF_TURN, *TURN_OPENERS]
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    backend.add_tokens([AddedToken(t, special=False, normalized=False) for t in phrases])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END_OF_TURN,
        pad_token=PADDING,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
