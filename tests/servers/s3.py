"""A server that speaks S3 on a port of its own, with one bucket; what it holds is in its memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import boto3
from botocore.exceptions import EndpointConnectionError

from tests.servers.instance import free_port
from tests.servers.waiting import wait_until

BUCKET = "synthweb-files"
KEY = {"aws_access_key_id": "a test's key", "aws_secret_access_key": "a test's secret"}


class S3Server(NamedTuple):
    """Where it listens, and a client that looks behind the product's back."""

    endpoint: str
    client: Any

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of an instance whose files are here."""
        return {
            "SYNTHWEB_S3_BUCKET": BUCKET,
            "SYNTHWEB_S3_ENDPOINT": self.endpoint,
            "SYNTHWEB_S3_ACCESS_KEY": KEY["aws_access_key_id"],
            "SYNTHWEB_S3_SECRET_KEY": KEY["aws_secret_access_key"],
        }

    def stored(self) -> list[str]:
        """What the bucket holds."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [row["Key"] for page in pages for row in page.get("Contents", [])]


@contextmanager
def serve() -> Iterator[S3Server]:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **KEY)
    try:
        wait_until(lambda: _has_bucket(client), "the S3 server", 40)
        yield S3Server(endpoint, client)
    finally:
        process.terminate()
        process.wait(10)


def _has_bucket(client: Any) -> bool:
    try:
        client.create_bucket(Bucket=BUCKET)
    except EndpointConnectionError:
        return False
    return True
