"""Fetching a model from the Hugging Face hub (or the mirror that HF_ENDPOINT names).

Only for `import_model`: nothing else here ever asks the hub. The address is never a user's: an id
names a repository of one endpoint, which is the operator's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path
from typing import Any

from engine.config.model_folder import GGUF, INDEX, Chosen, choose_files, read_json
from engine.errors import ConfigError, EngineError
from engine.jobs.job import Job, check_room

POLL_S = 0.5
MB = 1_000_000
MOST_UNPACKED = 8  # a GGUF file's weights take 4 bits and become 32: how many, its header will say
TIMEOUT_S = "20"


def download(job: Job, repo: str, revision: str, folder: Path) -> Chosen:
    """Fetch what a model needs into `folder`; the names of what was taken and left out.

    The commit is noted in `job.values`. Raises ConfigError when the hub or the repository cannot
    be reached, Cancelled.
    """
    os.environ["HF_HUB_OFFLINE"] = "0"  # read when the package is imported, here for the first time
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", TIMEOUT_S)
    from huggingface_hub import HfApi

    job.progress(0, 1, "MB")
    info = _ask(repo, lambda: HfApi().model_info(
        repo, revision=revision or None, files_metadata=True, timeout=float(TIMEOUT_S)
    ))  # fmt: skip
    sizes = {file.rfilename: int(file.size or 0) for file in info.siblings or ()}
    index = None
    if INDEX in sizes:
        _get(repo, info.sha, INDEX, folder)
        index = read_json(folder / INDEX)
    files = choose_files(sizes, repo, index)
    total = sum(sizes[name] for name in files.taken)
    unpacks = any(name.endswith(GGUF) for name in files.taken)
    check_room(total * MOST_UNPACKED if unpacks else total, folder, estimated=unpacks)
    job.values |= {"repo": repo, "commit": info.sha}
    job.events.log(f"{repo} at {str(info.sha)[:12]}: {total / MB:,.0f} MB to fetch")
    _get_all(job, repo, str(info.sha), files.taken, folder, total)
    return files


def _get_all(job: Job, repo: str, commit: str, names: list[str], folder: Path, total: int) -> None:
    """Fetch beside, so that cancelling waits for nobody; the process ends with its thread."""
    failed: list[BaseException] = []

    def fetch() -> None:
        try:
            for name in names:
                _get(repo, commit, name, folder)
        except BaseException as err:
            failed.append(err)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    while thread.is_alive():
        job.cancelled.check()
        job.progress(min(stored_bytes(folder), total) // MB, max(1, total // MB), "MB")
        thread.join(POLL_S)
    if failed:
        raise failed[0]
    _drop_bookkeeping(folder)


def stored_bytes(folder: Path) -> int:
    """What lies below a folder, though files come, go and are renamed while it is counted."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(parent) / name).stat().st_size
    return total


def _get(repo: str, commit: str | None, name: str, folder: Path) -> None:
    from huggingface_hub import hf_hub_download

    _ask(repo, lambda: hf_hub_download(repo, name, revision=commit, local_dir=folder))


def _ask(repo: str, call: Any) -> Any:
    """A call to the hub; what goes wrong in words that say what to do."""
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return call()
    except GatedRepoError as err:
        raise ConfigError(
            f"{repo} asks for its terms to be accepted.",
            hint="Accept them on its page, and set HF_TOKEN where the worker runs.",
            code="gated",
        ) from err
    except RevisionNotFoundError as err:
        raise ConfigError(f"{repo} has no such revision.", code="unknown_revision") from err
    except RepositoryNotFoundError as err:
        raise ConfigError(
            f"{ENDPOINT} has no model {repo}, or it is private.",
            hint="Check the spelling; for a private one set HF_TOKEN where the worker runs.",
            code="unknown_repo",
        ) from err
    except EngineError:
        raise
    except (HfHubHTTPError, OSError, RuntimeError, ValueError) as err:
        raise _unreachable(repo, ENDPOINT, err) from err
    except Exception as err:
        if type(err).__module__.startswith(("httpx", "httpcore", "huggingface_hub")):
            raise _unreachable(repo, ENDPOINT, err) from err
        raise


def _unreachable(repo: str, endpoint: str, err: Exception) -> ConfigError:
    words = (str(err).strip().splitlines() or [type(err).__name__])[0][:200]
    return ConfigError(
        f"{repo} cannot be fetched from {endpoint}: {words}",
        hint=f"Where there is a way out, `hf download {repo} --local-dir FOLDER`; bring the folder "
        "below SYNTHWEB_BASE_MODELS on this machine and import its path. A mirror is named by "
        "HF_ENDPOINT.",
        code="hub_unreachable",
    )


def _drop_bookkeeping(folder: Path) -> None:
    """What huggingface_hub keeps beside the files (`.cache`) belongs to no checkpoint."""
    shutil.rmtree(folder / ".cache", ignore_errors=True)
