from django.apps import AppConfig


class WorkerConfig(AppConfig):
    name = "apps.worker"
    label = "worker"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Answer the runs' questions about episodes, which stand in a room above them."""
        from apps.runs.finishers import EPISODES
        from apps.worker.rundir import broken_shards

        EPISODES.broken_shards = broken_shards
