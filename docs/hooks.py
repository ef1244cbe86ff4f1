"""Fills the generated parts of pages, and takes files of the repository into the site.

Pages name figures as they lie in the repository, so that they are seen where the Markdown is read
there, too. In the site every figure is a link to itself; `docs/assets/figures.js` opens it large.

Requirements: mkdocs; what generators need.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

#: Folder of figures in the repository, and where the site has it.
FIGURES = ("figures/reference", "figures")
#: An image in a page, and its file.
IMAGE = re.compile(r'(<img\b[^>]*?\bsrc="([^":]+)"[^>]*>)')


def on_config(config: Any) -> Any:
    """Find the modules of the repository: `mkdocs` looks for none beside mkdocs.yml."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the committed figures to the files of the site."""
    source, target = FIGURES
    for path in sorted((ROOT / source).rglob("*")):
        if path.suffix in (".svg", ".png"):
            where = f"{target}/{path.relative_to(ROOT / source).as_posix()}"
            files.append(File.generated(config, where, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Replace the markers of generated parts, and say where the site has figures."""
    from docs.generate import filled

    source, target = FIGURES
    return filled(markdown).replace(f"](../{source}/", f"]({target}/")


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Make every figure a link to itself."""
    return IMAGE.sub(r'<a class="plot" href="\2" title="Open large">\1</a>', html)
