"""How the site is built from these pages: `make docs` does it."""

from __future__ import annotations

import fauxtp

project = "fauxtp"
release = fauxtp.__version__
html_title = f"fauxtp {release}"
copyright = "the authors of fauxtp"  # noqa: A001

extensions = ["sphinx.ext.autodoc", "myst_parser", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["_static"]
default_role = "code"
nitpicky = True
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_use_legacy_class_based = False
python_maximum_signature_line_length = 70
nitpick_ignore_regex: list[tuple[str, str]] = []

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": "https://github.com/fizzAI/fauxtp/",
    "source_branch": "main",
    "source_directory": "docs/",
}
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
