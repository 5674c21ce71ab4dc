"""Models in, a page for browsers and an npm package out."""
