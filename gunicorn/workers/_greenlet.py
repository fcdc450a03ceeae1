"""The greenlets that requests run in, whatever hub they belong to."""

import gc

from greenlet import greenlet


class RequestGreenlet(greenlet):
    """One request."""

    def throw(self, *args):
        """As ever, but nothing when it has ended: a timer that was forgotten is nobody's error."""
        if not self.dead:
            return super().throw(*args)


def running_requests() -> list[RequestGreenlet]:
    """Return the requests that run.

    The garbage collector finds them: no list is kept for the rare moment at which it is wanted.
    """
    return [one for one in gc.get_objects() if type(one) is RequestGreenlet and one]
