"""Where the original gunicorn differs on purpose: patterns of test names and why.

Used only when the command under test is the original. Every line is a documented defect of
gunicorn 27.0.1 or a feature that it does not have, not an accident of a test.
"""

REFERENCE_FAILS: dict[str, str] = {
    # test_http1.py
    "test_http1.py::test_content_length_refused*-2^64*": "a length has no upper bound",
    "test_http1.py::test_content_length_refused*-forty-digits*": "a length has no upper bound",
    "test_http1.py::test_chunked_refused*-size-2^6*": "a chunk size has no upper bound",
    "test_http1.py::test_error_page*-501?": "says 501 Bad Request",
    "test_http1.py::test_limit_request_line*-16000?": "caps the limit at 8190 silently",
    "test_http1.py::test_limit_request_field_size_zero*": "zero means 8190",
    # test_wsgi_answers.py
    "test_wsgi_answers.py::test_bad_headers*-length-negative-?": "passes a negative length on",
    "test_wsgi_answers.py::test_exc_info_replaces*": "keeps the first headers as well",
    "test_wsgi_answers.py::test_too_short_closes*gthread?": "keeps the connection",
    "test_wsgi_answers.py::test_write_of_text*": "has sent the headers before it looks",
    "test_wsgi_answers.py::test_wrong_body*": "has sent the headers before it looks",
    "test_wsgi_answers.py::test_close_is_called_once*no_start_generator?": "says HTTP/1.1 None",
    "test_wsgi_answers.py::test_start_response_not_called*": "says HTTP/1.1 None",
    "test_wsgi_answers.py::test_error_types?*Error?": "takes the application's OSError for its own",
    "test_wsgi_answers.py::test_error_types?*-StopIteration?": "takes it for its own: no answer",
    "test_wsgi_answers.py::test_error_types?gthread-SystemExit?": "ends the worker without answer",
    "test_wsgi_answers.py::test_error_types_later?*Error?": "does not log an OSError",
    "test_wsgi_answers.py::test_environ_is_the_applications_own*": "reads the environ afterwards",
}
