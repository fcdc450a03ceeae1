"""The common application of these tests, written with Bottle."""

import hashlib
import os
import sqlite3

import bottle
from bottle import HTTPResponse, abort, redirect, request, response, static_file

bottle.BaseRequest.MEMFILE_MAX = 1 << 20
SECRET = "for tests only"

app = bottle.Bottle()


@app.get("/")
def index():
    return "hello from bottle"


@app.get("/facts/<rest:path>")
def facts(rest):
    url = request.urlparts
    return {
        "path": rest,
        "query": request.query.decode().getall("q"),
        "url": f"{url.scheme}://{url.netloc}{url.path}",
        "secure": url.scheme == "https",
        "peer": request.remote_addr,
        "agent": request.get_header("User-Agent"),
    }


@app.post("/json")
def echo_json():
    return request.json


@app.post("/form")
def form():
    return dict(request.forms.decode())


@app.post("/upload")
def upload():
    file = request.files.get("file")
    return {
        "name": file.raw_filename,
        "sha256": hashlib.sha256(file.file.read()).hexdigest(),
        "note": request.forms.get("note"),
    }


@app.post("/raw")
def raw():
    total = 0
    while piece := request.environ["wsgi.input"].read(65536):
        total += len(piece)
    return {"size": total}


@app.get("/login/<name>")
def login(name):
    response.set_cookie("name", name, secret=SECRET, path="/")
    return "in"


@app.get("/me")
def me():
    visits = int(request.get_cookie("visits", secret=SECRET, default="0")) + 1
    response.set_cookie("visits", str(visits), secret=SECRET, path="/")
    return {"name": request.get_cookie("name", secret=SECRET), "visits": visits}


@app.get("/stream")
def stream():
    count = int(request.query.count)
    response.content_type = "text/plain"
    for n in range(count):
        yield f"line {n} of {count}\n"


@app.get("/file")
def file():
    directory, name = os.path.split(request.query.path)
    return static_file(name, root=directory, mimetype="application/octet-stream")


@app.get("/static/<name>")
def static(name):
    return static_file(name, root=os.path.join(os.path.dirname(__file__), "static"))


@app.get("/cookies")
def cookies():
    response.set_cookie("a", "1", path="/")
    response.set_cookie("b", "2", path="/", httponly=True)
    return "cookies"


@app.get("/redirect")
def redirects():
    redirect("/", 302)


@app.get("/forbidden")
def forbidden():
    abort(403)


@app.get("/error")
def error():
    raise RuntimeError("raised in a view")


@app.post("/count")
def count():
    with sqlite3.connect("counts.db", timeout=30) as db:
        db.execute("create table if not exists counts (id integer primary key)")
        db.execute("insert into counts default values")
        (total,) = db.execute("select count(*) from counts").fetchone()
    return {"total": total}


@app.get("/empty")
def empty():
    return HTTPResponse(status=204)
