"""Contexts of the engine's own, made as an `ssl.SSLContext` was made.

If OpenSSL is hidden inside Python, the engine uses the system's, and no context of Python's. All
that has been done to a context is therefore recorded, and done again to one of the engine's.
"""

import contextlib
import functools
import os
import ssl
import weakref
from collections.abc import Callable
from typing import Any

from gunicorn import _core
from gunicorn._memory_file import memory_file

# The events of each context: a command of OpenSSL (SSL_CONF_cmd, tls_make.c) and its value, or the
# bytes of the file that is its value.
Event = tuple[str, str | bytes]
_events: "weakref.WeakKeyDictionary[ssl.SSLContext, list[Event]]" = weakref.WeakKeyDictionary()
_made: "weakref.WeakKeyDictionary[ssl.SSLContext, tuple[tuple, Any]]" = weakref.WeakKeyDictionary()

ALPN = "ALPN"  # an event that is no command
OPTION_BITS = (1 << 64) - 1
VERIFY_MODES = {ssl.CERT_OPTIONAL: "Request", ssl.CERT_REQUIRED: "Require"}

# Methods with one argument, which is the command's value.
PLAIN = {
    "set_ecdh_curve": "Groups",
    "set_groups": "Groups",
    "set_ciphersuites": "Ciphersuites",
    "set_server_sigalgs": "SignatureAlgorithms",
}


# ---- recording ----


def _read(path) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _text(secret) -> str:
    return secret if isinstance(secret, str) else bytes(secret).decode()


class _Password:
    """The argument `password` of load_cert_chain(), which remembers the answer."""

    def __init__(self, password) -> None:
        self.given = password
        self.answer = None if callable(password) else password

    def __call__(self):
        self.answer = self.given() if callable(self.given) else self.given
        return self.answer


def _load_cert_chain(original, self, certfile, keyfile=None, password=None):
    secret = _Password(password)
    original(self, certfile, keyfile, password and secret)
    if secret.answer:
        yield "Password", _text(secret.answer)
    yield "Certificate", _read(certfile)
    yield "PrivateKey", _read(keyfile or certfile)


def _load_verify_locations(original, self, cafile=None, capath=None, cadata=None):
    original(self, cafile, capath, cadata)
    yield from _paths(cafile, capath)
    if isinstance(cadata, str):
        yield "LoadVerifyFile", cadata.encode("ascii")
    elif cadata:
        pem = map(ssl.DER_cert_to_PEM_cert, self.get_ca_certs(binary_form=True))
        yield "LoadVerifyFile", "".join(pem).encode()


def _paths(cafile, capath):
    if cafile:
        yield "LoadVerifyFile", os.path.abspath(os.fsdecode(cafile))
    if capath:
        yield "LoadVerifyDirectory", os.path.abspath(os.fsdecode(capath))


def _set_default_verify_paths(original, self):
    original(self)
    paths = ssl.get_default_verify_paths()
    yield from _paths(paths.cafile, paths.capath)


def _load_dh_params(original, self, path):
    original(self, path)
    yield "DHParameters", _read(path)


def _set_alpn_protocols(original, self, alpn_protocols):
    original(self, alpn_protocols)
    names = [name.encode("ascii") for name in alpn_protocols]
    yield ALPN, b"".join(bytes([len(name)]) + name for name in names)


def _set_psk_server_callback(original, self, callback, identity_hint=None):
    original(self, callback, identity_hint)
    if identity_hint:
        yield "PSKIdentityHint", identity_hint


def _set_plain(command: str):
    def method(original, self, value):
        original(self, value)
        yield command, value if isinstance(value, str) else os.fsdecode(value)

    return method


METHODS: dict[str, Callable] = {
    "load_cert_chain": _load_cert_chain,
    "load_verify_locations": _load_verify_locations,
    "set_default_verify_paths": _set_default_verify_paths,
    "load_dh_params": _load_dh_params,
    "set_alpn_protocols": _set_alpn_protocols,
    "set_psk_server_callback": _set_psk_server_callback,
    **{name: _set_plain(command) for name, command in PLAIN.items()},
}


def _record(name: str, events: Callable) -> None:
    original = getattr(ssl.SSLContext, name, None)
    if original is None:  # of a later Python
        return

    @functools.wraps(original)
    def recorded(self, *args, **kwargs):
        done = list(events(original, self, *args, **kwargs))
        _events.get(self, []).extend(done)

    setattr(ssl.SSLContext, name, recorded)


def _record_new() -> None:
    original = ssl.SSLContext.__new__

    @functools.wraps(original)
    def __new__(cls, *args, **kwargs):
        context = original(cls, *args, **kwargs)
        _events[context] = []
        return context

    ssl.SSLContext.__new__ = __new__  # type: ignore[assignment,method-assign]


@functools.cache
def begin() -> None:
    """Record from now on all that is done to a new context."""
    _record_new()
    for name, events in METHODS.items():
        _record(name, events)


# ---- making ----


def _version(version: int) -> str:
    value = ssl.TLSVersion(version)
    return "None" if value < 0 else value.name.replace("_", ".")


def _ciphers(context: ssl.SSLContext) -> str:
    """Those before TLS 1.3: the later ones are always on."""
    names = [c["name"] for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"]
    level = f"@SECLEVEL={context.security_level}"
    return ":".join([level, *(names or ["DEFAULT"])])


def _commands(context: ssl.SSLContext):
    yield "CipherString", _ciphers(context)
    yield "MinProtocol", _version(context.minimum_version)
    yield "MaxProtocol", _version(context.maximum_version)
    yield "NumTickets", str(context.num_tickets)
    if context.verify_mode != ssl.CERT_NONE:
        yield "VerifyMode", VERIFY_MODES[context.verify_mode]
    yield from (event for event in _events[context] if event[0] != ALPN)


def _make(context: ssl.SSLContext):
    alpn = [value for command, value in _events[context] if command == ALPN]
    with contextlib.ExitStack() as files:
        commands = tuple(
            (name, files.enter_context(memory_file(value)) if isinstance(value, bytes) else value)
            for name, value in _commands(context)
        )
        return _core.tls_make(
            commands,
            context.options & OPTION_BITS,
            context.verify_flags,
            alpn[-1] if alpn else b"",
        )


def _state(context: ssl.SSLContext) -> tuple:
    """What a context is made of that may have changed."""
    return (
        len(_events[context]),
        context.options,
        context.verify_mode,
        context.verify_flags,
        context.minimum_version,
        context.maximum_version,
        context.num_tickets,
    )


def made_for(context: ssl.SSLContext):
    """Return the engine's context that stands for `context`, made again if that has changed.

    Raises TLSUnavailable if it was not recorded, or if OpenSSL refuses a part of it.
    """
    if context not in _events:
        raise _core.TLSUnavailable(
            "its OpenSSL is hidden, and this ssl.SSLContext was made before the settings were "
            "read; make it in the hook ssl_context"
        )
    state = _state(context)
    if _made.get(context, (None,))[0] != state:
        _made[context] = (state, _make(context))
    return _made[context][1]
