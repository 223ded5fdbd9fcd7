"""All writes of launching: configs in, runs and pipelines out.

`configs` reads and stores, `names` says what names stand for, `plans` freezes, `runs` launches,
`imports` takes models from outside,
`cluster` shows a training's processes and memory, `pipelines` and `stages` make runs wait for each
other, `table` compares their evals, `probing` asks remote task apps.
"""

from apps.launch.services.cluster import show_launch
from apps.launch.services.configs import (
    check_data,
    check_text,
    import_config,
    import_data,
    load_stored,
    with_sets,
)
from apps.launch.services.imports import request_model
from apps.launch.services.machine import code_version, this_machine
from apps.launch.services.pipelines import (
    advance_pipeline,
    advance_pipelines,
    cancel_pipeline,
    continue_pipeline,
    start_pipeline,
)
from apps.launch.services.plans import RunPlan
from apps.launch.services.probing import TaskAppReport, probe_task_app, test_endpoint
from apps.launch.services.runs import clone, dry_run, fork, keep_refused, launch, queue_draft

__all__ = [
    "RunPlan",
    "TaskAppReport",
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
    "keep_refused",
    "launch",
    "load_stored",
    "probe_task_app",
    "queue_draft",
    "request_model",
    "show_launch",
    "start_pipeline",
    "test_endpoint",
    "this_machine",
    "with_sets",
]
