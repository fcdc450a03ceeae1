"""Applications: what gunicorn loads its configuration for, and serves."""
