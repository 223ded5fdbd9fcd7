from django.apps import AppConfig


class CheckpointsConfig(AppConfig):
    name = "apps.checkpoints"
    label = "checkpoints"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell the runs what becomes of a checkpoint that an engine announces."""
        from apps.checkpoints.ingest import store_checkpoints
        from apps.runs.ingest import HANDLERS

        HANDLERS["checkpoint"] = store_checkpoints
