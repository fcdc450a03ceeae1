"""A client of a master's status port."""

from __future__ import annotations

import http.client
import json
import socket

import pytest

from gunicorn.master.dump import private_name


class Port:
    """The status port at an address: (host, port), or the path of a unix socket."""

    def __init__(self, address) -> None:
        self.address = address

    @classmethod
    def private(cls, master: int) -> Port:
        """The one that every master has, for its own user alone."""
        name = private_name(master)
        if name is None:
            raise ConnectionRefusedError(f"{master} has no private socket (yet)")
        return cls(name)

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection("status", timeout=20)
        if isinstance(self.address, str):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(20)
            connection.sock.connect(self.address)
        else:
            connection.sock = socket.create_connection(self.address, 20)
        with connection.sock:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def text(self, path: str) -> str:
        status, text = self.get(path)
        assert status == 200, text
        return text

    def workers(self) -> list[dict]:
        return json.loads(self.text("/workers"))["workers"]

    def figures(self) -> dict:
        """{(name, label value or None): value}, as Prometheus reads them."""
        parser = pytest.importorskip("prometheus_client.openmetrics.parser")
        return {
            (sample.name, next(iter(sample.labels.values()), None)): sample.value
            for family in parser.text_string_to_metric_families(self.text("/metrics"))
            for sample in family.samples
            if not sample.name.endswith("_bucket")
        }
