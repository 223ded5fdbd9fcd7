"""The model card: what a checkpoint is, from what, on what, how, and how well it plays.

It is made when it is read, so that it knows every evaluation that has ended: on the page, in the
API, and as the README.md of the folder that people download.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from apps.checkpoints.models import Checkpoint, CheckpointFile
from apps.checkpoints.queries import list_files, scores_of
from apps.checkpoints.seeds import count_seeds
from apps.runs import storage
from apps.runs.models import RunInput

README = "README.md"
MAX_CARD_BYTES = 64 * 1024


def model_card(checkpoint: Checkpoint) -> str:
    """The card as Markdown."""
    lines = [
        f"# {checkpoint.model_id}",
        "",
        f"- kind: {checkpoint.kind} ({checkpoint.method})",
        f"- base: {checkpoint.base.model_id if checkpoint.base else 'none'}",
    ]
    if checkpoint.weights:
        lines.append(f"- an adapter: it needs the weights of {checkpoint.weights.model_id}")
    if checkpoint.base_model_resolved and checkpoint.base_model != checkpoint.base_model_resolved:
        lines.append(
            f"- asked for {checkpoint.base_model}, trained from {checkpoint.base_model_resolved}"
        )
    if checkpoint.run_id:
        lines.append(f"- made by run {checkpoint.run_id}, step {checkpoint.step}")
        lines += [f"- dataset: {sha256}" for sha256 in _dataset_hashes(checkpoint.run_id)]
    lines.append(f"- trained on {count_seeds(checkpoint.trained_seeds)} worlds")
    figures = [(k, v) for k, v in sorted(checkpoint.metrics.items()) if isinstance(v, int | float)]
    lines += [f"- {name}: {value:.6g}" for name, value in figures]
    whole = [*lines, *_scores(checkpoint), *_config(checkpoint), *_own_card(checkpoint)]
    return "\n".join(whole) + "\n"


def list_downloads(checkpoint: Checkpoint) -> list[CheckpointFile]:
    """Its files by path, the README with the size and hash of what a download gives now."""
    files = list_files(checkpoint)
    for file in files:
        if file.path == README and checkpoint.final:
            content = _readme(checkpoint)
            file.size, file.sha256 = len(content), hashlib.sha256(content).hexdigest()
    return files


def open_download(file: CheckpointFile) -> tuple[Iterator[bytes], int]:
    """The content of a file in pieces, and its size in bytes."""
    if file.path == README and file.checkpoint.final:
        content = _readme(file.checkpoint)
        return iter([content]), len(content)
    return storage.open_stream(file.storage_key), file.size


def _readme(checkpoint: Checkpoint) -> bytes:
    """The card with the front matter that model hubs read."""
    base = (checkpoint.weights or checkpoint.base or checkpoint).model_id
    front = ["---", "library_name: " + ("peft" if checkpoint.weights else "transformers")]
    front += ["tags: [synthweb]", f"base_model: {json.dumps(base)}", "---", ""]
    return ("\n".join(front) + "\n" + model_card(checkpoint)).encode()


def _scores(checkpoint: Checkpoint) -> list[str]:
    lines = ["", "| eval | n | score (mean, 95 % CI) | worlds |", "|---|---|---|---|"]
    for score in scores_of(checkpoint):
        name, _n, mean, low, high = score.main
        worlds = "**leaked: trained on them**" if score.leaked else "held out"
        shown = f"{mean:.2f} {name} ({low:.2f} to {high:.2f})"
        lines.append(f"| run {score.run_id} | {score.n} | {shown} | {worlds} |")
    return lines


def _config(checkpoint: Checkpoint) -> list[str]:
    """The config of the run that made it."""
    if checkpoint.run is None or not checkpoint.run.resolved:
        return []
    text = json.dumps(checkpoint.run.resolved, indent=2, sort_keys=True, ensure_ascii=False)
    return ["", "## Config", "", "```json", text, "```"]


def _own_card(checkpoint: Checkpoint) -> list[str]:
    """What a model from outside says about itself: its licence above all."""
    if checkpoint.kind != "import":
        return []
    file = checkpoint.files.filter(path=README).first()
    if file is None:
        return []
    text = b"".join(storage.open_stream(file.storage_key))[:MAX_CARD_BYTES]
    return ["", "## The card that it came with", "", text.decode(errors="replace")]


def _dataset_hashes(run_id: int) -> list[str]:
    """SHA-256 of the datasets that went into a run."""
    rows = RunInput.objects.filter(run_id=run_id, kind="dataset")
    return list(rows.values_list("sha256", flat=True))
