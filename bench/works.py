"""What is measured: each work is one way of asking, and what we mean to reach at it."""

from __future__ import annotations

from dataclasses import dataclass

#: The Python servers that a goal against "the best peer" means.
PEERS = ("fastpysgi", "bjoern", "granian", "uwsgi", "gunicorn")
ASGI_PEERS = ("uvicorn", "granian-asgi", "gunicorn-asgi")
#: The servers that run the ASGI application; those of a name in "-asyncio" without uvloop.
OURS_ASGI = ("ours-asgi", "ours-asgi-asyncio")
ASGI_SERVERS = frozenset({*OURS_ASGI, *ASGI_PEERS, *(f"{name}-asyncio" for name in ASGI_PEERS)})


@dataclass(frozen=True)
class Goal:
    """A bound on CPU time a request.

    ``of``: the server of ours that is judged; None means the one that the others are compared with.
    ``at_most``: it needs at most this many times what ``other`` does.
    ``more_us``: ``other``, a variant of ours, needs at most that many microseconds more.
    ``at_least``: ``other``, or the best of the peers, needs at least this many times what it does;
    ``unlike`` names the peers that do not do the same.
    """

    other: str
    of: str | None = None
    unlike: tuple[str, ...] = ()
    at_most: float | None = None
    more_us: float | None = None
    at_least: float | None = None


@dataclass(frozen=True)
class Work:
    """One load: the path, wrk's script and its argument, and the number of connections.

    ``streams``: by HTTP/2, so many requests at a time on each connection, by h2load.
    ``idle``: so many connections more are open meanwhile, have had one answer and ask nothing.
    ``only``: the servers that are asked; None means all that run the WSGI application.
    ``warm_up``: seconds of a first run that does not count.
    ``peers``: of whom the best is meant by a goal against the peers.
    """

    name: str
    what: str
    path: str
    script: str = "constant.lua"
    argument: str = "0"
    headers: tuple[str, ...] = ()
    connections: int = 64
    goals: tuple[Goal, ...] = ()
    tls: bool = False
    streams: int = 0
    idle: int = 0
    only: frozenset[str] | None = None
    warm_up: int = 1
    peers: tuple[str, ...] = PEERS

    @property
    def ours(self) -> str:
        """The name of the server that the others are compared with."""
        if self.peers == ASGI_PEERS:
            return "ours-asgi"
        return "ours-tls" if self.tls else "ours"


def hub_goals(more: tuple[Goal, ...] = ()) -> tuple[Goal, ...]:
    """Return the goals of the workers that run on somebody else's loop."""
    return (
        Goal("gunicorn-gevent", of="ours-gevent", at_least=12.0),
        Goal("gunicorn-eventlet", of="ours-eventlet", at_least=6.0),
        Goal("gunicorn-tornado", of="ours-tornado", at_least=6.0),
        *more,
    )


def http2(name: str, shape: str, what: str, ratio: float) -> Work:
    """Return a work over HTTP/2; `shape`: connections x streams."""
    connections, streams = map(int, shape.split("x"))
    return Work(
        name=f"h2-{name}-{shape}",
        what=f"{what}, {connections} connections x {streams} streams, HTTP/2 over TLS 1.3",
        path=f"/{name}",
        connections=connections,
        streams=streams,
        tls=True,
        only=frozenset({"ours-tls", "nginx-tls", "granian-tls", "hypercorn-tls"}),
        goals=(Goal("nginx-tls", at_most=ratio),),
    )


def post(size: int, label: str, ratio: float, goals: tuple[Goal, ...] = ()) -> Work:
    return Work(
        name=f"post-{label}",
        what=f"POST {label}, echoed",
        path="/echo",
        argument=str(size),
        goals=(Goal("peers", at_least=ratio), *goals),
    )


def asgi(
    name: str,
    what: str,
    path: str,
    goals: tuple[Goal, ...],
    others: tuple[str, ...] = (),
    servers: frozenset[str] = ASGI_SERVERS,
    **more,
) -> Work:
    """Return a work of the ASGI application; servers of other kinds take part by their names."""
    only = servers | set(others)
    return Work(f"asgi-{name}", what, path, goals=goals, only=only, peers=ASGI_PEERS, **more)


def beside_granian(at_most: float) -> tuple[Goal, ...]:
    """Return the goals of both event loops against Granian on the same."""
    return (
        Goal("granian-asgi", at_most=at_most),
        Goal("granian-asgi-asyncio", of="ours-asgi-asyncio", at_most=at_most),
    )


