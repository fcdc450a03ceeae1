"""The work that the C core leaves to Python: hooks, logging, and all that usual requests avoid."""

from __future__ import annotations

import errno
import os
import signal
import sys

from gunicorn.errors import RequestTimeout
from gunicorn.http import _server_fields, errors, message, wsgi
from gunicorn.workers import _forked, _overrides

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CLIENT_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


class Bridge:
    """The Python half of one worker's engine."""

    def __init__(self, worker) -> None:
        self.worker = worker
        self.cfg = worker.cfg
        self.log = worker.log
        self.slot = getattr(worker, "slot", None)
        self.application_kind = getattr(worker, "application_kind", "wsgi")
        limit = getattr(worker, "max_requests", 0)
        self.max_requests = 0 if limit == sys.maxsize else limit
        self.tls: Any = getattr(worker, "tls", None)
        if self.tls is None and self.cfg.is_ssl:  # there is no master that would have made it
            from gunicorn import _tls

            self.tls = _tls.start(self.cfg, self.log)
        self._templates: list[dict] = []  # of environs; of an ASGI worker when first needed
        self.access_in_c = False  # set when the engine writes the access log
        self.wraps_requests = hasattr(worker, "pass_request") and _overrides.has_own(
            worker, "handle_request"
        )
        self._handles_errors = _overrides.has_own(worker, "handle_error")
        # Whether anybody sees a request before the application, and may change it.
        self.shows_requests = self.wraps_requests or self._is_set("pre_request")

    def _is_set(self, hook) -> bool:
        return getattr(self.cfg, hook) is not self.cfg.settings[hook].default

    def _has_hooks(self) -> bool:
        return self.shows_requests or self._is_set("post_request") or self.wants_debug

    @property
    def wants_debug(self) -> bool:
        """Whether anybody reads lines of that level."""
        return self.cfg.loglevel.lower() == "debug"

    @property
    def wants_objects(self) -> bool:
        """Whether each request has to pass through here."""
        return self._handles_errors or self._has_hooks() or self.logs_in_python

    @property
    def logs_in_python(self) -> bool:
        """Whether the lines of the access log are written by the logger."""
        return self._logs_requests() and not self.access_in_c

    def access_target(self) -> tuple[int, str] | None:
        """The descriptor and the format of an access log that C may write."""
        access_fd = getattr(self.log, "access_fd", None)
        if access_fd is None or not self._logs_requests():
            return None
        fd = access_fd()
        return None if fd is None else (fd, self.cfg.access_log_format)

    def _logs_requests(self) -> bool:
        is_ours = getattr(self.log, "_is_ours", None)
        if is_ours is None or not is_ours("access"):
            return True
        return self.log.access_log_enabled

    # ---- environ ----

    def templates(self, worker, file_wrapper, empty_input) -> list[dict]:
        """Return an environ for each listener, with all that every request has.

        One more is for the requests of a rehearsal, which come by no listener.
        """
        base = {
            "wsgi.errors": wsgi.WSGIErrorsWrapper(self.cfg),
            "wsgi.version": (1, 0),
            "wsgi.multithread": worker.multithread,
            "wsgi.multiprocess": self.cfg.workers > 1,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": file_wrapper,
            "wsgi.input_terminated": True,
            "wsgi.input": empty_input,
            "wsgi.url_scheme": "http" if self.tls is None else "https",
            "SERVER_SOFTWARE": wsgi.server_software(),
            "REQUEST_METHOD": "GET",
            "QUERY_STRING": "",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SCRIPT_NAME": os.environ.get("SCRIPT_NAME", ""),
            # Set at each request: in the template so that a copy has room for a request's headers.
            "PATH_INFO": "",
            "RAW_URI": "",
            "REMOTE_ADDR": "",
            "gunicorn.socket": None,
            "wsgi.early_hints": None,
        }
        if self.tls is not None:
            base |= {"HTTPS": "on", "SSL_PROTOCOL": "", "SSL_CIPHER": ""}
            base["SSL_SESSION_RESUMED"] = "Initial"
        if self.cfg.request_timeout:
            base["gunicorn.deadline"] = None
        self.addresses = [sock.getsockname() for sock in worker.sockets]
        self._templates = [{**base, **self._server(name)} for name in self.addresses]
        self._templates.append(self._templates[0] if self._templates else base)
        return self._templates

    @staticmethod
    def _server(name) -> dict:
        if isinstance(name, tuple):
            return {"SERVER_NAME": name[0], "SERVER_PORT": str(name[1]), "REMOTE_PORT": ""}
        if isinstance(name, bytes):
            name = os.fsdecode(name)
        return {"SERVER_NAME": name, "SERVER_PORT": ""}

    def script_name_mismatch(self, environ):
        """Raise the error of a path outside SCRIPT_NAME."""
        raise errors.ConfigurationProblem(
            f"Request path {environ['RAW_URI']!r} does not start with "
            f"SCRIPT_NAME {environ['SCRIPT_NAME']!r}"
        )

    def fill_changed(self, environ, req, given, listener, body_size):
        """Fill `environ` from a request that was changed. Return None if it was not.

        `given` has the arguments of the worker's own `handle_request()`: the client's address,
        the server's and the client's socket, or None. `body_size` is as in `_environ.fill`.

        Returns whether the connection ends after the answer, and whether that is HTTP/1.0's.
        """
        if message.is_as_received(req):
            if given in (None, (req._client, self.addresses[listener], req._sock)):
                return None
        client, server, sock = given or (req._client, self.addresses[listener], req._sock)
        from gunicorn.http import _environ

        _environ.fill(environ, req, client, server, body_size)
        environ["gunicorn.socket"] = sock
        return req.should_close(), tuple(req.version) <= (1, 0)

    # ---- answers ----

    def server_fields(self) -> bytes:
        """Return the fields of each answer that the user may change."""
        return _server_fields.lines(self.cfg, self.log)

    def raise_error(self, name, culprit):
        """Raise the class `name` of gunicorn.http.errors; a header's value is not repeated."""
        raise getattr(errors, name)(repr(culprit))

    def raise_body_limit(self):
        """Raise the error of a body that is longer than it may be."""
        raise errors.LimitRequestBody(self.cfg.limit_request_body)

    def early_hints(self, headers) -> bytes:
        """Return the lines of an interim answer (RFC 8297) for `headers`, pairs of str or bytes."""
        lines = []
        for name, value in headers:
            name = name.decode("latin-1") if isinstance(name, bytes) else name
            value = value.decode("latin-1") if isinstance(value, bytes) else value
            if not wsgi.is_token(name):
                raise errors.InvalidResponseHeaderName(repr(name))
            if not wsgi.is_value(value):
                raise errors.InvalidResponseHeader(repr(name))
            lines.append(f"{name}: {value.strip(' ' + chr(9))}\r\n")
        return "".join(lines).encode("latin-1")

    def client_socket(self, link, over_tls):
        """Return the object with the attributes of gunicorn.socket."""
        if over_tls:
            from gunicorn.http._tls_socket import TlsSocket

            return TlsSocket(link, self.tls.context)
        from gunicorn.http._client_socket import ClientSocket

        return ClientSocket(link)

    def take_over_socket(self, fd, blocks):
        """Return a socket for an application that talks on the connection; `fd` is its own."""
        import socket

        try:
            sock = socket.socket(fileno=fd)
        except BaseException:
            os.close(fd)
            raise
        if blocks:
            sock.setblocking(True)
        return sock

    # ---- TLS ----

    @property
    def tls_context(self):
        """The `ssl.SSLContext` to serve with, as it is by now; None without TLS."""
        if self.tls is None:
            return None
        from gunicorn._tls_guard import guard

        return guard(self.tls.context)

    def renew_certificate(self):
        """Return another context if the certificate's files have changed, else None."""
        return self.tls.renew(self.log) and self.tls_context

    def server_name(self, name):
        """Return the context for a client that asks for `name`, and an alert or 0."""
        from gunicorn import _tls

        # Kept until the next one, because the choice of a protocol by ALPN follows.
        self._chosen = _tls.server_name(self.tls.context, name, self.log)
        return self._chosen

    def has_shared_keys(self, context) -> bool:
        """Whether the context has a callback for TLS-PSK."""
        from gunicorn import _tls

        return _tls.has_shared_keys(context)

    def shared_key(self, identity: bytes) -> bytes:
        """Return the key that a client shares with us, empty for none."""
        from gunicorn import _tls

        return _tls.shared_key(self.tls.context, identity, self.log)

    def client_variables(self, der):
        """Return the environ's part about a client's certificate."""
        from gunicorn.http import _tls_socket

        return _tls_socket.client_variables(der)

    # ---- hooks and logs ----

    def make_request(self, waited, address, port, *rest):
        """Return a request as hooks see it."""
        peer = (address, port) if address else ""
        req = message.received(self.cfg, peer, waited, *rest)
        if self.shows_requests:
            message.remember(req)
        return req

    def make_response(self, req, sock, status, headers, code, sent, length, *flags):
        """Return an answer as hooks see it; `length` is its declared length or None."""
        resp = wsgi.Response(req, sock, self.cfg)
        resp.status = status
        resp.status_code = code
        resp.headers = list(headers or ())
        resp.sent = sent
        resp.response_length = length
        resp.chunked, resp.headers_sent, resp.upgrade, resp._closes = flags
        return resp

    def before(self, req):
        """Run `pre_request`; return when the request began."""
        from datetime import datetime

        try:
            self.cfg.pre_request(self.worker, req)
        except BaseException:
            self.post_request(req, {}, None)
            raise
        return datetime.now()

    def around(self, req, client, proceed, listener) -> None:
        """Call the worker's own `handle_request`."""
        req._proceed = proceed
        self.worker.pass_request(self.worker.sockets[listener], req, client)

    def after(self, req, environ, resp, started) -> None:
        """Write the access log's line and run `post_request`.

        `environ` is None where the application was not called.
        """
        from datetime import datetime

        self.worker.nr += 1
        if environ is None:
            environ, resp = {}, None
        elif not self.access_in_c:
            self.log.access(resp, req, environ, datetime.now() - started)
        self.post_request(req, environ, resp)

    def field(self, req, name) -> bytes | None:
        """Return the last field of that name, in lower case, for the engine's access log."""
        values = [value for key, value in req.headers if key.lower() == name]
        return str(values[-1]).encode("latin-1", "replace") if values else None

    def post_request(self, req, environ, resp) -> None:
        """Run the hook: also without an environ and an answer, when `pre_request` failed."""
        try:
            self.cfg.post_request(self.worker, req, environ, resp)
        except Exception:
            self.log.exception("Exception in post_request hook")

    def refused(
        self, listener, status, reason, sent, address, port,
        method, uri, path, query, version, headers, https, number,
    ) -> None:  # fmt: skip
        """Write the access log's line about a request that the engine has answered by itself."""
        from datetime import timedelta

        from gunicorn.http import _environ

        head = (method, uri, path, query, version, headers, https, number)
        req = self.make_request(0.0, address, port, None, None, *head)
        templates = self._templates or self.templates(self.worker, None, None)
        environ = {
            **templates[listener],
            **_environ.http_variables(headers),
            "REQUEST_METHOD": method,
            "RAW_URI": uri,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "-" if uri == "-" else "HTTP/{}.{}".format(*version),
            "REMOTE_ADDR": address,
        }
        resp = self.make_response(
            *(req, None, f"{status} {reason}", [], status, sent, sent, False, sent > 0, False, True)
        )
        self.log.access(resp, req, environ, timedelta())

    def note(self, level: str, text: str) -> None:
        """Log a line of the engine's: by the logger's method as it is by now."""
        getattr(self.log, level)("%s", text)

    def body_dropped(self, method, status) -> None:
        """Warn of a body where HTTP has none."""
        import logging

        logging.getLogger("gunicorn.http.wsgi").warning(
            "WSGI app sent body bytes on a no-body response (method=%s status=%s); "
            "dropping per RFC 9110.",
            method,
            status,
        )

    def failed(self, exc, method, uri, broken, socket_taken, req, client):
        """Log why a request failed. Return the status and the text to answer, (0, "") for none.

        `req` is None where the worker's own `handle_error` is not asked: it is too late.

        A request that the worker itself ended, by one of its `quiet_exceptions`, gets neither.
        An application that talks on the client's socket ends so: WebSocket libraries raise
        StopIteration then.
        """
        if isinstance(exc, getattr(self.worker, "quiet_exceptions", ())):
            return 0, ""
        if isinstance(exc, SystemExit) and getattr(self.worker, "broken_off", False):
            return 0, ""
        if isinstance(exc, RequestTimeout):  # logged when it was raised
            return 504, ""
        if socket_taken and isinstance(exc, StopIteration):
            self.log.debug("Closing connection. %s", exc)
            return 0, ""
        if broken and isinstance(exc, OSError) and exc.errno in CLIENT_GONE:
            self.log.debug("Ignoring a client that has closed its connection")
            return 0, ""
        if self._handles_errors and req is not None:
            self.worker.handle_error(req, client, req.peer_addr, exc)
            return 0, ""
        if isinstance(exc, errors.ConfigurationProblem):
            self.log.warning("Invalid request: %s", exc)
            return 500, str(exc)
        if isinstance(exc, errors.LimitRequestBody):
            self.log.warning("Invalid request: %s", exc)
            return exc.code, str(exc)
        if req is not None:
            method, uri = req.method, req.uri
        self.log.exception("Error handling request %s %s", method, uri, exc_info=exc)
        if self.application_kind == "wsgi" and isinstance(exc, TypeError) and not exc.__traceback__:
            self.hint_at_callable()
        return 500, ""

    def hint_at_callable(self) -> None:
        """Log the mistake in an application that no server could call."""
        import inspect

        try:
            inspect.signature(self.worker.wsgi).bind(None, None)
        except TypeError:
            self.log.error(
                "The application cannot be called as WSGI asks, with environ and start_response. "
                "If it is a factory or a class, write its call: 'module:create_app()'; "
                "if it is ASGI, use worker_class 'asgi'."
            )
        except ValueError:  # code in C that does not name its arguments
            pass

    # ---- request_timeout ----

    def watch_deadlines(self, overdue, signo, stacks_signo):
        """Have `overdue` called by a signal. Return the means by which the engine ends requests.

        These are the exception, the function that returns the running greenlet, the descriptor that
        wakes the main thread, and the descriptor of the error log for emergencies.
        """
        import faulthandler

        if overdue is not None:
            signal.signal(signo, overdue)
        stacks_fd = self.worker.open_stacks()
        if stacks_fd >= 0:
            faulthandler.register(stacks_signo, file=stacks_fd, all_threads=True)
        current = getattr(self.worker, "current", None)
        return RequestTimeout, current, self.worker.PIPE[1], stacks_fd

    def runs_now(self, current, coroutine) -> bool:
        """Whether a greenlet is the one that runs, or waits for it as its parent."""
        one = current()
        while one is not None and one is not coroutine:
            one = one.parent
        return one is not None

    def stack_of_frame(self, frame) -> list:
        """Return the places of a frame and its callers: pairs of code and line, outermost first.

        Quickly: in another thread the request goes on meanwhile.
        """
        stack = []
        while frame is not None:
            stack.append((frame.f_code, frame.f_lineno))
            frame = frame.f_back
        stack.reverse()
        return stack

    def stack_of_greenlet(self, one) -> list:
        return self.stack_of_frame(one.gr_frame)

    def stack_of_thread(self, ident) -> list:
        return self.stack_of_frame(sys._current_frames().get(ident))

    def overdue(self, about) -> None:
        """Log that a request is over its deadline."""
        *_, inside, _later = about
        what = "RequestTimeout is raised in it." if inside else "The application is not at work."
        self._log_overdue(f"over request_timeout ({self.cfg.request_timeout:g} s). {what}", about)

    def stuck(self, about) -> None:
        """Log that a request goes on nevertheless."""
        self._log_overdue(
            "and did not end within request_timeout_grace "
            f"({self.cfg.request_timeout_grace:g} s). This worker is replaced.",
            about,
        )

    def _log_overdue(self, what, about) -> None:
        method, uri, age, stack, _inside, later = about

        def write():
            self.log.error(
                "Request %s %s has been running for %.1f s, %s Its stack:\n%s",
                *(method, uri, age, what, _stack_text(stack)),
            )

        if later:  # the loop itself may have been interrupted, where nothing can wait
            self.worker.call_later(0, write)
        else:
            write()

    def interrupt(self, coroutine, serial: int) -> None:
        """Have RequestTimeout raised in a greenlet that waits."""
        self.worker.interrupt(coroutine, serial)

    def end_child(self, exc, method, uri) -> None:
        """End a process that the application has forked, and that came back into the server."""
        _forked.end(self.worker, exc, f"in the request {method} {uri}" if method else "")

    def retire(self) -> bool:
        """The worker has served `max_requests`. Return whether it has to stop by itself."""
        self.log.info("Autorestarting worker after current request.")
        if self.slot is not None:
            self.slot.retire()
            return False
        self.worker.alive = False
        return True


def _stack_text(stack) -> str:
    import traceback

    places = [(code.co_filename, line, code.co_name, None) for code, line in stack]
    return "".join(traceback.format_list(places)).rstrip() or "  (unknown)"
