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
}
