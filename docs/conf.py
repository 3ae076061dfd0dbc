"""How Sphinx builds the site: `make docs`, into `site/`. Warnings are errors there."""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import copy
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import choosing  # noqa: E402 - they are found from here on
import tables  # noqa: E402
from generate import docstrings, home, problems, public, reference, results  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402
from sphinx.util.logging import getLogger  # noqa: E402

import minimax  # noqa: E402

log = getLogger(__name__)

project = "minimax"
author = "minimax-games contributors"
copyright = author
version = release = minimax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["README.md", "gallery/**/*.ipynb", "gallery/**/*.py", "gallery/**/*.zip", "**/GALLERY_HEADER.rst"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
nitpicky = True
# Annotations name types of torch and aliases of ours; what prose links to is a py:obj.
nitpick_ignore_regex = [(r"py:(class|exc)", ".*")]

# Markdown: formulas between dollars, links to headings, definition lists.
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence", "substitution", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3

# Docstrings: see generate/docstrings.py.
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_display_short_literal_types = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
add_module_names = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": False,
    "download_all_examples": False,
    "write_computation_times": False,
    "show_signature": False,
    "capture_repr": (),
    "min_reported_time": 1,
    "copyfile_regex": r".*\.png",
}

html_theme = "furo"
html_title = f"minimax {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
copybutton_exclude = ".linenos, .gp, .go"
mathjax_path = "tex-svg-full.js"
mathjax3_config = {"options": {"enableMenu": False}}


def made(app: Any) -> None:
    """Write the pages that are made from code and tables."""
    source = Path(app.srcdir)
    home.save(source / "_static" / "home.png")
    reference.write(source / "api")
    problems.write(source / "benchmark" / "problems")
    results.write(source / "benchmark" / "results")


def told(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """A docstring, before napoleon reads it."""
    lines[:] = docstrings.converted(lines)
    if what in ("attribute", "property"):
        lines[:0] = ["..", ""]  # or else napoleon takes what stands before a colon for a type


def whole(app: Any, env: Any) -> None:
    """Warn, which fails a build, of public names that have no place, and of pages that older tables have written."""
    known = env.domaindata["py"]["objects"]
    for entry in (entry for entries in public.pages().values() for entry in entries):
        if entry.name not in known:
            log.warning("the API reference lacks %s", entry.name)
    for page, maker in ((choosing.PAGE, choosing), (tables.PAGE, tables)):
        text = page.read_text()
        if maker.written(text) != text:
            log.warning("%s is stale: run python docs/%s.py", page, maker.__name__)


def mathjax(app: Any, failure: Exception | None) -> None:
    """Put the one file that sets formulas into the site: without a network there is no other."""
    package = find_spec("sphinx-mathjax-offline")
    assert package is not None and package.origin is not None
    if failure is None and app.builder.format == "html":
        copy(Path(package.origin).parent / "static" / "mathjax" / mathjax_path, Path(app.outdir) / "_static")


REMOTE = re.compile(r"""(?:src|<link[^>]*href)=["'](?:https?:)?//|url\(["']?(?:https?:)?//|@import""")


def local(app: Any, failure: Exception | None) -> None:
    """Refuse pages that would ask another machine for anything: the site is read with the network off."""
    if failure is None and app.builder.format == "html":
        pages = [page for kind in ("html", "css") for page in Path(app.outdir).rglob(f"*.{kind}")]
        if remote := [page.name for page in pages if REMOTE.search(page.read_text())]:
            raise ExtensionError(f"these pages fetch from elsewhere: {', '.join(remote)}")


# Links that hold in the repository, and what they become on the site.
MOVED = [
    (r"\((?:\.\./)+examples/theory/?\)", "(/gallery/theory/index.rst)"),
    (r"\((?:\.\./)+examples/?\)", "(/gallery/index.rst)"),
    (r"\((?:\.\./)+examples/([\w/]+)\.py\)", r"(/gallery/\1.rst)"),
    (r"\((?:\.\./)+results/README\.md\)", "(/benchmark/results.md)"),
    (r"\((?:\.\./)+(CONTRIBUTING|CHANGELOG)\.md\)", lambda found: f"(/{found[1].lower()}.md)"),
]


def moved(app: Any, page: str, source: list[str]) -> None:
    """Send links into the repository to where the site tells the same."""
    for pattern, place in MOVED:
        source[0] = re.sub(pattern, place, source[0])


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("env-check-consistency", whole)
    app.connect("build-finished", mathjax)
    app.connect("build-finished", local)
    app.connect("source-read", moved)
    app.connect("builder-inited", made)
    app.connect("autodoc-process-docstring", told, priority=100)
