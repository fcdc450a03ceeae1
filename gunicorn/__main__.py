"""`python -m gunicorn`: the same command as `gunicorn`."""

from gunicorn.app.wsgiapp import run

if __name__ == "__main__":
    run(prog="gunicorn")  # sys.argv[0] is .../__main__.py, which is nothing to show to a user
