"""A request that a proxy sends as a packet of variables."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from gunicorn import _core
from gunicorn.config import Config
from gunicorn.http import _environ
from gunicorn.http.errors import NoMoreData
from gunicorn.http.parser import ParsedRequest, limits_of
from gunicorn.http.unreader import Unreader
from gunicorn.uwsgi.errors import ForbiddenUWSGIRequest, InvalidUWSGIHeader


class UWSGIRequest(ParsedRequest):
    """A request that was read from `unreader`.

    `uwsgi_vars` has its variables. Raises ForbiddenUWSGIRequest for a peer that uwsgi_allow_ips
    does not list, NoMoreData where there is no packet, and InvalidUWSGIHeader or
    UnsupportedModifier where the engine would refuse it.
    """

    modifier1: int
    modifier2: int
    raw_path: bytes

    def __init__(self, cfg: Config, unreader: Unreader, peer_addr, req_number: int = 1) -> None:
        if not _is_allowed(cfg, peer_addr):
            raise ForbiddenUWSGIRequest(peer_addr[0])
        super().__init__(cfg, unreader, peer_addr, req_number)

    def _parse(self, data):
        packet = _core.parse_packet(data, limits_of(self.cfg))
        if packet is None:
            return None
        head, self.uwsgi_vars, self.modifier1, self.modifier2 = packet
        return head

    def _read(self):
        try:
            return super()._read()
        except NoMoreData as exc:
            if exc.buf:
                raise InvalidUWSGIHeader("the packet is not whole") from None
            raise

    def _take(self, head):
        super()._take(head)
        self.raw_path = self.path.encode("latin-1")
        self.uwsgi_vars |= _environ.http_variables(self.headers)


def _is_allowed(cfg, peer) -> bool:
    """Clients of Unix sockets, which have no address, are."""
    if not isinstance(peer, tuple) or "*" in cfg.uwsgi_allow_ips:
        return True
    address = ip_address(peer[0])
    return any(address in ip_network(one, strict=False) for one in cfg.uwsgi_allow_ips)
