"""The same application in several frameworks, used the way browsers and programs use it."""

import hashlib
import http.client
import http.cookies
import json
import os
import random
import threading
import urllib.parse
from pathlib import Path

import pytest
from helpers.server import server_has
from helpers.wire import chunked

HERE = Path(__file__).resolve().parent

APPLICATIONS = {
    "flask": "flask_app:app",
    "bottle": "bottle_app:app",
    "django": "django_project.wsgi",
}

ASGI_APPLICATIONS = {
    "starlette": "starlette_app:app",
    "fastapi": "fastapi_app:app",
    "django": "django_project.asgi",
}

ASGI_ONLY = ("starlette", "fastapi")


@pytest.fixture(params=[*APPLICATIONS, *ASGI_ONLY])
def framework(request):
    if not server_has(request.param):
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture
def server(shared, worker, framework):
    # The frameworks or the server log the exception that a test provokes.
    options = ["--pythonpath", str(HERE)]
    if worker == "asgi":
        app = ASGI_APPLICATIONS[framework]
        return shared(app, *options, expect_trouble=True, is_asgi=True)
    return shared(APPLICATIONS[framework], *options, expect_trouble=True)


class Browser:
    """A client of the standard library that keeps connections and cookies."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection(*server.address, timeout=30)
        self.cookies = {}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.connection.close()

    def request(self, method, path, body=None, headers=(), expect=200):
        fields = dict(headers)
        if self.cookies:
            fields["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        self.connection.request(method, path, body, fields)
        response = self.connection.getresponse()
        data = response.read()
        assert response.status == expect, (response.status, data[:500])
        for value in response.headers.get_all("Set-Cookie") or []:
            for name, morsel in http.cookies.SimpleCookie(value).items():
                self.cookies[name] = morsel.coded_value
        return response, data

    def get(self, path, headers=(), expect=200):
        return self.request("GET", path, None, headers, expect)

    def json(self, method, path, body=None, headers=()):
        return json.loads(self.request(method, path, body, headers)[1])


@pytest.fixture
def browser(server):
    with Browser(server) as one:
        yield one


def multipart(fields, files):
    """A multipart/form-data body and its headers."""
    boundary = "----limit-of-the-parts"
    parts = []
    for name, value in fields.items():
        parts.append(f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode())
    for name, (filename, content) in files.items():
        head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        head += "Content-Type: application/octet-stream\r\n\r\n"
        parts.append(head.encode() + content)
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in parts)
    body += b"--%b--\r\n" % boundary.encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def test_index(browser, framework):
    for _ in range(3):
        response, data = browser.get("/")
        assert data == b"hello from " + framework.encode()
        assert response.getheader("Server") == "gunicorn"
        assert response.getheader("Content-Type").startswith("text/html")


def test_what_a_view_sees(browser, server):
    path = "/facts/" + urllib.parse.quote("a b/\xe9\u20ac") + "?q=1&q=%C3%A9+x"
    facts = browser.json("GET", path, headers={"Host": "example.com:8000", "User-Agent": "me"})
    assert facts["path"] == "a b/\xe9\u20ac"
    assert facts["query"] == ["1", "\xe9 x"]
    assert facts["url"].startswith("http://example.com:8000/facts/a")
    assert not facts["secure"]
    assert facts["peer"] == "127.0.0.1"
    assert facts["agent"] == "me"


def test_behind_a_tls_proxy(browser):
    facts = browser.json("GET", "/facts/x", headers={"X-Forwarded-Proto": "https"})
    assert facts["secure"]
    assert facts["url"].startswith("https://")


def test_json(browser):
    data = {"list": list(range(1000)), "text": "\xe9\u20ac\U0001f600", "none": None}
    headers = {"Content-Type": "application/json"}
    assert browser.json("POST", "/json", json.dumps(data), headers) == data


def test_form(browser):
    form = {"name": "J\xf6rg", "text": "a&b=c\r\nd", "empty": ""}
    body = urllib.parse.urlencode(form)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.json("POST", "/form", body, headers) == form


@pytest.mark.parametrize("size", [0, 1, 100_000, 5 << 20])
def test_upload(browser, size):
    content = random.Random(size).randbytes(size)
    body, headers = multipart({"note": "a note"}, {"file": ("a.bin", content)})
    answer = browser.json("POST", "/upload", body, headers)
    assert answer == {
        "name": "a.bin",
        "sha256": hashlib.sha256(content).hexdigest(),
        "note": "a note",
    }


@pytest.mark.parametrize("size", [0, 10, 3 << 20])
def test_raw_body(browser, size):
    headers = {"Content-Type": "application/octet-stream"}
    assert browser.json("POST", "/raw", b"x" * size, headers) == {"size": size}


def test_chunked_upload(server):
    """A client that does not know how much it will send: Django reads no body without a length."""
    with server.connect() as connection:
        connection.send(
            b"POST /raw HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/octet-stream\r\nConnection: close\r\n\r\n"
        )
        connection.send(chunked(b"x" * 1000, b"y" * 70000))
        response = connection.read_response()
    assert json.loads(response.body) == {"size": 71000}


def test_chunked_form(browser, worker, framework):
    """A file of a form, sent in chunks."""
    if (worker, framework) == ("asgi", "django"):
        pytest.skip("Django's ASGI reads no form without a length")
    content = random.Random(1).randbytes(2 << 20)
    body, headers = multipart({"note": "a note"}, {"file": ("a.bin", content)})
    pieces = (body[at : at + 70_000] for at in range(0, len(body), 70_000))
    answer = browser.json("POST", "/upload", pieces, headers)
    assert answer["sha256"] == hashlib.sha256(content).hexdigest()
    assert answer["note"] == "a note"


def test_session(browser, server):
    browser.get("/login/joe")
    for n in range(1, 4):
        assert browser.json("GET", "/me") == {"name": "joe", "visits": n}
    with Browser(server) as other:
        assert other.json("GET", "/me") == {"name": None, "visits": 1}


def test_cookies(browser):
    response, _ = browser.get("/cookies")
    cookies = response.headers.get_all("Set-Cookie")
    assert [cookie.split(";")[0] for cookie in cookies] == ["a=1", "b=2"]
    assert browser.cookies == {"a": "1", "b": "2"}


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_stream(browser, count):
    response, data = browser.get(f"/stream?count={count}")
    assert data.decode() == "".join(f"line {n} of {count}\n" for n in range(count))
    if count:
        assert response.getheader("Transfer-Encoding") == "chunked"


@pytest.mark.parametrize("size", [0, 10, 5 << 20])
def test_file(browser, tmp_path, size):
    content = random.Random(size).randbytes(size)
    (tmp_path / "file.bin").write_bytes(content)
    path = "/file?" + urllib.parse.urlencode({"path": str(tmp_path / "file.bin")})
    response, data = browser.get(path)
    assert data == content
    assert response.getheader("Content-Length") == str(size)
    response, data = browser.request("HEAD", path)
    assert data == b""
    assert response.getheader("Content-Length") == str(size)


def test_range_of_a_file(browser, tmp_path, framework):
    if framework == "django":
        pytest.skip("Django answers no ranges")
    (tmp_path / "file.bin").write_bytes(bytes(range(256)) * 100)
    path = "/file?" + urllib.parse.urlencode({"path": str(tmp_path / "file.bin")})
    response, data = browser.get(path, {"Range": "bytes=1000-1999"}, expect=206)
    assert data == (bytes(range(256)) * 100)[1000:2000]
    assert response.getheader("Content-Range") == "bytes 1000-1999/25600"


def test_static_files(browser):
    response, data = browser.get("/static/style.css")
    assert data == (HERE / "static" / "style.css").read_bytes()
    assert response.getheader("Content-Type").startswith("text/css")
    headers = {"If-Modified-Since": response.getheader("Last-Modified")}
    _, data = browser.get("/static/style.css", headers, expect=304)
    assert data == b""
    browser.get("/")


def test_no_content(browser):
    for _ in range(3):
        response, data = browser.get("/empty", expect=204)
        assert data == b""
    browser.get("/")


def test_error_pages(browser):
    """Frameworks answer with pages of their own, and the connection goes on."""
    for path, status in [("/missing", 404), ("/forbidden", 403), ("/error", 500)]:
        _, data = browser.get(path, expect=status)
        assert data
    browser.get("/")
    response, _ = browser.get("/redirect", expect=302)
    assert response.getheader("Location").endswith("/")


def test_database(browser):
    first = browser.json("POST", "/count", b"")["total"]
    assert browser.json("POST", "/count", b"")["total"] == first + 1


def test_load(server, tmp_path):
    """Many clients at once doing different things, each seeing only its own."""
    (tmp_path / "file.bin").write_bytes(os.urandom(50_000))
    content = (tmp_path / "file.bin").read_bytes()
    file = "/file?" + urllib.parse.urlencode({"path": str(tmp_path / "file.bin")})
    problems = []

    def client(number):
        try:
            with Browser(server) as browser:
                browser.get(f"/login/user{number}")
                for n in range(8):
                    me = browser.json("GET", "/me")
                    assert me == {"name": f"user{number}", "visits": n + 1}
                    data = {"number": number, "n": n}
                    headers = {"Content-Type": "application/json"}
                    assert browser.json("POST", "/json", json.dumps(data), headers) == data
                    assert browser.get(file)[1] == content
                    assert browser.get("/stream?count=20")[1].count(b"\n") == 20
                    browser.get("/missing", expect=404)
                    browser.json("POST", "/count", b"")
        except Exception as e:
            problems.append(f"{type(e).__name__}: {e}")

    threads = [threading.Thread(target=client, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert not problems


def test_flask_factory(gunicorn):
    """gunicorn 'module:create_app("argument")'."""
    if not server_has("flask"):
        pytest.skip("flask is not installed")
    server = gunicorn('flask_app:create_app("good day")', "--pythonpath", str(HERE))
    assert server.request().body == b"good day from flask"


def test_django_settings_by_environment(gunicorn):
    """-e sets what a project reads when it is loaded."""
    if not server_has("django"):
        pytest.skip("django is not installed")
    server = gunicorn(
        "django.core.wsgi:get_wsgi_application()",
        "--pythonpath",
        str(HERE),
        "-e",
        "DJANGO_SETTINGS_MODULE=django_project.settings",
    )
    assert server.request().body == b"hello from django"
