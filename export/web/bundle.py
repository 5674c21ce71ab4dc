"""``harken export MODEL --target web``: models in, a page and an npm package out."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...edge.errors import ExportError
from ...edge.memory.grammar import Grammar
from ...edge.memory.memory import shipped_prior
from ...edge.memory.prior import Learner
from ...edge.spotting.manifest import Model
from ..device.bundle import CheckedEngine, checked_engine
from ..device.golden import Comparison
from ..device.templates import model_fields
from ..folder import check_target, names_in, write_export
from .site import WebModel, compressed_bytes, site_files
from .wasm import WEB, compile_wasm, find_wasm_compiler

NODE_MISSING = "Node.js is not installed"

_DIALOGUE = """\
Commands are made of words, and completed from context:

```js
import {{ Memory }} from "./harken.js";

const memory = new Memory(await (await fetch("{file}")).json());
spotter.addEventListener("word", ({{ detail }}) => {{
  const threshold = spotter.info.thresholds[detail.word];
  const evidence = {{ ...detail, threshold }};
  const turn = memory.hear(detail.word, Date.now() / 1000, detail.confidence, evidence);
  spotter.pending(memory.pending, memory.habit); // expected words need less evidence
  for (const command of turn.commands) console.log(command.intent, command.values);
}});
```

`memory.learned` is what it has learned about its user; save it, and pass it to the next memory.
Call `tick` when `due` has come. `Dialogue` is the same without learning. `detail.faint` is a word
that was said before `detail.word` and almost fired, or null; the memory hears it first.

"""


@dataclass(frozen=True, kw_only=True)
class WebBundle:
    """The result of an export for browsers."""

    folder: Path
    models: tuple[WebModel, ...]
    comparisons: tuple[Comparison, ...]
    """The C engine with each model."""
    not_checked: str
    """Why the WebAssembly files were not run here; empty if their output equals that of C."""
    compressed: Mapping[str, int]
    """Bytes that a browser loads with the first model, after gzip, by file."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {
            "folder": str(self.folder),
            "models": [
                {
                    "name": each.model.manifest.name,
                    "file": each.file,
                    "bytes": len(each.wasm),
                    "checks": comparison.to_dict(),
                }
                for each, comparison in zip(self.models, self.comparisons, strict=True)
            ],
            "not_checked": self.not_checked,
            "compressed_bytes": sum(self.compressed.values()),
            "compressed": dict(self.compressed),
        }


def export_web(
    models: Sequence[Model],
    out: str | Path,
    *,
    grammar: Grammar | None = None,
    learned: Learner | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> WebBundle:
    """Write a folder that any web server can serve, and that is also an npm package.

    The engine is compiled for this machine and for WebAssembly; the former is compared with Python
    and TensorFlow Lite Micro, the latter, if Node.js is installed, with the former, byte for byte.
    The same models and the same tools give the same bytes.

    Parameters
    ----------
    models
        The models to choose from; the first is the page's default.
    out
        The folder to write to; it is created if missing. Files that harken wrote are replaced.
    grammar
        The commands of the page. Its LSTM, if it ships, is included in the models.
    learned
        What a memory of this grammar has learned: everyone who opens the page starts with it.
    on_stage
        Called with a few words at the start of every stage.

    Raises
    ------
    ExportError
        The engine cannot run a model (names the layer or the field), a comparison failed, or the
        files cannot be written.
    DependencyError
        There is no C compiler, or none for WebAssembly.
    GrammarError
        The grammar has words that a model lacks.
    """
    out = Path(out)
    check_target(out, names_in(WEB / "page", WEB / "lib", WEB / "npm"))
    names = [model.manifest.name for model in models]
    if len({name.lower() for name in names}) < len(names):  # some file systems ignore case
        raise ExportError(f"two of {', '.join(names)} have the same name; give each its own")
    prior = None if grammar is None or shipped_prior(grammar) is None else grammar
    if learned is not None and prior is None:
        raise ExportError(
            f"{grammar.name if grammar else 'a page of words alone'} has no LSTM prior, which a "
            "page needs for learning; omit --memory, or use a grammar that ships"
        )
    find_wasm_compiler()  # fails early if missing
    engines, compiled = [], []
    for model in models:
        if grammar is not None:
            grammar.require_words(model.manifest.words)
        engines.append(checked_engine(model, prior, on_stage=on_stage))
        on_stage(f"compiling {model.manifest.name} for WebAssembly")
        compiled.append(WebModel(model=engines[-1].model, wasm=compile_wasm(engines[-1].model)))
    on_stage("listening with WebAssembly")
    not_checked = _check(compiled, engines)
    fields = {
        **model_fields(engines[0].model, engines[0].comparison),
        "CHECKED": _checked(compiled, not_checked),
        "DIALOGUE": "" if grammar is None else _DIALOGUE.format(file=f"models/{grammar.name}.json"),
    }
    files = site_files(compiled, grammar, fields, learned)
    on_stage("writing")
    write_export(out, files)
    return WebBundle(
        folder=out,
        models=tuple(compiled),
        comparisons=tuple(engine.comparison for engine in engines),
        not_checked=not_checked,
        compressed=compressed_bytes(files, compiled),
    )


def _check(models: Sequence[WebModel], engines: Sequence[CheckedEngine]) -> str:
    """Run the package in Node.js and compare its output; return why not, if that is impossible."""
    node = shutil.which("node")
    if node is None:
        return NODE_MISSING
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in (*(WEB / "lib").iterdir(), WEB / "npm" / "listen.mjs"):
            shutil.copy(path, folder)
        (folder / "package.json").write_text('{"type": "module"}', "utf-8")
        for model, engine in zip(models, engines, strict=True):
            (folder / "model.wasm").write_bytes(model.wasm)
            answers, sound = engine.answers["float"], engine.pcm.astype("<i2").tobytes()
            for what, expected in answers.vectors.items():
                done = subprocess.run(
                    [node, folder / "listen.mjs", f"--{what}", folder / "model.wasm"],
                    input=sound,
                    capture_output=True,
                    check=False,
                )
                if done.returncode:
                    said = done.stderr.decode(errors="replace").strip().splitlines()
                    raise ExportError(
                        f"{model.file} failed in Node.js: {(said or ['no message'])[-1]}"
                    )
                if done.stdout != expected:
                    raise ExportError(
                        f"WebAssembly check: the {what} of {model.file} differ from those of C"
                    )
    return ""


def _checked(models: Sequence[WebModel], not_checked: str) -> str:
    """Return the README's text on the check."""
    names = " and ".join(model.file for model in models)
    if not_checked:
        return f"\n- WebAssembly was not compared with the C engine: {not_checked}."
    return (
        f"\n- {names}: all features and logits equal those of\n"
        "  the C engine on the machine that compiled it, byte for byte (in Node.js)."
    )
