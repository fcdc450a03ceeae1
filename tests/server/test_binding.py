"""Where the server listens."""

import errno
import os
import shutil
import socket
import stat
import subprocess

import pytest
from helpers.server import Server
from helpers.wire import Connection, render, wait_until


def ask(address):
    with Connection(address) as connection:
        response = connection.request(headers=[("Connection", "close")])
        assert response.status == 200
        return response


def test_port(gunicorn):
    server = gunicorn("busy")
    assert f"Listening at: http://127.0.0.1:{server.address[1]} ({server.pid})" in server.log
    ask(server.address)


@pytest.mark.parametrize("bind", ["tcp://127.0.0.1:0", "localhost:0", "LOCALHOST:0"])
def test_forms(gunicorn, bind):
    ask(gunicorn("busy", bind=[bind]).address)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6(gunicorn):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback")
    server = gunicorn("echo", bind=["[::1]:0"])
    assert server.address[0] == "::1"
    ask(server.address)
    environ = server.json()["environ"]
    assert environ["REMOTE_ADDR"] == ["str", "::1"]
    assert environ["SERVER_NAME"] == ["str", "::1"]


def test_unix(gunicorn, tmp_path):
    path = tmp_path / "s"
    server = gunicorn("busy", bind=[f"unix:{path}"])
    assert f"Listening at: unix:{path} (" in server.log
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    ask(str(path))
    assert server.stop() == 0
    assert not path.exists()


def test_unix_umask(gunicorn, tmp_path):
    path = tmp_path / "s"
    gunicorn("busy", "--umask", "0o077", bind=[f"unix:{path}"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_unix_left_over(gunicorn, tmp_path):
    """The socket file of a server that died is replaced."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    gunicorn("busy", bind=[f"unix:{path}"])
    ask(str(path))


def test_unix_file_in_the_way(servers, tmp_path):
    """A file that is no socket stays what it is."""
    path = tmp_path / "s"
    path.write_text("precious")
    server = Server(["busy"], tmp_path, bind=[f"unix:{path}"], expect_trouble=True)
    server.launch()
    assert server.wait() != 0
    assert path.read_text() == "precious"


def test_several(gunicorn, tmp_path):
    path = tmp_path / "s"
    server = gunicorn("busy", bind=["127.0.0.1:0", f"unix:{path}", "127.0.0.1:0"])
    assert len(server.addresses) == 3
    for address in server.addresses:
        ask(address)
    with Connection(server.addresses[0]) as one, Connection(server.addresses[1]) as other:
        for connection in (one, other, one, other):
            assert connection.request().keeps_alive


def test_descriptor(gunicorn, worker):
    """fd://N: a socket that was opened for us."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        address = listener.getsockname()
        server = gunicorn("busy", bind=[f"fd://{listener.fileno()}"], pass_fds=[listener.fileno()])
    assert server.address == address
    ask(address)


def test_reuse_port(gunicorn):
    """Two servers share a port."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        servers = [gunicorn("busy", "--reuse-port", bind=[f"127.0.0.1:{port}"]) for _ in range(2)]
        for _ in range(20):
            ask(("127.0.0.1", port))
        servers[0].stop()
        for _ in range(5):
            ask(("127.0.0.1", port))


def test_port_in_use(worker, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        server = Server(["busy"], tmp_path, bind=[f"127.0.0.1:{port}"], expect_trouble=True)
        server.launch()
        assert server.wait() == 1
    assert f"Connection in use: ('127.0.0.1', {port})" in server.log
    assert f"Can't connect to ('127.0.0.1', {port})" in server.log


def refused_bind(monkeypatch, address, exc):
    """What is said when the system refuses to bind an address."""
    from gunicorn import sock

    class Log:
        said: list[str] = []

        def error(self, text, *args):
            self.said.append(text % args)

        def debug(self, text, *args):
            pass

    def refused(*args):
        raise exc

    monkeypatch.setattr(sock, "_sock_type", lambda address: refused)
    monkeypatch.setattr(sock, "BIND_PAUSE", 0)
    with pytest.raises(SystemExit) as ended:
        sock.create_socket(address, None, Log())
    assert ended.value.code == 1
    return Log.said


def test_port_of_root(monkeypatch):
    """Tried once: waiting gives no rights."""
    refusal = PermissionError(errno.EACCES, "Permission denied")
    first, help, last = refused_bind(monkeypatch, ("127.0.0.1", 80), refusal)
    assert first == "connection to ('127.0.0.1', 80) failed: [Errno 13] Permission denied"
    assert help.startswith("Port 80 needs root or the capability CAP_NET_BIND_SERVICE: ")
    assert last == "Can't connect to ('127.0.0.1', 80)"


def test_directory_of_others(monkeypatch):
    refusal = PermissionError(errno.EACCES, "Permission denied")
    first, help, last = refused_bind(monkeypatch, "/run/shop/s", refusal)
    assert first == "connection to /run/shop/s failed: [Errno 13] Permission denied"
    assert help == f"The user with id {os.geteuid()} may not make a socket in '/run/shop'"
    assert last == "Can't connect to /run/shop/s"


def test_directory_that_is_missing(monkeypatch):
    """It may come while it is waited for."""
    refusal = FileNotFoundError(errno.ENOENT, "No such file or directory")
    *tries, help, last = refused_bind(monkeypatch, "/nosuch/shop/s", refusal)
    assert tries == ["connection to /nosuch/shop/s failed: [Errno 2] No such file or directory"] * 5
    assert help.startswith("There is no directory '/nosuch/shop': ")
    assert last == "Can't connect to /nosuch/shop/s"


@pytest.mark.skipif(not shutil.which("ss"), reason="needs ss")
def test_backlog(gunicorn):
    server = gunicorn("busy", "--backlog", "17")
    out = subprocess.run(
        ["ss", "-ltnH", f"sport = :{server.address[1]}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    ).stdout
    assert out.split()[2] == "17"


def test_connections_wait_for_the_workers(gunicorn, gate, tmp_path):
    """Who connects before the application is loaded is served when it is."""
    (tmp_path / "slow_app.py").write_text(
        f"from helpers.gate import pass_gate\npass_gate({gate.path!r})\n"
        "from busy import application\n"
    )
    server = gunicorn("slow_app", cwd=tmp_path)
    with server.connect() as client:
        client.send(render())
        gate.step()
        assert client.read_response().status == 200


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
def test_workers_do_not_leak_descriptors_to_children(gunicorn, tmp_path):
    """A process that the application starts inherits neither listener nor client."""
    (tmp_path / "spawner.py").write_text(
        "import os, subprocess\n"
        "def application(environ, start_response):\n"
        "    code = 'ls -l /proc/self/fd'\n"
        "    out = subprocess.run(code.split(), capture_output=True, close_fds=False).stdout\n"
        "    start_response('200 OK', [('Content-Length', str(len(out)))])\n"
        "    return [out]\n"
    )
    server = gunicorn("spawner", cwd=tmp_path)
    wait_until(lambda: server.request().status == 200, "it serves")
    assert b"socket:" not in server.raw(render(headers=[("Connection", "close")])).body
