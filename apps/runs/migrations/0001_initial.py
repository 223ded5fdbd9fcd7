import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('worker', models.CharField(max_length=120)),
                ('directory', models.CharField(blank=True, max_length=500)),
                ('ingested_seq', models.PositiveBigIntegerField(default=0)),
                ('ingested_offset', models.PositiveBigIntegerField(default=0)),
                ('started_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('exit_code', models.IntegerField(blank=True, null=True)),
                ('outcome', models.CharField(blank=True, max_length=20)),
                ('error', models.JSONField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='MetricSeries',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120)),
                ('n_points', models.PositiveIntegerField(default=0)),
                ('last_step', models.BigIntegerField(default=0)),
                ('last_value', models.FloatField(default=0.0)),
                ('min_value', models.FloatField(default=0.0)),
                ('max_value', models.FloatField(default=0.0)),
            ],
        ),
        migrations.CreateModel(
            name='WorkerNode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120, unique=True)),
                ('host', models.CharField(max_length=200)),
                ('pid', models.PositiveIntegerField()),
                ('version', models.CharField(blank=True, max_length=64)),
                ('slots', models.JSONField(default=dict)),
                ('busy', models.JSONField(default=dict)),
                ('can_train', models.BooleanField(default=False)),
                ('started_at', models.DateTimeField()),
                ('seen_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Config',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('kind', models.CharField(max_length=20)),
                ('toml', models.TextField()),
                ('data', models.JSONField()),
                ('sha256', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to='runs.config')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='configs', to='accounts.project')),
            ],
        ),
        migrations.CreateModel(
            name='MetricPoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('step', models.BigIntegerField()),
                ('value', models.FloatField()),
                ('at', models.DateTimeField()),
                ('seq', models.PositiveBigIntegerField()),
                ('series', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='points', to='runs.metricseries')),
            ],
        ),
        migrations.CreateModel(
            name='Run',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('job_id', models.CharField(max_length=40, unique=True)),
                ('kind', models.CharField(max_length=20)),
                ('state', models.CharField(choices=[('draft', 'Draft'), ('queued', 'Queued'), ('running', 'Running'), ('cancelling', 'Cancelling'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='draft', max_length=12)),
                ('resolved', models.JSONField(default=dict)),
                ('inputs', models.JSONField(default=dict)),
                ('effects', models.JSONField(default=list)),
                ('warnings', models.JSONField(default=list)),
                ('leaked_seeds', models.JSONField(default=list)),
                ('code_version', models.CharField(blank=True, max_length=64)),
                ('task', models.CharField(blank=True, max_length=60)),
                ('model', models.CharField(blank=True, max_length=300)),
                ('priority', models.SmallIntegerField(default=5)),
                ('max_attempts', models.PositiveSmallIntegerField(default=3)),
                ('n_attempts', models.PositiveIntegerField(default=0)),
                ('progress_done', models.PositiveIntegerField(default=0)),
                ('progress_total', models.PositiveIntegerField(default=0)),
                ('progress_unit', models.CharField(default='episodes', max_length=20)),
                ('result', models.JSONField(default=dict)),
                ('error', models.JSONField(blank=True, null=True)),
                ('event_seq', models.PositiveBigIntegerField(default=0)),
                ('retry_budget', models.PositiveIntegerField(default=200)),
                ('retries_used', models.PositiveIntegerField(default=0)),
                ('retry_broken_at', models.DateTimeField(blank=True, null=True)),
                ('notes', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('queued_at', models.DateTimeField(blank=True, null=True)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('config', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='runs.config')),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='clones', to='runs.run')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='accounts.project')),
            ],
        ),
        migrations.AddField(
            model_name='metricseries',
            name='run',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='series', to='runs.run'),
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('seq', models.PositiveBigIntegerField()),
                ('attempt_seq', models.PositiveBigIntegerField(null=True)),
                ('type', models.CharField(max_length=12)),
                ('data', models.JSONField()),
                ('at', models.DateTimeField()),
                ('attempt', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, to='runs.attempt')),
                ('run', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='events', to='runs.run')),
            ],
        ),
        migrations.CreateModel(
            name='Artifact',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(max_length=40)),
                ('path', models.CharField(max_length=300)),
                ('sha256', models.CharField(max_length=64)),
                ('size', models.PositiveBigIntegerField()),
                ('storage_key', models.CharField(max_length=300)),
                ('attempt', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, to='runs.attempt')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='artifacts', to='runs.run')),
            ],
        ),
        migrations.CreateModel(
            name='RunInput',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=20)),
                ('object_id', models.BigIntegerField()),
                ('role', models.CharField(max_length=40)),
                ('sha256', models.CharField(blank=True, max_length=64)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='input_rows', to='runs.run')),
            ],
        ),
        migrations.CreateModel(
            name='RunTag',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=60)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tags', to='runs.run')),
            ],
        ),
        migrations.CreateModel(
            name='Shard',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('index', models.PositiveIntegerField()),
                ('need', models.CharField(choices=[('rollout', 'Rollout'), ('train', 'Train'), ('serve', 'Serve')], default='rollout', max_length=10)),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=12)),
                ('token', models.PositiveIntegerField(default=0)),
                ('worker', models.CharField(blank=True, max_length=120)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('queued_at', models.DateTimeField()),
                ('not_before', models.DateTimeField(blank=True, null=True)),
                ('n_failures', models.PositiveSmallIntegerField(default=0)),
                ('episodes', models.JSONField(default=list)),
                ('progress_done', models.PositiveIntegerField(default=0)),
                ('progress_total', models.PositiveIntegerField(default=0)),
                ('result', models.JSONField(default=dict)),
                ('error', models.JSONField(blank=True, null=True)),
                ('waiting_for', models.CharField(blank=True, max_length=200)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='shards', to='runs.run')),
            ],
        ),
        migrations.CreateModel(
            name='LiveView',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=200)),
                ('seed', models.BigIntegerField()),
                ('model', models.CharField(blank=True, max_length=300)),
                ('data', models.JSONField(default=dict)),
                ('version', models.PositiveIntegerField(default=0)),
                ('updated_at', models.DateTimeField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='live_views', to='runs.run')),
                ('shard', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='runs.shard')),
            ],
        ),
        migrations.AddField(
            model_name='attempt',
            name='shard',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='runs.shard'),
        ),
        migrations.AddIndex(
            model_name='config',
            index=models.Index(fields=['project', '-id'], name='config_newest'),
        ),
        migrations.AddIndex(
            model_name='metricpoint',
            index=models.Index(fields=['series', 'step'], name='point_by_step'),
        ),
        migrations.AddIndex(
            model_name='metricpoint',
            index=models.Index(fields=['series', 'seq'], name='point_by_seq'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['project', '-id'], name='run_newest'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['project', 'kind', '-id'], name='run_by_kind'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['state'], name='run_by_state'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['project', 'model'], name='run_by_model'),
        ),
        migrations.AddConstraint(
            model_name='metricseries',
            constraint=models.UniqueConstraint(fields=('run', 'name'), name='series_once_per_run'),
        ),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.UniqueConstraint(fields=('run', 'seq'), name='event_seq_in_run'),
        ),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.UniqueConstraint(fields=('attempt', 'attempt_seq'), name='event_once_per_attempt'),
        ),
        migrations.AddIndex(
            model_name='runinput',
            index=models.Index(fields=['kind', 'object_id'], name='input_used_by'),
        ),
        migrations.AddConstraint(
            model_name='runinput',
            constraint=models.UniqueConstraint(fields=('run', 'kind', 'object_id', 'role'), name='input_once_per_role'),
        ),
        migrations.AddIndex(
            model_name='runtag',
            index=models.Index(fields=['name'], name='tag_by_name'),
        ),
        migrations.AddConstraint(
            model_name='runtag',
            constraint=models.UniqueConstraint(fields=('run', 'name'), name='tag_once_per_run'),
        ),
        migrations.AddIndex(
            model_name='shard',
            index=models.Index(fields=['state', 'need', 'queued_at'], name='shard_to_claim'),
        ),
        migrations.AddIndex(
            model_name='shard',
            index=models.Index(fields=['state', 'lease_until'], name='shard_lost_lease'),
        ),
        migrations.AddConstraint(
            model_name='shard',
            constraint=models.UniqueConstraint(fields=('run', 'index'), name='shard_once_per_run'),
        ),
        migrations.AddIndex(
            model_name='liveview',
            index=models.Index(fields=['updated_at'], name='live_by_age'),
        ),
        migrations.AddConstraint(
            model_name='liveview',
            constraint=models.UniqueConstraint(fields=('run', 'key'), name='live_once_per_episode'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.UniqueConstraint(fields=('shard', 'number'), name='attempt_once_per_token'),
        ),
    ]
