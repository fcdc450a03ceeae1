"""The master's duties, a module each: functions on a `gunicorn.arbiter.Arbiter`.

The class keeps the names that subclasses override; its methods call into these modules, and these
modules call the methods of the class, so that an override holds wherever the duty is done.
"""
