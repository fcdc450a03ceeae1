"""How `make docs` builds the site from the pages here, which are plain Markdown."""

project = "monoceros"
copyright = "the monoceros authors"
extensions = ["myst_parser"]
myst_heading_anchors = 3
# Files of the sources that pages link to are not part of the site.
myst_url_schemes = {"http": None, "https": None, "mailto": None}
html_theme = "furo"
html_title = "monoceros"
html_show_sourcelink = False
html_show_sphinx = False
