"""Words in, a model of them out: synthesized, trained, exported, measured.

All results stay in the folder, and the next call with the same words continues from there:
``voices/`` and ``data/`` hold the audio, ``run/`` the training, ``new.json`` the request and its
outcome. The model, its manifest and its card are beside them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ... import __version__
from ...edge.errors import DataError, OutputError, RunError
from ...edge.files import utf8, write_atomic, write_together
from ...edge.spotting.manifest import Model, load_model
from ..base import Base
from ..batches import DataSource
from ..cache import Progress as Count
from ..config import StreamConfig, TrainConfig
from ..ending import interruption
from ..fit import Progress, train
from ..pack import load_pack
from ..run import RunFolder
from .advice import Advice, advise
from .material import STATE_FILE, Material, gather
from .measure import Expectation, choose_threshold
from .near import near_misses, pronunciations
from .shipped import PHRASES
from .voices import Speaker

UNMEASURED = "unmeasured"
"""A folder in it, with the model until it is measured."""
NEAR_MISSES = 12
"""Near misses of each word that are taught as other words."""

OTHERS = (
    *("hello", "music", "weather", "please", "okay", "thank you", "what time", "tomorrow"),
    *("window", "morning", "together", "water", "people", "number", "another", "nothing"),
)
"""Other words for the voices, so that a synthetic voice alone is no sign of a keyword."""

_STREAMS = StreamConfig(
    unknown_share=0.35,
    cut_share=0.08,
    splice_share=0.0,
    speech_stream_share=0.35,
    clean_share=0.42,
    snr_db=(-1.0, 32.0),
    gain_db=(-26.0, 28.0),
    room_share=0.35,
    simulated_room_share=1.0,
    hum_share=0.1,
)
_SPLICE_SHARE = 0.05  # of a model of several words
_AS_GOOD_AS_VOICES = 20  # recordings
_EPOCHS = 4
_WORDS = 5  # that these epochs are enough for; each further one needs as many again
_MOST_RECORDED = 0.5  # share of the draws of a word


@dataclass(frozen=True, kw_only=True)
class Request:
    """The request; together with the machine's voices it determines the model."""

    words: tuple[str, ...]
    name: str
    epochs: int = _EPOCHS
    seed: int = 0
    fa_per_hour: float = 0.5
    recordings: str | None = None
    base: str = PHRASES
    languages: tuple[str, ...] = ("en",)
    """Languages of the voices."""
    spellings: tuple[tuple[str, str], ...] = ()
    """Words, and what voices read in their place; several for one word are used in turn."""
    checked: bool = True
    """Whether clips and recordings that sound like another word are left out."""
    voices: tuple[str, ...] = ()
    """How often each engine says a word; changing them changes the model."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class NewModel:
    """The finished model and what was learned about it."""

    model: Model
    expectation: Expectation
    advice: tuple[Advice, ...]
    material: Material
    near: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "model": str(self.model.path),
            "words": list(self.model.manifest.words),
            "advice": [asdict(each) for each in self.advice],
            "near_misses": list(self.near),
            "synthetic": {word: asdict(tally) for word, tally in self.material.spoken.items()},
            "recorded": dict(self.material.recorded),
            "left_out": dict(self.material.left_out),
            "accents": dict(self.material.accents),
            "expected": self.expectation.to_dict(),
        }


def epochs_for(words: Sequence[str]) -> int:
    """Return how many epochs words need: an epoch has a number of batches, which they share.

    Measured with two, four and ten words (docs/experiments.md, "Own words").
    """
    return _EPOCHS * (1 + max(0, len(words) - _WORDS))


def known_already(words: Sequence[str], base: Base) -> list[str]:
    """Return the words that the initial model can already detect."""
    return [word for word in words if word in base.words]


def advice_on(words: Sequence[str], pack: Path) -> list[Advice]:
    """Return advice on difficult words before any work; see `advise`."""
    return advise(words, load_pack(pack))


def make_model(
    request: Request,
    out: Path,
    *,
    base: Base,
    pack: Path,
    speakers: Sequence[Speaker],
    advice: Sequence[Advice],
    on_stage: Callable[[str], None] = lambda stage: None,
    on_count: Count | None = None,
    on_material: Callable[[Material], None] = lambda material: None,
    on_batch: Callable[[Progress], None] = lambda progress: None,
    workers: int = 2,
) -> NewModel:
    """Make a model of new words, or go on where an earlier call was interrupted.

    Parameters
    ----------
    request
        The request.
    out
        The folder for everything.
    base
        The weights to start from.
    pack
        File of speech and noise.
    speakers
        The engines and voices.
    advice
        Advice given on the words, for the card; see `advice_on`.
    on_stage, on_count, on_material, on_batch
        Called to report progress.
    workers
        Processes that generate training streams.

    Raises
    ------
    DataError
        A word cannot be spoken, a recording cannot be used, or the folder holds another model.
    RunError, ExportError
        Training or a check of the model failed.
    KeyboardInterrupt
        Ctrl-C or SIGTERM while training (see `harken.train.ending`); the folder keeps what is done.
    """
    _claim(out, request)
    on_stage("looking for words that sound alike")
    near = _others(request.words)
    material = gather(
        out,
        request.words,
        near,
        speakers,
        None if request.recordings is None else Path(request.recordings),
        seed=request.seed,
        spellings=_by_word(request.spellings),
        checked=request.checked,
        on_stage=on_stage,
        progress=on_count,
    )
    on_material(material)
    config = _config(request, base, material)
    source = DataSource(
        root=material.folder, pack=pack, split_rule="lists", cache_dir=out / "cache"
    )
    run = RunFolder(out / "run")
    with _remedies(run):
        corpus = source.open(on_count)
    if not (run.has("weights.npz") and not run.has("checkpoint.npz")):
        with _remedies(run):
            outcome = train(
                config,
                source,
                corpus,
                run,
                recipe=_recipe(request),
                resume=run.has("config.json"),
                on_progress=on_batch,
                workers=workers,
                first=base.first_weights(config),
                on_stage=on_stage,
            )
        if not outcome.finished or outcome.signal is not None:
            raise interruption(outcome.signal)
    from ...export.bundle import export_run, require_own

    require_own(out, request.name)
    unmeasured = out / UNMEASURED  # nobody takes it for the model before it is measured
    export_run(
        run.path,
        unmeasured,
        name=request.name,
        on_stage=lambda stage: on_stage(f"exporting: {stage}"),
    )
    on_stage("measuring")
    model, expectation = choose_threshold(
        load_model(str(unmeasured / f"{request.name}.json")),
        run.load_record().config,
        corpus,
        fa_per_hour=request.fa_per_hour,
        progress=on_count,
    )
    model = replace(model, path=out / f"{request.name}.tflite")
    found = NewModel(
        model=model,
        expectation=expectation,
        advice=tuple(advice),
        material=material,
        near=tuple(near),
    )
    _write(found, out, request)
    for done in (out / "cache", unmeasured):
        shutil.rmtree(done, ignore_errors=True)
    return found


@contextmanager
def _remedies(run: RunFolder) -> Iterator[None]:
    """Let errors of `harken train` say what helps here: it has options that are none of ours."""
    try:
        yield
    except (DataError, RunError) as problem:
        text = str(problem).replace("--cache-dir", "--out")
        text = text.replace("with --resume", "with the same command")
        text = text.replace("; train again", f"; remove {run.path}, and train again")
        raise type(problem)(text) from problem


def _claim(out: Path, request: Request) -> None:
    """Record the request in a folder, or check that the folder was made for it."""
    state = out / STATE_FILE
    if state.exists():
        try:
            asked = json.loads(state.read_text("utf-8"))["request"]
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(f"{state} is damaged; choose another --out") from None
        changed = [name for name, value in request.to_dict().items() if asked.get(name) != value]
        if changed:
            raise DataError(
                f"{out} holds a model made with different {', '.join(changed)}; repeat its "
                "command line to continue it, or choose another --out"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists, but not from `harken new`; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"cannot make {out}: {problem.strerror}; choose another --out") from None
    _save(state, {"request": request.to_dict()})


def _save(state: Path, content: dict[str, Any]) -> None:
    content = {"harken": __version__, **content}
    write_atomic(state, json.dumps(content, indent=2, ensure_ascii=False) + "\n", error=DataError)


def _others(words: Sequence[str]) -> list[str]:
    """Return other words for the voices that are not pronounced like any of the words."""
    own = {way for word in words for way in pronunciations(word)}
    near = [other for word in words for other in near_misses(word, NEAR_MISSES)]
    named = {word.replace("_", " ") for word in words}
    return [
        other
        for other in dict.fromkeys((*near, *OTHERS))
        if other not in named and not own.intersection(pronunciations(other))
    ]


def _by_word(spellings: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word, text in spellings:
        found.setdefault(word, []).append(text)
    return found


def _recorded_share(material: Material) -> float:
    """Return how often a word is drawn from its recordings; too often would overfit to a few.

    As often as from voices if the word with the fewest has 20; never more often.
    """
    fewest = min(material.recorded.values(), default=0)
    return min(_MOST_RECORDED, fewest / (fewest + _AS_GOOD_AS_VOICES))


def _config(request: Request, base: Base, material: Material) -> TrainConfig:
    several = len(request.words) > 1
    return TrainConfig(
        words=request.words,
        model=base.shape.model,
        front_end=base.shape.front_end,
        step=base.shape.step,
        streams=replace(
            _STREAMS,
            splice_share=_SPLICE_SHARE if several else 0.0,
            synthetic_share=1.0 - _recorded_share(material),
        ),
        epochs=request.epochs,
        min_steps=100,
        distinct_epochs=request.epochs,
        learning_rate=1e-3,
        dropout=0.05,
        frozen_stem=True,
        averaging=0.99,
        seed=request.seed,
        licences=base.licences,
    )


def _recipe(request: Request) -> str:
    line = ["harken", "new", *request.words, "--out", "DIR", "--name", request.name]
    if request.recordings is not None:
        line += ["--recordings", "RECORDINGS"]
    for word, text in request.spellings:
        line += ["--spelling", f"{word}={text}"]
    if request.languages != Request.languages:
        line += ["--language", ",".join(request.languages)]
    if not request.checked:
        line.append("--unchecked")
    return " ".join([*line, "--epochs", str(request.epochs), "--seed", str(request.seed)])


def _write(found: NewModel, out: Path, request: Request) -> None:
    """Write the manifest and the card with the measured figures, and the record."""
    model, figures = found.model, found.to_dict()
    manifest = replace(
        model.manifest,
        operating_point={
            "harken": __version__,
            "wanted_false_accepts_per_hour": request.fa_per_hour,
            "expected": figures["expected"],
            "notes": [each.text for each in found.advice],
        },
    )
    card = out / UNMEASURED / f"{request.name}.md"
    try:
        text = card.read_text("utf-8")
    except OSError as problem:
        raise RunError(f"cannot read {card}: {problem.strerror}") from None
    section = "\n".join(expectation_lines(found)) + "\n\n"
    place = text.find("## Limits\n")
    text = text[:place] + section + text[place:] if place >= 0 else f"{text}\n{section}"
    write_together(
        {
            model.path: model.content,
            model.path.with_suffix(".md"): utf8(text),
            model.path.with_suffix(".json"): utf8(manifest.to_json()),
        },
        error=OutputError,
    )
    _save(out / STATE_FILE, {"request": request.to_dict(), **figures})


def expectation_lines(found: NewModel) -> list[str]:
    """Return the expected figures of a model, as Markdown."""
    figures = found.expectation.to_dict()
    low, high = figures["false_accepts_interval"] or (0.0, 0.0)
    lines = [
        "## What to expect",
        "",
        f"Measured with voices and recordings that were held out, {found.expectation.hours:.1f} h "
        "of other people's speech, and the int8 model. 95 % intervals in brackets. Synthetic "
        "voices are easier to recognize than people: expect more words to be missed.",
        "",
        f"- False accepts: {figures['false_accepts_per_hour']:.1f} per hour "
        f"[{low:.1f}, {high:.1f}], threshold {found.expectation.threshold:.2f}",
    ]
    for word, each in figures["words"].items():
        if not each["said"]:
            lines.append(f"- {word.replace('_', ' ')}: nothing was held out")
            continue
        low, high = each["interval"]
        lines.append(
            f"- {word.replace('_', ' ')}: {each['missed']} of {each['said']} missed, "
            f"{each['share']:.0%} [{low:.0%}, {high:.0%}]"
        )
    if found.advice:
        lines += ["", "Said before the training:", ""]
        lines += [f"- {each.text}" for each in found.advice]
    return lines
