"""Takes the socket over: what is written to it goes out at once, between the server's own bytes."""


def application(environ, start_response):
    environ["gunicorn.socket"].sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
