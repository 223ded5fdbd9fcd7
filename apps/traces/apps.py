from django.apps import AppConfig


class TracesConfig(AppConfig):
    name = "apps.traces"
    label = "traces"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell the rooms below what this one does with their events and ended runs."""
        from apps.runs.finishers import FINISHERS
        from apps.runs.ingest import CURVES, HANDLERS
        from apps.traces.curve import run_curve
        from apps.traces.finish import finish_games, finish_import, finish_verify
        from apps.traces.ingest import store_episodes

        HANDLERS["episode"] = store_episodes
        CURVES["eval"] = CURVES["rollout"] = run_curve
        FINISHERS["eval"] = FINISHERS["rollout"] = FINISHERS["fork"] = finish_games
        FINISHERS["verify"] = finish_verify
        FINISHERS["import"] = finish_import
