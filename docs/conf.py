"""How Sphinx builds these pages: ``sphinx-build docs BUILT``, with the extra ``docs`` installed. They read well on their own too."""

project = "rt-melody"
copyright = "the authors of rt-melody"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.mermaid"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "rt-melody"
myst_heading_anchors = 3  # as GitHub makes them
myst_fence_as_directive = ["mermaid"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
suppress_warnings = ["myst.xref_missing"]  # of folders of the checkout, which GitHub shows: tests/test_docs.py follows every link
