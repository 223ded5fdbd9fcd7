"""The run config: typed, validated, every key documented; TOML in, JSON out.

`load_toml` and `load_json` read, `resolve` freezes, `play()` and `plan()` of a config give the flat
view that the jobs work from. Nothing here knows the database, the tasks or torch.
"""

from engine.config.dataset import DatasetConfig, DatasetFilter
from engine.config.flat import Play
from engine.config.kinds import KINDS
from engine.config.loading import Loaded, kind_of, load_json, load_toml
from engine.config.mistakes import ConfigErrors, Mistake
from engine.config.pipeline import PipelineConfig
from engine.config.play import EvalConfig, ForkConfig, PlayConfig, RolloutConfig
from engine.config.play_sections import Limits, StepRewards
from engine.config.reference import reference, schema
from engine.config.resolving import Effect, Machine, Resolved, is_builtin, resolve
from engine.config.rl import RlConfig
from engine.config.section import Section, read_seeds, write_seeds
from engine.config.sft import Lora, SftConfig, SftPlan
from engine.config.small import BaseConfig, NoopConfig
from engine.config.stages import StagePlan
from engine.config.writing import apply_sets, dump_toml

__all__ = [
    "KINDS",
    "BaseConfig",
    "ConfigErrors",
    "DatasetConfig",
    "DatasetFilter",
    "Effect",
    "EvalConfig",
    "ForkConfig",
    "Limits",
    "Loaded",
    "Lora",
    "Machine",
    "Mistake",
    "NoopConfig",
    "PipelineConfig",
    "Play",
    "PlayConfig",
    "Resolved",
    "RlConfig",
    "RolloutConfig",
    "Section",
    "SftConfig",
    "SftPlan",
    "StagePlan",
    "StepRewards",
    "apply_sets",
    "dump_toml",
    "is_builtin",
    "kind_of",
    "load_json",
    "load_toml",
    "read_seeds",
    "reference",
    "resolve",
    "schema",
    "write_seeds",
]
