"""The environ of a request, as the application `echo` answers with it."""

from __future__ import annotations

import json
from typing import Any

from helpers.wire import Response


def environ_of(response: Response) -> dict[str, Any]:
    """Its values, without their types."""
    assert response.status == 200, response
    environ = json.loads(response.body)["environ"]
    return {key: value for key, (_, value) in environ.items()}
