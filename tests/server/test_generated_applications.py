"""Applications at random: whatever one does, its client gets what HTTP and PEP 3333 promise.

`make fuzz` goes on for longer.
"""

from helpers.planned import OPTIONS, Planned


def test_generated_applications(gunicorn):
    Planned(gunicorn("planned:app", *OPTIONS, expect_trouble=True)).converse(100)
