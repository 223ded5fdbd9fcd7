import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='ModelAlias',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('requested', models.CharField(max_length=200)),
                ('resolved', models.CharField(max_length=200)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='model_aliases', to='accounts.project')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('project', 'requested'), name='alias_in_project')],
            },
        ),
        migrations.CreateModel(
            name='Provider',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(max_length=60)),
                ('kind', models.CharField(choices=[('openai', 'OpenAI-compatible model API'), ('task_app', 'remote task app')], default='openai', max_length=10)),
                ('base_url', models.URLField(max_length=500)),
                ('origin', models.CharField(max_length=300)),
                ('encrypted_key', models.TextField(blank=True)),
                ('max_concurrent', models.PositiveIntegerField(default=32)),
                ('requests_per_minute', models.PositiveIntegerField(default=0)),
                ('prices', models.JSONField(blank=True, default=dict)),
                ('enabled', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='providers', to='accounts.project')),
            ],
            options={
                'indexes': [models.Index(fields=['project', 'origin'], name='provider_by_origin')],
                'constraints': [models.UniqueConstraint(fields=('project', 'name'), name='provider_name_in_project')],
            },
        ),
    ]
