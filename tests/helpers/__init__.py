"""What the behaviour tests share: a strict HTTP client, a server under test, gates."""
