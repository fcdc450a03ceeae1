"""Proxies before the application: nginx by three protocols, HAProxy with and without PROXY."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


@dataclass(frozen=True)
class Way:
    """How requests reach the server, and the way whose answers are to be the same."""

    program: str
    like: str
    options: tuple[str, ...] = ()  # of the server
    lines: str = ""  # of the proxy's configuration
    tls: bool = False


WAYS = {
    "proxy_pass": Way(
        "nginx", "", (), """
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $upstream_connection;
      proxy_pass http://application;
    """,
    ),
    "uwsgi_pass": Way(
        "nginx", "proxy_pass", ("--protocol", "uwsgi"),
        "include /etc/nginx/uwsgi_params; uwsgi_pass application;",
    ),
    "fastcgi_pass": Way(
        "nginx", "proxy_pass", ("--protocol", "fastcgi"), """
      include /etc/nginx/fastcgi_params;
      fastcgi_param PATH_INFO $document_uri;
      fastcgi_param SCRIPT_NAME "";
      fastcgi_keep_conn on;
      fastcgi_pass application;
    """,
    ),
    "tcp": Way("haproxy", ""),
    "send-proxy-v2": Way("haproxy", "tcp", ("--proxy-protocol", "v2"), "send-proxy-v2"),
    "tls": Way("haproxy", "", lines="ssl verify none", tls=True),
    "tls-send-proxy-v2": Way(
        "haproxy", "tls", ("--proxy-protocol", "v2"),
        "ssl verify none send-proxy-v2-ssl", tls=True,
    ),
}  # fmt: skip

NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
{user}
error_log {directory}/front.log;
events {{ worker_connections 256; }}
http {{
  include /etc/nginx/mime.types;
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  client_max_body_size 0;
  map $http_upgrade $upstream_connection {{ default upgrade; "" ""; }}
  upstream application {{ server 127.0.0.1:{behind}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ {lines} }}
  }}
}}
"""

HAPROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen application
  bind 127.0.0.1:{port}
  server application 127.0.0.1:{behind} {lines}
"""


class Front:
    """A proxy on a port, before a server on another, until it is stopped."""

    def __init__(self, directory: Path, way: Way, port: int, behind: int) -> None:
        self.directory, self.way, self.behind = directory / "front", way, behind
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        template = NGINX if way.program == "nginx" else HAPROXY
        conf = self.directory / "front.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        conf.write_text(
            template.format(
                directory=self.directory, behind=behind, port=port, lines=way.lines, user=user
            )
        )
        program = shutil.which(way.program, path=PATH)
        if program is None:
            raise RuntimeError(f"{way.program} is not installed")
        log = self.directory / "front.log"
        flags = ["-e", str(log), "-c"] if way.program == "nginx" else ["-db", "-q", "-f"]
        self.process = subprocess.Popen([program, *flags, str(conf)], stdout=subprocess.DEVNULL)

    def server_options(self) -> list[str]:
        """Those by which the server is behind it."""
        return ["--bind", f"127.0.0.1:{self.behind}", *self.way.options, *self.certificate()]

    def certificate(self) -> list[str]:
        if not self.way.tls:
            return []
        key, certificate = self.directory / "key.pem", self.directory / "certificate.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
        command += ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        return ["--certfile", str(certificate), "--keyfile", str(key)]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
