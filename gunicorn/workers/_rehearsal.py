"""The requests that a worker sends to itself before it serves (`warmup`).

The work of an application at its first request (imports, templates, connections, caches) is done
when the first client asks. The requests take the way of all others through the engine, on
connections whose other end is held here; meanwhile the engine takes no clients.
"""

import threading
import time

from gunicorn import SERVER_SOFTWARE

USER_AGENT = f"gunicorn-warmup ({SERVER_SOFTWARE})"
HEAD_MAX = 65536  # bytes of an answer's head
BODY_MAX = 64 * 2**20  # bytes of an answer that are waited for


def begin(worker, engine) -> None:
    """Start the requests of `worker.cfg.warmup`. At their end the worker is ready."""
    try:
        ends = [engine.rehearse() for _ in worker.cfg.warmup]
    except OSError as exc:
        worker.log.warning("warmup: %s", exc)
        engine.end_rehearsal()
        worker.ready()
        return
    thread = threading.Thread(
        target=_rehearse, args=(worker, engine, ends), name="warmup", daemon=True
    )
    thread.start()


def _rehearse(worker, engine, ends) -> None:
    import socket

    clients = [socket.socket(fileno=fd) for fd in ends]
    try:
        for client, item in zip(clients, worker.cfg.warmup, strict=True):
            if worker.alive:
                _ask(worker, client, item)
    except Exception:
        worker.log.exception("warmup")
    finally:
        for client in clients:
            client.close()
        engine.end_rehearsal()
        worker.ready()


def _ask(worker, client, item) -> None:
    began = time.monotonic()
    try:
        client.sendall(_request(worker.cfg, item))
        status = _read_answer(client)
    except OSError as exc:
        status = f"nothing ({exc})"
    if not worker.alive:
        return
    log = worker.log.info if isinstance(status, int) and status < 400 else worker.log.warning
    seconds = time.monotonic() - began
    log("Warm-up: GET %s was answered with %s in %.3f s", item, status, seconds)


def _request(cfg, item) -> bytes:
    scheme, _, rest = ("", "", item) if item.startswith("/") else item.partition("://")
    host, _, path = rest.partition("/")
    lines = [f"GET /{path} HTTP/1.1", f"Host: {host or 'localhost'}", f"User-Agent: {USER_AGENT}"]
    if scheme == "https" or (cfg.is_ssl and not scheme):
        lines += [f"{name}: {value}" for name, value in cfg.secure_scheme_headers.items()]
    lines += ["Accept: */*", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _read_answer(client) -> int | str:
    """Return the status of the answer, once all of it is there."""
    head = b""
    size = 0
    while size < BODY_MAX:
        data = client.recv(65536)
        if not data:
            break
        size += len(data)
        head += data[: max(0, HEAD_MAX - len(head))]
        while head.startswith(b"HTTP/1.1 1") and b"\r\n\r\n" in head:  # interim
            head = head.partition(b"\r\n\r\n")[2]
    words = head.split(b"\r\n", 1)[0].split(b" ")
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else "nothing"
