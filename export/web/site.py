"""Compiled models and a grammar in, the files of a web page and npm package out."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...edge.memory.grammar import Grammar
from ...edge.memory.grammar_json import grammar_to_json
from ...edge.memory.prior import Learner
from ..device.source import EngineModel
from ..device.templates import fill_text
from .wasm import WEB

_PAGE, _LIBRARY, _PACKAGE = WEB / "page", WEB / "lib", WEB / "npm"

_TEXT = (".html", ".js", ".css", ".json", ".md", ".mjs", ".svg", ".ts", ".webmanifest")


@dataclass(frozen=True, kw_only=True)
class WebModel:
    """A model in the form for browsers."""

    model: EngineModel
    wasm: bytes

    @property
    def file(self) -> str:
        """Its path in the folder."""
        return f"models/{self.model.manifest.name}.wasm"


def site_files(
    models: Sequence[WebModel],
    grammar: Grammar | None,
    fields: Mapping[str, str],
    learned: Learner | None = None,
) -> dict[str, bytes]:
    """Return all files of the folder, content by path.

    Parameters
    ----------
    models
        The models to choose from; the first is the page's default.
    grammar
        The grammar of the page's dialogue; None for a page that only shows words.
    fields
        Further fields of the README.
    learned
        What the page's memory starts with.
    """
    version = importlib.metadata.version("harken")
    main = models[0].model.manifest
    fields = {"VERSION": version, "TITLE": "harken", "NAME": main.name, **fields}
    page = _read(_PAGE)
    worker = page.pop("sw.js")
    files = {name: _filled(name, content, fields) for name, content in page.items()}
    files |= {path.name: path.read_bytes() for path in sorted(_LIBRARY.iterdir())}
    files |= {model.file: model.wasm for model in models}
    if grammar is not None:
        files[_grammar_file(grammar)] = grammar_to_json(grammar, learned).encode()
    # The name of a page's cache is a hash of its content.
    digest = _digest({**files, "sw.js": worker})
    files["site.json"] = _site(models, grammar, version, digest)
    names = json.dumps(cached_files(files), indent=2)
    files["sw.js"] = _filled("sw.js", worker, {**fields, "DIGEST": digest, "FILES": names})
    package = _read(_PACKAGE)
    return files | {name: _filled(name, content, fields) for name, content in package.items()}


def compressed_bytes(files: Mapping[str, bytes], models: Sequence[WebModel]) -> dict[str, int]:
    """Return the bytes that a browser loads with the first model, gzipped, by file."""
    others = {model.file for model in models[1:]}
    return {
        name: len(gzip.compress(files[name], 9, mtime=0))
        for name in (*cached_files(files), "sw.js")
        if name not in others
    }


def cached_files(files: Mapping[str, bytes]) -> list[str]:
    """Return the files that the page needs offline."""
    package = {path.relative_to(_PACKAGE).as_posix() for path in _PACKAGE.rglob("*")}
    return sorted(
        name
        for name in files
        if not name.endswith(".d.ts") and name not in package and name != "sw.js"
    )


def _read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _filled(name: str, content: bytes, fields: Mapping[str, str]) -> bytes:
    return fill_text(content.decode(), fields).encode() if name.endswith(_TEXT) else content


def _grammar_file(grammar: Grammar) -> str:
    return f"models/{grammar.name}.json"


def _site(models: Sequence[WebModel], grammar: Grammar | None, version: str, digest: str) -> bytes:
    """Return ``site.json``: the models and grammar of the page."""
    content = {
        "version": version,
        "digest": digest,
        "models": [
            {
                "name": each.model.manifest.name,
                "file": each.file,
                "bytes": len(each.wasm),
                "digest": each.model.manifest.model.sha256[:12],
                "words": each.model.manifest.words,
            }
            for each in models
        ],
        "grammar": None
        if grammar is None
        else {"name": grammar.name, "file": _grammar_file(grammar), "digest": grammar.digest},
    }
    return json.dumps(content, indent=1).encode()


def _digest(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return total.hexdigest()[:12]
