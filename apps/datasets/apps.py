from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "apps.datasets"
    label = "datasets"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell the rooms below what a dataset means to runs and to checkpoints."""
        from apps.checkpoints.ingest import SEED_SOURCES
        from apps.datasets.ingest import store_datasets
        from apps.datasets.queries import seeds_of_run
        from apps.runs.ingest import HANDLERS

        HANDLERS["dataset"] = store_datasets
        SEED_SOURCES.append(seeds_of_run)
