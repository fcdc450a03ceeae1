"""TLS: the `ssl.SSLContext` that connections use, and its files, which may change on disk.

The context is made in the master, before workers give up the right to read the key; all workers
have the same, and so the same keys of session tickets. A context that a worker makes of renewed
files is its own, with the ticket keys of the one before.
"""

import _ssl  # its class is the one that gevent and eventlet leave as it is
import contextlib
import copy
import errno
import functools
import os
import ssl
import time
import weakref

from gunicorn import _core, _ssl_context, _tls_recipe
from gunicorn._tls_guard import guard_callbacks
from gunicorn.errors import ConfigError

FILES = ("certfile", "keyfile", "ca_certs")
FRESH_NS = 2_000_000_000
# OpenSSL's reasons for another key than the certificate's; the last when it is of another type.
MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
VERIFY_MODES = "0 (none asked for), 1 (optional), 2 (required)"


# ---- the context ----


def make_context(cfg) -> ssl.SSLContext:
    """Return the context of the settings and the hook `ssl_context`.

    Raises ConfigError, in one line that names the setting at fault.
    """
    _remember_shared_keys()
    with _unavailable_is_a_fault():
        if not _core.tls_is_shared():
            _tls_recipe.begin()
    try:
        context = _ssl_context.make(cfg)
    except Exception as exc:
        raise ConfigError(_fault(cfg) or _fault_elsewhere(cfg, exc)) from exc
    # One of _ssl's own class could not be guarded.
    if not isinstance(context, _ssl._SSLContext) or type(context) is _ssl._SSLContext:
        raise ConfigError(
            f"ssl_context: the hook returned {context!r}; it has to return an ssl.SSLContext, "
            "as default_ssl_context_factory() does"
        )
    with _unavailable_is_a_fault():
        _core.tls_check(context)
    return context  # type: ignore[return-value]


@contextlib.contextmanager
def _unavailable_is_a_fault():
    try:
        yield
    except _core.TLSUnavailable as exc:
        raise ConfigError(
            f"certfile, keyfile: TLS cannot be spoken with this Python: {exc}; let the proxy in "
            "front speak it, or use a worker class that brings its own"
        ) from exc


def _fault(cfg) -> str | None:
    """Say which setting makes no context; each is tried by itself."""
    return _unreadable(cfg) or _bad_certificate(cfg) or _bad_option(cfg)


def _unreadable(cfg) -> str | None:
    for name in FILES:
        path = getattr(cfg, name)
        try:
            if path:
                with open(path, "rb"):
                    pass
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or exc
            return f"{name}: {path!r} cannot be read: {reason}"
    return None


def _holds_certificates(path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return False
    return True


def _bad_certificate(cfg) -> str | None:
    if not cfg.certfile:
        return f"certfile: is not set, and keyfile {cfg.keyfile!r} needs the certificate"
    for name in ("ca_certs", "certfile"):
        path = getattr(cfg, name)
        if path and not _holds_certificates(path):
            return f"{name}: {path!r} holds no certificate that OpenSSL can read; it has to be PEM"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cfg.certfile, cfg.keyfile, password=_ssl_context.pass_phrase(cfg))
    except ConfigError as exc:
        return str(exc)
    except (ssl.SSLError, ValueError) as exc:
        return _bad_key(cfg, exc)
    return None


def _bad_key(cfg, exc) -> str:
    path = cfg.keyfile or cfg.certfile
    reason = getattr(exc, "reason", None) or str(exc)
    if _ssl_context.forget_pass_phrase(path):
        return f"keyfile: the pass phrase given does not open {path!r}"
    if reason in MISMATCHES:
        return (
            f"keyfile: {path!r} is not the key of the certificate in {cfg.certfile!r}; if there "
            "are several in it, the server's own has to be the first"
        )
    if reason.startswith(("EE_", "CA_")):  # forbidden by the security level of OpenSSL
        return (
            f"certfile: OpenSSL refuses {cfg.certfile!r}: {reason.lower().replace('_', ' ')}; "
            "have a stronger one made"
        )
    if cfg.keyfile:
        return f"keyfile: {path!r} holds no private key that OpenSSL can read; it has to be PEM"
    return f"keyfile: is not set, and {path!r} holds no private key beside its certificate"


