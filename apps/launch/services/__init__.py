"""All writes of launching: configs in, runs and pipelines out.

`configs` reads and stores, `names` says what names stand for, `plans` freezes, `runs` launches,
`pipelines` and `stages` make runs wait for each other, `table` compares their evals.
"""

from apps.launch.services.configs import (
    check_data,
    check_text,
    import_config,
    import_data,
    load_stored,
    with_sets,
)
from apps.launch.services.machine import code_version, this_machine
from apps.launch.services.pipelines import (
    advance_pipeline,
    advance_pipelines,
    cancel_pipeline,
    continue_pipeline,
    start_pipeline,
)
from apps.launch.services.plans import RunPlan
from apps.launch.services.runs import clone, dry_run, fork, launch, queue_draft

__all__ = [
    "RunPlan",
    "advance_pipeline",
    "advance_pipelines",
    "cancel_pipeline",
    "check_data",
    "check_text",
    "clone",
    "code_version",
    "continue_pipeline",
    "dry_run",
    "fork",
    "import_config",
    "import_data",
    "launch",
    "load_stored",
    "queue_draft",
    "start_pipeline",
    "this_machine",
    "with_sets",
]
