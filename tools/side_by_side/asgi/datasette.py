"""Datasette."""

from __future__ import annotations

from applications import Application

from asgi.client import ASGI

DATASETTE = Application(
    name="datasette",
    install=("datasette",),
    target=("serve:app",),
    pages=("/", "/data/things", "/data/things.json", "/-/versions.json"),
    static="/-/static/app.css",
    files={
        "serve.py": """
from datasette.app import Datasette
app = Datasette(["$STATE/data.db"], settings={"num_sql_threads": 1}).app()
""",
        "fill.py": """
import sqlite3
with sqlite3.connect("data.db") as db:
    db.execute("create table things (id integer primary key, name text)")
    db.executemany("insert into things (name) values (?)", [(f"thing {n}",) for n in range(5000)])
""",
    },
    prepare=("python fill.py",),
    workers=ASGI,
    visit=lambda v: [
        v.get(p)
        for p in (
            "/data/things.csv?_stream=on&_size=max",
            "/data/things/7",
            "/data?sql=select+1",
            "/data.db",
            "/data/things.json?_size=1000",
            "/data/missing",
        )
    ],
    accepted=((r"log: │", "its tracebacks have boxes with the scope"),),
)
