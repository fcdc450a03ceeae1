"""What deploy/ has runs as it is there, where its programs are installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers.server import SANITIZED, free_port, gunicorn_command
from helpers.site import DEPLOY, Site, is_gone
from helpers.tls import Authority, TlsConnection
from helpers.wire import Connection, wait_until
from websockets.sync.client import connect

SBIN = "/usr/sbin:/sbin:/usr/local/sbin"
PATIENCE = 60.0  # seconds: what others made is slow to start and to tell on a busy machine


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def program(name: str) -> str:
    """The path of a program; without it the test is skipped."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path=SBIN)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_a_container_says_how_many_workers():
    command = [*gunicorn_command(), "-c", str(DEPLOY / "gunicorn.conf.py"), "--print-config"]
    result = subprocess.run(
        [*command, "wsgiref.simple_server:demo_app"],
        env={**os.environ, "WEB_CONCURRENCY": "3"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert re.search(r"^workers += 3$", result.stdout, re.MULTILINE), result


# nginx

NGINX_CONF = """
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {site};
}}
"""


def nginx_command(site, conf) -> list[str]:
    main = site.directory / "nginx.conf"
    main.write_text(
        NGINX_CONF.format(
            directory=site.directory, site=conf, user="user root;" if os.geteuid() == 0 else ""
        )
    )
    return [program("nginx"), "-e", str(site.directory / "nginx.log"), "-c", str(main)]


def connects(port: int) -> bool:
    try:
        Connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def install_with_tls(site, authority):
    """nginx/shop.conf with a certificate: the file, and the ports without and with TLS."""
    pair = authority.issue(file="fullchain")
    pair.keyfile.rename(site.directory / "key.pem")
    plain, tls = free_port(), free_port()
    conf = site.install("nginx/shop.conf", site.directory / "shop.conf")
    site.edit(
        conf,
        {"listen 80;": f"listen 127.0.0.1:{plain};", "listen 443": f"listen 127.0.0.1:{tls}"},
    )
    return conf, plain, tls


def test_nginx_with_tls_over_a_unix_socket(site):
    authority = Authority(site.directory)
    conf, plain, tls = install_with_tls(site, authority)
    with open(site.home / "gunicorn.conf.py", "a") as file:
        file.write("def pre_request(worker, req): worker.log.info('nr %s', req.req_number)\n")
    command = nginx_command(site, conf)
    site.start(*gunicorn_command(), "-w", "1", "shop:app", cwd=site.home)
    site.start(*command)
    wait_until(lambda: site.answers() and connects(tls), "both are there", PATIENCE)
    with Connection(("127.0.0.1", plain)) as client:
        assert client.request().status == 301
    for _ in range(5):
        with TlsConnection(("127.0.0.1", tls), authority.client()) as client:
            forged = [("Host", "shop.example"), ("X-Forwarded-For", "192.0.2.9")]
            response = client.request(headers=forged)
            assert response.body.decode().split()[1:] == ["https", "shop.example", "127.0.0.1"]
    numbers = re.findall(r"nr (\d+)", (site.directory / "output.log").read_text())
    assert max(map(int, numbers)) == 5, "nginx keeps its connection open"


def test_nginx_by_fastcgi(site):
    port = free_port()
    conf = site.install("nginx/shop-fastcgi.conf", site.directory / "shop.conf")
    site.edit(conf, {"listen 80;": f"listen 127.0.0.1:{port};"})
    with open(site.home / "gunicorn.conf.py", "a") as file:
        file.write("def pre_request(worker, req): worker.log.info('nr %s', req.req_number)\n")
    command = nginx_command(site, conf)
    site.start(*gunicorn_command(), "-w", "1", "--protocol", "fastcgi", "shop:app", cwd=site.home)
    site.start(*command)
    wait_until(lambda: site.socket.exists() and connects(port), "both are there", PATIENCE)
    with Connection(("127.0.0.1", port)) as client:
        for _ in range(5):
            response = client.request(headers=[("Host", "shop.example")])
            assert response.body.decode().split()[1:] == ["http", "shop.example", "None"]
    numbers = re.findall(r"nr (\d+)", (site.directory / "output.log").read_text())
    assert max(map(int, numbers)) == 5, "nginx keeps its connection open"


def test_nginx_by_uwsgi(site):
    port = free_port()
    conf = site.install("nginx/shop-uwsgi.conf", site.directory / "shop.conf")
    site.edit(conf, {"listen 80;": f"listen 127.0.0.1:{port};"})
    command = nginx_command(site, conf)
    site.start(*gunicorn_command(), "-w", "1", "--protocol", "uwsgi", "shop:app", cwd=site.home)
    site.start(*command)
    wait_until(lambda: site.socket.exists() and connects(port), "both are there", PATIENCE)
    with Connection(("127.0.0.1", port)) as client:
        for _ in range(5):
            response = client.request(headers=[("Host", "shop.example")])
            assert response.body.decode().split()[1:] == ["http", "shop.example", "None"]


def test_nginx_over_tcp(site):
    port, behind = free_port(), free_port()
    conf = site.install("nginx/shop-tcp.conf", site.directory / "shop.conf")
    site.edit(
        conf,
        {
            "listen 80;": f"listen 127.0.0.1:{port};",
            "10.0.0.11:8000": f"127.0.0.1:{behind}",
            "server 10.0.0.12:8000 max_fails=2 fail_timeout=10s;": "",
        },
    )
    command = nginx_command(site, conf)
    site.start(
        *(*gunicorn_command(), "-w", "1", "-b", f"127.0.0.1:{behind}"),
        *("--forwarded-allow-ips", "127.0.0.1", "shop:app"),
        cwd=site.home,
    )
    site.start(*command)
    wait_until(lambda: connects(behind) and connects(port), "both are there", PATIENCE)
    with Connection(("127.0.0.1", port)) as client:
        for _ in range(3):
            assert client.request().status == 200


def test_nginx_passes_websockets_on(site):
    authority = Authority(site.directory)
    conf, _, tls = install_with_tls(site, authority)
    command = nginx_command(site, conf)
    (site.home / "echo.py").write_text(ECHO)
    site.start(*gunicorn_command(), "-w", "1", "-k", "asgi", "echo:app", cwd=site.home)
    site.start(*command)
    wait_until(lambda: site.socket.exists() and connects(tls), "both are there", PATIENCE)
    assert_echoes(tls, authority)


ECHO = """\
async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"] + " " + scope["scheme"]})
    elif scope["type"] == "http":
        body = f"{scope['http_version']} {scope['scheme']}".encode()
        head = {"type": "http.response.start", "status": 200, "headers": []}
        await send(head)
        await send({"type": "http.response.body", "body": body})
"""


def assert_echoes(port, authority) -> None:
    """A message by WebSocket comes back, and the application knows that it came by TLS."""
    with connect(
        f"wss://127.0.0.1:{port}/", ssl=authority.client(), proxy=None, server_hostname="localhost"
    ) as client:
        client.send("hello")
        assert client.recv(PATIENCE) == "hello wss"


# HAProxy


def test_haproxy_by_http2(site):
    authority = Authority(site.directory)
    pair = authority.issue()
    (site.directory / "site.pem").write_bytes(
        pair.certfile.read_bytes() + pair.keyfile.read_bytes()
    )
    front, behind, status = free_port(), free_port(), free_port()
    conf = site.install("haproxy/shop.cfg", site.directory / "shop.cfg")
    site.edit(
        conf,
        {
            "bind :443": f"bind 127.0.0.1:{front}",
            "127.0.0.1:8000 proto": f"127.0.0.1:{behind} proto",
            "check port 8001": f"check port {status}",
        },
    )
    (site.home / "echo.py").write_text(ECHO)
    site.start(
        *(*gunicorn_command(), "-w", "1", "-k", "asgi", "-b", f"127.0.0.1:{behind}"),
        *("--http-protocols", "h2,h1", "--http2-cleartext", "prior-knowledge"),
        *("--status-bind", f"127.0.0.1:{status}", "--forwarded-allow-ips", "127.0.0.1", "echo:app"),
        cwd=site.home,
    )
    site.start(program("haproxy"), "-f", conf)
    wait_until(lambda: connects(front) and connects(behind), "both are there", PATIENCE)

    def answer() -> str:
        with TlsConnection(("127.0.0.1", front), authority.client()) as client:
            return client.request().body.decode()

    wait_until(lambda: answer() == "2 https", "HAProxy has seen that it is ready", PATIENCE)
    assert_echoes(front, authority)


def test_behind_a_balancer(site):
    """The client's address arrives through TLS that HAProxy passes on; nobody gets past it."""
    authority = Authority(site.directory)
    pair = authority.issue(file="fullchain")
    pair.keyfile.rename(site.directory / "key.pem")
    front, behind = free_port(), free_port()
    settings = site.install("behind-balancer.conf.py", site.home / "gunicorn.conf.py")
    site.edit(settings, {"0.0.0.0:8443": f"127.0.0.1:{behind}"})
    with open(settings, "a") as file:
        file.write("access_log_format = 'client %(h)s'\n")
    conf = site.install("haproxy/balancer.cfg", site.directory / "balancer.cfg")
    site.edit(
        conf,
        {
            "bind :443": f"bind 127.0.0.1:{front}",
            "10.0.0.11:8443": f"127.0.0.1:{behind} source 127.0.0.9",
            "    server two 10.0.0.12:8443 send-proxy-v2 check\n": "",
        },
    )
    environ = {**os.environ, "BALANCERS": "127.0.0.9/32", "WEB_CONCURRENCY": "1"}
    site.start(*gunicorn_command(), "shop:app", cwd=site.home, env=environ)
    wait_until(lambda: connects(behind), "gunicorn is there", PATIENCE)
    site.start(program("haproxy"), "-f", conf)
    wait_until(lambda: connects(front), "HAProxy is there", PATIENCE)
    with TlsConnection(("127.0.0.1", front), authority.client()) as client:
        assert client.request().body.decode().split()[1] == "https"
    log = site.directory / "output.log"
    wait_until(lambda: "client 127.0.0.1\n" in log.read_text(), "the line in the access log")
    with Connection(("127.0.0.1", behind)) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.read_response().status == 400


# Supervisors


def assert_stops_gracefully(site, stop) -> None:
    """A request that runs is answered while `stop` ends the server."""
    answer = []
    client = threading.Thread(target=lambda: answer.append(site.ask("0.7")))
    client.start()
    master = int(site.ask().split()[0])
    stop()
    client.join(20)
    assert answer and int(answer[0].split()[0]) == master
    wait_until(lambda: is_gone(master), "the master is gone", PATIENCE)


SUPERVISORD_CONF = """
[supervisord]
nodaemon=true
logfile={directory}/supervisord.log
pidfile={directory}/supervisord.pid
[unix_http_server]
file={directory}/ctl
[supervisorctl]
serverurl=unix://{directory}/ctl
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[include]
files={directory}/shop.conf
"""


@pytest.mark.skipif(SANITIZED, reason="supervisor starts programs without the sanitizer's library")
def test_supervisor(site):
    site.install("supervisor/shop.conf", site.directory / "shop.conf")
    site.edit(site.directory / "shop.conf", {"user=shop\n": ""})
    main = site.directory / "supervisord.conf"
    main.write_text(SUPERVISORD_CONF.format(directory=site.directory))
    site.start(program("supervisord"), "-c", main)

    def ask(*words) -> subprocess.CompletedProcess:
        command = [program("supervisorctl"), "-c", main, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def control(*words) -> None:
        done = ask(*words)
        assert done.returncode == 0, done.stdout

    first = site.master()
    os.kill(first, signal.SIGKILL)
    site.master(instead_of=first)
    wait_until(
        lambda: "RUNNING" in ask("status", "shop").stdout, "supervisor has seen it start", PATIENCE
    )
    control("signal", "HUP", "shop")
    wait_until(
        lambda: "Hang up" in (site.directory / "shop.log").read_text(), "the reload", PATIENCE
    )
    assert_stops_gracefully(site, lambda: control("stop", "shop"))
    assert not site.socket.exists()


def test_runit(site):
    run = site.install("runit/shop/run", site.home / "service" / "run")
    site.edit(
        run,
        {"exec chpst -u shop:shop": "exec chpst", "install -d -o shop -g shop": "install -d"},
    )
    site.install("runit/shop/log/run", site.home / "service" / "log" / "run")
    service = site.home / "service"
    control = program("sv")
    site.start(program("runsv"), service, env=os.environ | {"PATH": f"{os.environ['PATH']}:{SBIN}"})
    first = site.master()
    os.kill(first, signal.SIGKILL)
    second = site.master(instead_of=first)
    log = site.directory / "log" / "current"
    # A HUP before that is the end of a process that has no handler yet.
    wait_until(lambda: f"({second})" in log.read_text(), "it listens", PATIENCE)
    subprocess.run([control, "hup", service], check=True, timeout=60)
    wait_until(lambda: "Hang up" in log.read_text(), "the reload", PATIENCE)

    def stop() -> None:
        subprocess.run([control, "-w", "20", "down", service], check=True, timeout=60)

    assert_stops_gracefully(site, stop)


# What cannot run here is checked


def test_systemd_units(site):
    systemd = program("systemd-analyze")
    service = site.install("systemd/shop.service", site.directory / "shop.service")
    site.install("systemd/shop.socket", site.directory / "shop.socket")
    done = subprocess.run(
        [systemd, "verify", "--man=no", service, site.directory / "shop.socket"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    complaints = [line for line in done.stderr.splitlines() if "shop." in line]
    assert not complaints, complaints


def test_container_runs_what_exists():
    text = (DEPLOY / "Containerfile").read_text()
    (command,) = re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)
    program, *arguments = json.loads(command)
    assert program == "gunicorn"
    done = subprocess.run(
        [*gunicorn_command(), "--check-config", *arguments[:-1], "wsgiref.simple_server:demo_app"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_what_kubernetes_asks_for_is_there(site):
    """The status port has the probes' paths and the scaler's metrics."""
    status = site.run / "status.sock"
    command = (*gunicorn_command(), "-w", "1", "--status-bind", f"unix:{status}", "shop:app")
    site.start(*command, cwd=site.home)
    wait_until(site.answers, "the application answers", PATIENCE)

    def ask(path: str):
        with Connection(str(status)) as client:
            return client.request(target=path)

    manifests = DEPLOY / "kubernetes"
    paths = re.findall(r"path: (/\w+)", (manifests / "deployment.yaml").read_text())
    assert set(paths) == {"/live", "/ready", "/metrics"}
    for path in paths:
        assert ask(path).status == 200, path
    metrics = ask("/metrics").body.decode()
    scaler = (manifests / "scaler.yaml").read_text()
    for name in ("gunicorn_requests_running", "gunicorn_threads"):
        assert name in scaler and f"\n{name} " in metrics, name


def test_kubernetes_manifests():
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed (make deploy-check)"
    )
    import yaml

    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            kubernetes_validate.validate(document, "1.31", strict=True)
