"""All writes of datasets: of games (`making`), of files (`uploading`), on disk (`files`)."""

from apps.datasets.services.files import local_file
from apps.datasets.services.making import Preview, create_dataset, preview
from apps.datasets.services.removing import delete_dataset
from apps.datasets.services.uploading import upload_dataset
from apps.datasets.services.writing import World, Written, add_version

__all__ = [
    "Preview",
    "World",
    "Written",
    "add_version",
    "create_dataset",
    "delete_dataset",
    "local_file",
    "preview",
    "upload_dataset",
]
