"""Applications: gunicorn loads their configuration and serves them."""
