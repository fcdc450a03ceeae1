"""Whether an application is WSGI's or ASGI's, as far as that can be seen before it is called."""

from __future__ import annotations

import inspect

from gunicorn.errors import ConfigError


def check(worker) -> None:
    """Raise ConfigError if the application is of the other kind than the worker's class serves."""
    kind = _kind_of(worker.wsgi)
    if not worker.uses_engine or kind in (None, worker.application_kind):
        return
    if kind == "asgi":
        raise ConfigError(
            f"The application {worker.wsgi!r} is ASGI, and workers of the class "
            f"{worker.cfg.worker_class_str} serve WSGI: use worker_class 'asgi'"
        )
    raise ConfigError(
        f"The application {worker.wsgi!r} is WSGI, and asgi workers serve ASGI: use worker_class "
        "'gthread'"
    )


def _kind_of(app) -> str | None:
    """Return "asgi", "wsgi", or None where that cannot be seen."""
    if inspect.isclass(app) or not callable(app):
        return None
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__):
        return "asgi" if _takes(app, 3) else None
    if _takes(app, 2) == _takes(app, 3):
        return None
    return "wsgi" if _takes(app, 2) else "asgi"


def _takes(app, count) -> bool:
    try:
        inspect.signature(app).bind(*[None] * count)
    except (TypeError, ValueError):  # ValueError: code in C that does not say what it takes
        return False
    return True
