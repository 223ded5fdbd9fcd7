"""What clients send, as configs of ours: `read_sft` and `read_rl` turn a job's body into the data
of a TOML. Whether its values are good is the config's to say; here only the shape is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from apps.accounts.errors import Refused
from apps.launch.services.names import TRAINED

MAX_DEPTH = 40
SFT_TYPES = ("sft", "fft", "qft", "ft")
# What clients put among the hyperparameters and a TOML has under [training.validation].
VALIDATION = (
    "evaluation_strategy", "eval_steps", "save_best_model_at_end", "metric_for_best_model",
    "greater_is_better",
)  # fmt: skip
STEPS = ("total_steps", "train_steps", "steps")
EPOCHS_FOR_STEPS = 1000  # the steps end it


class SftBody(NamedTuple):
    """A fine-tuning as it was asked for. `data` still lacks the datasets."""

    model: str
    training_file: str
    validation_file: str
    name: str
    hyperparameters: dict[str, Any]
    metadata: dict[str, Any]
    data: dict[str, Any]


class RlBody(NamedTuple):
    """A training from reward as it was asked for; `data` is the whole TOML."""

    model: str
    metadata: dict[str, Any]
    data: dict[str, Any]


def read_sft(body: Mapping[str, Any]) -> SftBody:
    """Raises Refused(422) for a body that is no fine-tuning."""
    check_values(body)
    kind = str(body.get("training_type") or "sft").lower()
    if not kind.startswith(SFT_TYPES):
        raise _bad("training_type", f"is {kind[:60]!r}: expected sft_offline")
    metadata = _table(body, "metadata")
    wanted = _table(metadata, "effective_config", "metadata.")
    numbers = _table(body, "hyperparameters")
    files = _table(wanted, "data", "metadata.effective_config.").get("validation_files")
    listed = files[0] if isinstance(files, list) and files else ""
    model = _text(body, "model")
    return SftBody(
        model=model,
        training_file=_text(body, "training_file_id", "training_file"),
        validation_file=str(body.get("validation_file") or listed)[:60],
        name=str(body.get("suffix") or "")[:120],
        hyperparameters=numbers,
        metadata=metadata,
        data=_sft_data(model, numbers, wanted),
    )


def _sft_data(model: str, numbers: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    where = "metadata.effective_config."
    training = _table(wanted, "training", where)
    validation = _table(training, "validation", f"{where}training.")
    plain = {k: v for k, v in numbers.items() if k not in VALIDATION and k not in STEPS}
    validation |= {k: v for k, v in numbers.items() if k in VALIDATION}
    steps = [numbers[name] for name in STEPS if numbers.get(name) is not None]
    if steps:
        training["max_steps"] = steps[0]
        plain.setdefault("n_epochs", EPOCHS_FOR_STEPS)
    data = {
        "type": "sft",
        "job": {"model": model},
        "compute": _table(wanted, "compute", where),
        "data": {"topology": _table(_table(wanted, "data", where), "topology", where)},
        "training": {**training, "validation": validation},
        "hyperparameters": plain,
    }
    return without_null(data)


def read_rl(body: Mapping[str, Any]) -> RlBody:
    """Raises Refused(422) for a body that is no training from reward."""
    check_values(body)
    sent = _table(body, "data") or dict(body)  # JobsClient sends it flat
    data = _table(sent, "config")
    model = str(sent.get("model") or sent.get("base_model") or _model_in(data))
    if not model:
        raise _bad("data.base_model", "is missing: expected the id of a model")
    named = _table(data, "model")
    for name in ("base", "source"):
        named.pop(name, None)
    named["source" if model.startswith(TRAINED) else "base"] = model
    data |= {"type": "rl", "model": named}
    url = sent.get("endpoint_base_url")
    if url:
        data["services"] = {**_table(data, "services"), "task_url": url}
    trainer = _table(sent, "trainer")
    sizes = {k: trainer[k] for k in ("batch_size", "group_size") if k in trainer}
    if sizes:
        data["training"] = {**_table(data, "training"), **sizes}
    if body.get("compute") and not data.get("compute"):
        data["compute"] = body["compute"]
    tags = {**_table(data, "tags"), **_table(body, "tags")}
    return RlBody(model, _table(body, "metadata"), without_null({**data, "tags": tags}))


def _model_in(data: Mapping[str, Any]) -> str:
    named = data.get("model")
    if not isinstance(named, Mapping):
        return ""
    return str(named.get("source") or named.get("base") or "")


def check_values(body: Mapping[str, Any]) -> None:
    """Refuse what no database could hold: NUL in texts, deeper nesting than any config has."""
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str) and "\0" in item:
                raise Refused("invalid", "The request holds a NUL character.", status=422)
            if isinstance(item, Mapping):
                inner += [*item.keys(), *item.values()]
            elif isinstance(item, list):
                inner += item
        level = inner
        if not level:
            return
    raise Refused("invalid", f"The request is nested deeper than {MAX_DEPTH} levels.", status=422)


def without_null(value: Any) -> Any:
    """The same without keys that are null: a TOML has none."""
    if isinstance(value, dict):
        return {k: without_null(v) for k, v in value.items() if v is not None}
    return value


def _table(body: Mapping[str, Any], name: str, where: str = "") -> dict[str, Any]:
    found = body.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _bad(f"{where}{name}", "must be an object")
    return dict(found)


def _text(body: Mapping[str, Any], *names: str) -> str:
    found = next((body[name] for name in names if body.get(name)), None)
    if not isinstance(found, str):
        raise _bad(names[0], "is missing: expected a text")
    return found


def _bad(name: str, why: str) -> Refused:
    return Refused("invalid", f"{name} {why}.", status=422, fields={name: why})
