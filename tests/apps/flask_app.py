"""The common application of these tests, written with Flask."""

import hashlib
import sqlite3

from flask import (
    Flask,
    abort,
    jsonify,
    make_response,
    redirect,
    request,
    send_file,
    session,
    stream_with_context,
)


def create_app(greeting="hello"):
    app = Flask(__name__)
    app.secret_key = "for tests only"

    @app.get("/")
    def index():
        return f"{greeting} from flask"

    @app.get("/facts/<path:rest>")
    def facts(rest):
        return jsonify(
            path=rest,
            query=request.args.getlist("q"),
            url=request.base_url,
            secure=request.is_secure,
            peer=request.remote_addr,
            agent=request.headers.get("User-Agent"),
        )

    @app.post("/json")
    def echo_json():
        return jsonify(request.get_json())

    @app.post("/form")
    def form():
        return jsonify(dict(request.form))

    @app.post("/upload")
    def upload():
        file = request.files["file"]
        return jsonify(
            name=file.filename,
            sha256=hashlib.sha256(file.read()).hexdigest(),
            note=request.form["note"],
        )

    @app.post("/raw")
    def raw():
        total = 0
        while piece := request.stream.read(65536):
            total += len(piece)
        return jsonify(size=total)

    @app.get("/login/<name>")
    def login(name):
        session["name"] = name
        return "in"

    @app.get("/me")
    def me():
        session["visits"] = session.get("visits", 0) + 1
        return jsonify(name=session.get("name"), visits=session["visits"])

    @app.get("/stream")
    def stream():
        count = int(request.args["count"])
        lines = (f"line {n} of {request.args['count']}\n" for n in range(count))
        return app.response_class(stream_with_context(lines), mimetype="text/plain")

    @app.get("/file")
    def file():
        return send_file(request.args["path"], mimetype="application/octet-stream")

    @app.get("/cookies")
    def cookies():
        response = make_response("cookies")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2", httponly=True)
        return response

    @app.get("/redirect")
    def redirects():
        return redirect("/")

    @app.get("/forbidden")
    def forbidden():
        abort(403)

    @app.get("/error")
    def error():
        raise RuntimeError("raised in a view")

    @app.route("/count", methods=["POST"])
    def count():
        with sqlite3.connect("counts.db", timeout=30) as db:
            db.execute("create table if not exists counts (id integer primary key)")
            db.execute("insert into counts default values")
            (total,) = db.execute("select count(*) from counts").fetchone()
        return jsonify(total=total)

    @app.get("/empty")
    def empty():
        return "", 204

    return app


app = create_app()
