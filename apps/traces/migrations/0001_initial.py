import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('runs', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Episode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task', models.CharField(max_length=60)),
                ('world_version', models.CharField(max_length=60)),
                ('seed', models.BigIntegerField()),
                ('repeat', models.PositiveIntegerField(default=0)),
                ('policy_version', models.PositiveIntegerField(default=0)),
                ('policy', models.CharField(max_length=60)),
                ('model', models.CharField(blank=True, max_length=300)),
                ('provider', models.CharField(blank=True, max_length=60)),
                ('temperature', models.FloatField(default=1.0)),
                ('episode_return', models.FloatField()),
                ('outcome_reward', models.FloatField()),
                ('n_achievements', models.PositiveIntegerField()),
                ('n_steps', models.PositiveIntegerField()),
                ('n_turns', models.PositiveIntegerField()),
                ('n_failed_calls', models.PositiveIntegerField(default=0)),
                ('ended', models.CharField(max_length=20)),
                ('ending', models.CharField(blank=True, max_length=200)),
                ('error', models.TextField(blank=True)),
                ('broken', models.BooleanField(default=False)),
                ('prompt_tokens', models.PositiveBigIntegerField(default=0)),
                ('completion_tokens', models.PositiveBigIntegerField(default=0)),
                ('cost_usd', models.FloatField(default=0.0)),
                ('started_at', models.DateTimeField()),
                ('duration_s', models.FloatField(default=0.0)),
                ('final_hash', models.CharField(blank=True, max_length=16)),
                ('final_view', models.TextField(blank=True)),
                ('storage_key', models.CharField(max_length=300)),
                ('payload_sha256', models.CharField(max_length=64)),
                ('payload_size', models.PositiveBigIntegerField()),
                ('verified', models.BooleanField(default=None, null=True)),
                ('verify_note', models.CharField(blank=True, max_length=300)),
                ('forked_at_step', models.PositiveIntegerField(blank=True, null=True)),
                ('forked_from', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to='traces.episode')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='episodes', to='runs.run')),
                ('shard', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, to='runs.shard')),
            ],
        ),
        migrations.CreateModel(
            name='EpisodeTurn',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('index', models.PositiveIntegerField()),
                ('actions', models.CharField(blank=True, max_length=300)),
                ('error_code', models.CharField(blank=True, max_length=40)),
                ('unlocked', models.CharField(blank=True, max_length=300)),
                ('reward', models.FloatField(default=0.0)),
                ('n_steps', models.PositiveIntegerField(default=0)),
                ('prompt_tokens', models.PositiveIntegerField(default=0)),
                ('completion_tokens', models.PositiveIntegerField(default=0)),
                ('queue_ms', models.FloatField(default=0.0)),
                ('model_ms', models.FloatField(default=0.0)),
                ('env_ms', models.FloatField(default=0.0)),
                ('episode', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='turns', to='traces.episode')),
            ],
        ),
        migrations.CreateModel(
            name='Label',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=60)),
                ('at', models.DateTimeField(auto_now_add=True)),
                ('episode', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='labels', to='traces.episode')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Unlock',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=60)),
                ('step', models.PositiveIntegerField()),
                ('turn', models.PositiveIntegerField()),
                ('episode', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='unlocks', to='traces.episode')),
            ],
        ),
        migrations.AddIndex(
            model_name='episode',
            index=models.Index(fields=['run', 'id'], name='episode_of_run'),
        ),
        migrations.AddIndex(
            model_name='episode',
            index=models.Index(fields=['run', 'n_achievements', 'id'], name='episode_by_score'),
        ),
        migrations.AddIndex(
            model_name='episode',
            index=models.Index(fields=['model', 'id'], name='episode_by_model'),
        ),
        migrations.AddIndex(
            model_name='episode',
            index=models.Index(fields=['n_achievements', 'id'], name='episode_best'),
        ),
        migrations.AddConstraint(
            model_name='episode',
            constraint=models.UniqueConstraint(fields=('run', 'task', 'world_version', 'seed', 'repeat', 'policy_version'), name='episode_once_per_run'),
        ),
        migrations.AddConstraint(
            model_name='episodeturn',
            constraint=models.UniqueConstraint(fields=('episode', 'index'), name='turn_once_per_episode'),
        ),
        migrations.AddIndex(
            model_name='label',
            index=models.Index(fields=['name', 'episode'], name='label_by_name'),
        ),
        migrations.AddConstraint(
            model_name='label',
            constraint=models.UniqueConstraint(fields=('episode', 'name'), name='label_once_per_episode'),
        ),
        migrations.AddIndex(
            model_name='unlock',
            index=models.Index(fields=['name', 'episode'], name='unlock_by_name'),
        ),
        migrations.AddConstraint(
            model_name='unlock',
            constraint=models.UniqueConstraint(fields=('episode', 'name'), name='unlock_once_per_episode'),
        ),
    ]
