"""A WebSocket beside ordinary views, by flask-sock: the library talks on gunicorn.socket."""

from flask import Flask
from flask_sock import Sock
from simple_websocket import ConnectionClosed

app = Flask(__name__)
sock = Sock(app)


@app.get("/")
def index():
    return "hello"


@sock.route("/echo")
def echo(ws):
    while True:
        ws.send("echo: " + ws.receive())


@sock.route("/three")
def three(ws):
    """The server ends it."""
    for n in range(3):
        ws.send(str(n))


@sock.route("/until-closed")
def until_closed(ws):
    try:
        while True:
            ws.receive(timeout=20)
    except ConnectionClosed:
        raise
