"""The documentation: pages in Markdown, and what of them is generated when the site is built."""