def _bad_option(cfg) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.verify_mode = cfg.cert_reqs
    except (ValueError, TypeError):
        return f"cert_reqs: {cfg.cert_reqs!r} is none of {VERIFY_MODES}"
    try:
        if cfg.ciphers:
            context.set_ciphers(cfg.ciphers)
    except ssl.SSLError:
        return (
            f"ciphers: OpenSSL can use nothing of {cfg.ciphers!r}; `openssl ciphers -v -tls1_2` "
            "has a list, and those of TLS 1.3 are always on"
        )
    return None


def _fault_elsewhere(cfg, exc) -> str:
    text = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    if cfg.was_set("ssl_context"):
        return f"ssl_context: the hook raised {text}"
    return f"certfile, keyfile: no context can be made of them: {text}"


def _warn_of_time(path, log) -> None:
    try:
        certificate = _ssl._test_decode_cert(path)  # type: ignore[attr-defined]
    except (OSError, ssl.SSLError):
        return  # the hook may do without it
    start, end = certificate["notBefore"], certificate["notAfter"]
    if time.time() < ssl.cert_time_to_seconds(start):
        log.warning("certfile: %r is not valid before %s: clients refuse it", path, start)
    elif time.time() > ssl.cert_time_to_seconds(end):
        log.warning("certfile: %r was valid until %s: clients refuse it", path, end)


def warn(cfg, context, log) -> None:
    """Warn of settings that can be served and are hardly intended."""
    if cfg.certfile:
        _warn_of_time(cfg.certfile, log)
    if context.verify_mode != ssl.CERT_NONE and not cfg.was_set("ssl_context"):
        if not context.cert_store_stats()["x509"]:
            log.warning(
                "cert_reqs: %s asks clients for certificates, and ca_certs names nobody who may "
                "have signed them: each certificate will be refused",
                int(context.verify_mode),
            )


# ---- the files ----


def _state_of(path) -> tuple:
    try:
        info = os.stat(path)
    except OSError as exc:
        return (exc.errno,)
    return (info.st_mtime_ns, info.st_ino, info.st_dev, info.st_size)


def _is_fresh(state: dict[str, tuple]) -> bool:
    """Whether a file was written just now, so that its writer may not be done."""
    now = time.time_ns()
    times = (one[0] for one in state.values() if len(one) > 1)
    return any(abs(now - mtime) < FRESH_NS for mtime in times)


class Tls:
    """The context in use, and the state of its files when it was made.

    Making one raises ConfigError.
    """

    _blind_logged = False

    def __init__(self, cfg, before: "Tls | None" = None) -> None:
        self.cfg = cfg
        self._seen = self._look()
        self.context = make_context(cfg)
        self._clients = self._clients_state()
        self._share_tickets(before)

    def _look(self) -> dict[str, tuple]:
        return {path: _state_of(path) for name in FILES if (path := getattr(self.cfg, name))}

    def _clients_state(self):
        """Return the terms of admission for clients: the list of authorities as it is now."""
        if self.context.verify_mode == ssl.CERT_NONE:
            return None
        hook = self.cfg.ssl_context if self.cfg.was_set("ssl_context") else None
        return (self.context.verify_mode, self._seen.get(self.cfg.ca_certs), hook)

    def _share_tickets(self, before: "Tls | None") -> None:
        """Have all workers issue tickets that each of them can read.

        They are those of `before`, so that its sessions can be resumed; unless other clients were
        let in by it, who have to show their certificates anew.
        """
        if before is not None and before._clients == self._clients:
            self._ticket_keys: bytes = before._ticket_keys
        else:
            self._ticket_keys = os.urandom(_core.tls_ticket_keys_size(self.context))
        _core.tls_set_ticket_keys(self.context, self._ticket_keys)

    def kept_for(self, cfg) -> "Tls":
        """Return one for `cfg` with the present context, whose files are not tried again as is."""
        kept = copy.copy(self)
        kept.cfg = cfg
        kept._seen = kept._look()
        return kept

    def _is_blind(self, state: dict[str, tuple], log) -> bool:
        """Whether this process may not even look, as it has given up its rights."""
        hidden = [path for path, one in state.items() if one == (errno.EACCES,)]
        if hidden and not self._blind_logged:
            self._blind_logged = True
            log.info("This process may not look at %s: once renewed, it takes a SIGHUP", hidden[0])
        return bool(hidden)

    def renew(self, log) -> ssl.SSLContext | None:
        """Return a context made anew if the files have changed on disk; None if there is no cause.

        Files that cannot be used are reported once, and the context stays as it is.
        """
        state = self._look()
        if state == self._seen or _is_fresh(state) or self._is_blind(state, log):
            return None
        try:
            renewed = Tls(self.cfg, self)
        except ConfigError as exc:
            self._seen = state
            log.error("The certificate's files have changed, the old one stays in use: %s", exc)
            return None
        vars(self).update(vars(renewed))
        warn(self.cfg, self.context, log)
        log.info("The certificate's files have changed: new connections use the new one")
        return self.context


