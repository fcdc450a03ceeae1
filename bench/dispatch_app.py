"""The application of dispatch.py: sleeps as long as the path says, and tells who did, and when."""

import os
import time


def application(environ, start_response):
    began = time.monotonic()
    time.sleep(float(environ["PATH_INFO"][1:]))
    body = b"%d %f %f" % (os.getpid(), began, time.monotonic())
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
