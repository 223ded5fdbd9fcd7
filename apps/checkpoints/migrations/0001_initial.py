import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        ('runs', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uid', models.CharField(max_length=40, unique=True)),
                ('model_id', models.CharField(max_length=300)),
                ('kind', models.CharField(max_length=10)),
                ('method', models.CharField(default='full', max_length=10)),
                ('base_model', models.CharField(blank=True, max_length=300)),
                ('base_model_resolved', models.CharField(blank=True, max_length=300)),
                ('step', models.BigIntegerField(default=0)),
                ('final', models.BooleanField(default=True)),
                ('metrics', models.JSONField(default=dict)),
                ('trained_seeds', models.JSONField(default=list)),
                ('size_bytes', models.PositiveBigIntegerField(default=0)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
                ('base', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='checkpoints.checkpoint')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='checkpoints', to='accounts.project')),
                ('run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='checkpoints', to='runs.run')),
            ],
        ),
        migrations.CreateModel(
            name='CheckpointFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('path', models.CharField(max_length=300)),
                ('sha256', models.CharField(max_length=64)),
                ('size', models.PositiveBigIntegerField()),
                ('storage_key', models.CharField(max_length=300)),
                ('checkpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='files', to='checkpoints.checkpoint')),
            ],
        ),
        migrations.CreateModel(
            name='ModelServer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uid', models.CharField(max_length=40, unique=True)),
                ('state', models.CharField(choices=[('wanted', 'Wanted'), ('starting', 'Starting'), ('ready', 'Ready'), ('stopped', 'Stopped'), ('failed', 'Failed')], default='wanted', max_length=10)),
                ('worker', models.CharField(blank=True, max_length=120)),
                ('token', models.PositiveIntegerField(default=0)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('address', models.CharField(blank=True, max_length=200)),
                ('secret', models.TextField(blank=True)),
                ('error', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'indexes': [models.Index(fields=['state'], name='server_by_state')],
            },
        ),
        migrations.CreateModel(
            name='ServedModel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('wanted', 'Wanted'), ('starting', 'Starting'), ('ready', 'Ready'), ('stopped', 'Stopped'), ('failed', 'Failed')], default='wanted', max_length=10)),
                ('error', models.TextField(blank=True)),
                ('wanted_at', models.DateTimeField()),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
                ('checkpoint', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='served', to='checkpoints.checkpoint')),
                ('server', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='models', to='checkpoints.modelserver')),
            ],
        ),
        migrations.AddIndex(
            model_name='checkpoint',
            index=models.Index(fields=['project', '-id'], name='checkpoint_newest'),
        ),
        migrations.AddConstraint(
            model_name='checkpoint',
            constraint=models.UniqueConstraint(fields=('project', 'model_id'), name='model_id_in_project'),
        ),
        migrations.AddConstraint(
            model_name='checkpointfile',
            constraint=models.UniqueConstraint(fields=('checkpoint', 'path'), name='file_once_per_checkpoint'),
        ),
    ]
