"""Take the secrets out of the answers that earlier versions kept for `Idempotency-Key`."""

from django.db import migrations

NOTE = "The secret of this answer was shown once and is not kept."
SHOWED = ("/api/v1/users", "/api/v1/keys", "/api/v1/webhooks")


def forget(apps, schema_editor):
    answers = apps.get_model("api", "IdempotentAnswer").objects.filter(path__in=SHOWED)
    answers.exclude(status=0).update(body={"note": NOTE})


class Migration(migrations.Migration):

    dependencies = [("api", "0001_initial")]

    operations = [migrations.RunPython(forget, migrations.RunPython.noop)]
