"""The tests over all worker classes that the asgi worker runs, too: patterns of their names.

The others look at WSGI itself, or at parts of the engine that do not know the kind of application.
"""

from __future__ import annotations

import fnmatch

RUN = (
    "test_concurrency.py::test_many_clients_at_once*",
    "test_connection.py::*",
    "test_dispatch.py::test_nothing_is_lost_by_reloading*",
    "test_frameworks.py::*-starlette*",
    "test_frameworks.py::*-fastapi*",
    "test_frameworks.py::*-django*",
    "test_h2spec.py::*",
    "test_hostile_gateways.py::*",
    "test_hostile_http2.py::*",
    "test_http2.py::test_tasks*",
    "test_http2_upgrade.py::test_tasks*",
    "test_limits.py::test_header_timeout*",
    "test_limits.py::test_limit_request_body*",
    "test_limits.py::test_send_timeout*",
    "test_logging.py::test_each_refusal_has_a_line*",
    "test_nothing_lost.py::test_reload[[]*",
    "test_nothing_lost.py::test_recycling*",
    "test_nothing_lost.py::test_a_killed_worker*",
    "test_nothing_lost_http2.py::*",
    "test_preload.py::test_requests_before_a_worker_serves*",
    "test_recycling.py::test_a_worker_that_grows*",
    "test_slow_clients.py::*",
    "test_standby.py::*",
    "test_stopping.py::*",
)

EXCEPT = (
    "test_connection.py::test_expect_of_a_stream*",  # the application decides when it reads
    "test_connection.py::test_early_answer_to_a_large_upload*",
    "test_connection.py::test_pipelined_heads_and_bodiless*",  # too much of a body is an error
    "test_connection.py::test_keepalive_s*",  # the engine's, and long
    "test_connection.py::test_streamed_body_cut_short*",  # a half-closed connection is closed
    "test_limits.py::test_send_timeout_spares*/stream*",
    "test_slow_clients.py::*/file*",  # wsgi.file_wrapper
    "test_standby.py::test_bodies_are_read*",  # 100 Continue comes from the application
    "test_standby.py::test_bodies_have_their_rate*",
    "test_stopping.py::test_term_with_clients_that_stall*",  # a request runs from its head on
)

#: With the asgi worker alone.
ALONE = ("test_frameworks.py::*starlette*", "test_frameworks.py::*fastapi*")


def fits(is_asgi: bool, name: str) -> bool:
    """Whether a test of that name is run: with the asgi worker, or with another or none."""
    if not is_asgi:
        return not _matches(name, ALONE)
    return _matches(name, RUN) and not _matches(name, EXCEPT)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
