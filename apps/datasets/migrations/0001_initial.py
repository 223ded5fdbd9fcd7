import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        ('runs', '0001_initial'),
        ('traces', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Dataset',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('version', models.PositiveIntegerField()),
                ('sha256', models.CharField(max_length=64)),
                ('source', models.CharField(max_length=10)),
                ('filter', models.JSONField(default=dict)),
                ('words', models.TextField(blank=True)),
                ('statistics', models.JSONField(default=dict)),
                ('n_records', models.PositiveIntegerField()),
                ('n_episodes', models.PositiveIntegerField(default=0)),
                ('size_bytes', models.PositiveBigIntegerField()),
                ('storage_key', models.CharField(max_length=300)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to='datasets.dataset')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='datasets', to='accounts.project')),
                ('run', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to='runs.run')),
            ],
        ),
        migrations.CreateModel(
            name='DatasetEpisode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task', models.CharField(max_length=60)),
                ('world_version', models.CharField(max_length=60)),
                ('seed', models.BigIntegerField()),
                ('n_records', models.PositiveIntegerField()),
                ('dataset', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='episode_rows', to='datasets.dataset')),
                ('episode', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='dataset_rows', to='traces.episode')),
            ],
        ),
        migrations.AddIndex(
            model_name='dataset',
            index=models.Index(fields=['project', '-id'], name='dataset_newest'),
        ),
        migrations.AddConstraint(
            model_name='dataset',
            constraint=models.UniqueConstraint(fields=('project', 'name', 'version'), name='dataset_version_in_project'),
        ),
        migrations.AddIndex(
            model_name='datasetepisode',
            index=models.Index(fields=['dataset', 'seed'], name='dataset_seeds'),
        ),
    ]