ASGI_WORKS = (
    asgi(
        "hello",
        "ASGI: GET, 13 bytes, 64 keep-alive connections",
        "/hello",
        beside_granian(0.5),
        ("floor",),
    ),
    asgi(
        "browser",
        "ASGI: a browser's 16 fields (1.1 KB), the query and 3 fields vary",
        "/hello",
        beside_granian(0.5),
        ("floor",),
        script="browser.lua",
    ),
    asgi(
        "post-64k",
        "ASGI: POST 64 KiB, echoed",
        "/echo",
        (Goal("peers", at_most=0.6),),
        argument="65536",
    ),
    asgi("stream", "ASGI: 16 x 64 KiB, streamed", "/stream", (Goal("peers", at_most=0.7),)),
    asgi(
        "file",
        "ASGI: 1 MiB by http.response.pathsend, or read and sent",
        "/file",
        (Goal("nginx", at_most=1.1),),
        ("nginx",),
    ),
    # The first request of a framework imports it.
    asgi("starlette", "ASGI: JSON by Starlette", "/starlette", beside_granian(0.75), warm_up=4),
    asgi("fastapi", "ASGI: JSON by FastAPI", "/fastapi", beside_granian(0.75), warm_up=4),
    asgi(
        "hello-1000",
        "ASGI: GET, 1,000 keep-alive connections",
        "/hello",
        (Goal("asgi-hello", at_most=1.1),),
        servers=frozenset(OURS_ASGI),
        connections=1000,
    ),
    asgi(
        "hello-10000",
        "ASGI: GET, 64 keep-alive connections beside 9,936 idle ones",
        "/hello",
        (Goal("asgi-hello", at_most=1.2),),
        idle=9936,
        servers=frozenset(OURS_ASGI),
    ),
)


WORKS = (
    Work(
        "hello",
        "GET, 13 bytes, 64 keep-alive connections",
        "/hello",
        goals=(
            Goal("nginx", at_most=1.0),
            Goal("peers", at_least=1.5),
            Goal("ours", of="ours-gthread", at_most=1.2),
            Goal("ours-accesslog", more_us=1.5),
            *hub_goals((Goal("ours", of="ours-gevent", at_most=1.8),)),
        ),
    ),
    Work(
        "browser",
        "a browser's 16 fields (1.1 KB), the query and 3 fields vary",
        "/hello",
        script="browser.lua",
        goals=(Goal("nginx", at_most=1.15), Goal("peers", at_least=2.0)),
    ),
    post(4096, "4k", 1.4, hub_goals()),
    post(65536, "64k", 1.4),
    post(1048576, "1m", 1.2),
    Work("bytes", "1 MiB as one bytes object", "/bytes", goals=(Goal("peers", at_least=1.0),)),
    Work(
        "generator",
        "16 x 64 KiB, generated",
        "/gen",
        # FastPySGI sends nothing before the last block is there (PEP 3333 wants each sent at once).
        goals=(Goal("peers", at_least=1.0, unlike=("fastpysgi",)),),
    ),
    Work("file", "1 MiB by wsgi.file_wrapper", "/file", goals=(Goal("nginx", at_most=1.1),)),
    Work(
        "close",
        "GET with Connection: close",
        "/hello",
        headers=("Connection: close",),
        goals=(Goal("nginx", at_most=1.1),),
    ),
    Work(
        "hello-1000",
        "GET, 1,000 keep-alive connections",
        "/hello",
        connections=1000,
        goals=(Goal("hello", at_most=1.1),),
    ),
    Work(
        "hello-100",
        "GET, 100 keep-alive connections",
        "/hello",
        connections=100,
        only=frozenset({"ours"}),
    ),
    Work(
        "hello-10000",
        "the same beside 9,900 idle connections",
        "/hello",
        connections=100,
        idle=9900,
        only=frozenset({"ours"}),
        goals=(Goal("hello-100", at_most=1.15),),
    ),
    Work(
        "tls-hello",
        "GET, 13 bytes, 64 keep-alive connections, TLS 1.3",
        "/hello",
        goals=(Goal("nginx-tls", at_most=1.15),),
        tls=True,
    ),
    Work(
        "tls-handshake",
        "GET with Connection: close, a full handshake each",
        "/hello",
        headers=("Connection: close",),
        goals=(Goal("nginx-tls", at_most=1.1),),
        tls=True,
    ),
    Work(
        "tls-file",
        "1 MiB by wsgi.file_wrapper, TLS 1.3",
        "/file",
        goals=(Goal("nginx-tls", at_most=1.1),),
        tls=True,
    ),
    http2("hello", "1x100", "GET, 13 bytes", 1.3),
    http2("hello", "32x10", "GET, 13 bytes", 1.3),
    http2("file", "4x4", "1 MiB by wsgi.file_wrapper", 1.2),
    *ASGI_WORKS,
)
