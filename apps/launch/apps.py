from django.apps import AppConfig


class LaunchConfig(AppConfig):
    name = "apps.launch"
    label = "launch"
    default_auto_field = "django.db.models.BigAutoField"