def start(cfg, log) -> Tls | None:
    """Return the TLS state for the workers of `cfg`, None without TLS. Raises ConfigError."""
    if not _ssl_context.by_engine(cfg):
        return None
    tls = Tls(cfg)
    _ssl_context.stop_asking()
    warn(cfg, tls.context, log)
    return tls


def reload(before: Tls | None, cfg, log) -> Tls | None:
    """The same at a reload.

    Files that have become useless under the same settings keep the old certificate in use.
    """
    if not _ssl_context.by_engine(cfg):
        return None
    try:
        tls = Tls(cfg, before)
    except ConfigError as exc:
        if before is None or before.cfg.ssl_options != cfg.ssl_options:
            raise
        log.error("The old certificate stays in use: %s", exc)
        return before.kept_for(cfg)
    warn(cfg, tls.context, log)
    return tls


def check(cfg) -> None:
    """Raise ConfigError for settings that could not be served."""
    if _ssl_context.by_engine(cfg):
        make_context(cfg)


# ---- TLS-PSK ----

_shared_keys: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # callbacks by context


@functools.cache
def _remember_shared_keys() -> None:
    """Remember the argument of `set_psk_server_callback()`: a context does not return it.

    ssl's own callback looks for an `ssl.SSLSocket`, and refuses the engine's connections.
    """
    original = getattr(ssl.SSLContext, "set_psk_server_callback", None)  # new in Python 3.13
    if original is None:
        return

    @functools.wraps(original)
    def set_psk_server_callback(self, callback, identity_hint=None):
        original(self, callback, identity_hint)
        _shared_keys[self] = callback

    ssl.SSLContext.set_psk_server_callback = set_psk_server_callback  # type: ignore[attr-defined]


def has_shared_keys(context: ssl.SSLContext) -> bool:
    """Whether the context has a callback for TLS-PSK."""
    return _shared_keys.get(context) is not None


def shared_key(context: ssl.SSLContext, identity: bytes, log) -> bytes:
    """Run the callback; return the key, empty to refuse the client."""
    try:
        name = identity.decode()
    except UnicodeDecodeError:  # OpenSSL asks for session tickets, too
        log.debug("TLS-PSK: the identity %r is not UTF-8", identity)
        return b""
    try:
        key = _shared_keys[context](name)
    except Exception:
        log.exception("Exception in the callback of set_psk_server_callback() for %r", name)
        return b""
    if isinstance(key, bytes):
        return key
    log.error("set_psk_server_callback: the callback for %r returned no bytes", identity)
    return b""


# ---- called by the engine ----

DEFAULT_ALERT = ssl.AlertDescription.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
BAD_ANSWER = ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR


class Handshake:
    """Stands for an `ssl.SSLSocket` in `sni_callback`: set `context` to use another."""

    server_side = True

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self.context = context
        self.server_hostname = server_hostname


def server_name(context: ssl.SSLContext, sent: bytes | None, log) -> tuple[ssl.SSLContext, int]:
    """Run `context.sni_callback`. Return the context to go on with, and an alert or 0.

    As ssl does, refuse a name that is not ASCII; `sent` is None if the client gave none.
    """
    try:
        name = sent if sent is None else sent.decode("ascii")
    except UnicodeDecodeError:
        log.info("TLS handshake refused: the server name %r of a client is not ASCII", sent)
        return context, BAD_ANSWER
    handshake = Handshake(context, name)
    try:
        answer = context.sni_callback(handshake, name, context)  # type: ignore
    except Exception:
        log.exception("Exception in sni_callback for %r", name)
        return context, DEFAULT_ALERT
    if answer is None:
        if isinstance(handshake.context, _ssl._SSLContext):
            return guard_callbacks(handshake.context), 0
        log.error("sni_callback for %r: %r is no ssl.SSLContext", name, handshake.context)
        return context, BAD_ANSWER
    if isinstance(answer, int):
        return context, int(answer)
    log.error("sni_callback for %r returned %r; it has to return None or an alert", name, answer)
    return context, BAD_ANSWER
