"""How the site is built from these pages: `make docs` does it."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

import fauxtp
import fauxtp.observe
import fauxtp.observe.reports
import fauxtp.registry
import fauxtp.testing

project = "fauxtp"
release = fauxtp.__version__
html_title = f"fauxtp {release}"
copyright = "the authors of fauxtp"  # noqa: A001

extensions = ["sphinx.ext.autodoc", "myst_parser", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["_static"]
default_role = "code"
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(anyio|asyncio|collections|concurrent|pathlib|traceback|typing|types)\..*"),
    ("py:.*", r"(contextvars|opentelemetry|prometheus_client)\..*"),
    ("py:.*", r"(.*\.)?[A-Z](_co)?"),  # variables of types
    ("py:class", r"fauxtp\._supervision\.on_demand\.Cluster"),  # what it needs of one
    (
        "py:class",
        r"(.*\.)?(AbstractAsyncContextManager|ClusterNamesWatch|CollectorRegistry|Engine|Family|InThread|NamesWatch|Nursery|OnExit|Pattern|Receiver|Running|TaskMap)",
    ),  # said in words
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 70

html_theme = "furo"
pygments_dark_style = "github-dark"
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

HOMES = (
    "fauxtp.registry",
    "fauxtp.testing",
    "fauxtp.observe.reports",
    "fauxtp.observe",
    "fauxtp",
)
PUBLIC = {name: home for home in HOMES for name in import_module(home).__all__}

WORDS = {  # those that in code mean nothing else
    name: home
    for name, home in PUBLIC.items()
    if name not in {"default", "implementation", "reason"}
}


def say_where_it_is_written(kind: type) -> None:
    """Undo for a class that it tells it is from `fauxtp`: its file has more to be read."""
    written = [value.__module__ for value in vars(kind).values() if inspect.isfunction(value)]
    if written and kind.__module__ == "fauxtp":
        kind.__module__ = written[0]


def own_names(name: str, thing: Any) -> set[str]:
    """Return what a docstring means by itself: its arguments, and what its class has."""
    *_, owner, last = name.split(".")
    kind = getattr(import_module(PUBLIC[owner]), owner) if owner in PUBLIC else None
    own = {last, *dir(thing if inspect.isclass(thing) else kind)}
    if inspect.isfunction(code := inspect.unwrap(thing)):
        own |= set(code.__code__.co_varnames)
    return own


def link_names(
    _: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Let each public name in a docstring lead to where it is explained."""
    own = own_names(name, thing)

    def link(found: re.Match[str]) -> str:
        home = WORDS.get(found[1])
        if found[1] in own or home is None:
            return found[0]
        return f":py:obj:`~{home}.{found[1]}`"

    lines[:] = [
        line if line.lstrip().startswith((">>>", "...")) else re.sub(r"`(\w+)`", link, line)
        for line in lines
    ]


def plain_defaults(_: Sphinx, *about: Any) -> tuple[str | None, str | None]:
    """Show what a default is, not how a dataclass makes it; and an alias by its name."""
    signature, returned = about[-2:]
    if returned and "_Postpone" in returned:
        returned = "Transition[S, D]"
    return signature and signature.replace("<factory>", "{}"), returned


def find_public(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, shown: nodes.TextElement
) -> nodes.reference | None:
    """Find what a type hint names by where it is written."""
    name = node["reftarget"].rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in PUBLIC:
        return None
    where = f"{PUBLIC[name]}.{name}"
    return env.domains.python_domain.resolve_xref(
        env, node["refdoc"], app.builder, "obj", where, node, shown
    )


def link_words(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Let each public name in the text of a page lead to where it is explained."""
    domain = app.env.domains.python_domain
    for literal in list(doctree.findall(nodes.literal)):
        word = re.fullmatch(r"(?:await )?(?:fauxtp\.(?:\w+\.)*)?(\w+)(\(.*\))?", literal.astext())
        there = word and domain.objects.get(f"{WORDS.get(word[1])}.{word[1]}")
        within = literal.parent
        is_docstring = "code" in literal["classes"]  # and has its links already
        if not there or is_docstring or isinstance(within, nodes.reference | nodes.title):
            continue
        link = make_refnode(app.builder, docname, there.docname, there.node_id, literal.copy())
        link[0].extend(literal.children)
        within.replace(literal, link)


def setup(app: Sphinx) -> None:
    """Tell Sphinx of these functions."""
    for name, home in PUBLIC.items():
        thing = getattr(import_module(home), name)
        if inspect.isclass(thing):
            say_where_it_is_written(thing)
    app.connect("autodoc-process-docstring", link_names)
    app.connect("autodoc-process-signature", plain_defaults)
    app.connect("missing-reference", find_public)
    app.connect("doctree-resolved", link_words)
