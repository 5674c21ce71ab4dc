"""Compare a wheel and an sdist with the tracked files: ``python tests/check_archives.py dist``.

Needs Python and git alone. Prints what is missing or too much, and ends with 1 if anything is. With
``--tag v0.1.0`` the version must be that of the tag, and the changelog must have it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
ROOMS = ("edge", "export", "models", "train")
RECIPES = "models/recipes/"  # for a training from a checkout; the sdist has them


def tracked(root: Path = ROOT) -> set[str]:
    """Return the files that git knows, symbolic links left out."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--stage"]
    listed = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    entries = [line.split("\t", 1) for line in listed.split("\0") if line]
    return {path for stage, path in entries if not stage.startswith("120000")}


def in_package(path: str) -> str:
    """Return where a tracked file lies once the four folders are linked into the package."""
    return f"src/harken/{path}" if path.split("/", 1)[0] in ROOMS else path


def expected_in_wheel(files: set[str]) -> set[str]:
    """Return what a wheel holds, but for its metadata."""
    wanted = {in_package(path) for path in files if not path.startswith(RECIPES)}
    return {path.removeprefix("src/") for path in wanted if path.startswith("src/")}


def expected_in_sdist(files: set[str]) -> set[str]:
    """Return what an sdist holds, but for its metadata: all but pictures, CI and git's own."""
    left_out = (".ci/", ".github/", ".gitignore")
    return {
        in_package(path)
        for path in files
        if not path.startswith(left_out)
        and not (path.startswith("docs/") and not path.endswith((".md", ".py")))
    }


def differences(kind: str, wanted: set[str], found: set[str]) -> list[str]:
    """Return a line for each file that is missing or too much."""
    lines = [f"{kind}: {path} is missing" for path in sorted(wanted - found)]
    return lines + [f"{kind}: {path} should not be there" for path in sorted(found - wanted)]


def wheel_files(path: Path) -> set[str]:
    """Return the files of a wheel without its metadata."""
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    return {name for name in names if ".dist-info/" not in name}


def sdist_files(path: Path) -> set[str]:
    """Return the files of an sdist, relative to its one folder, without its metadata."""
    with tarfile.open(path) as archive:
        links = [entry.name for entry in archive if entry.issym() or entry.islnk()]
        names = {
            str(PurePosixPath(*PurePosixPath(e.name).parts[1:])) for e in archive if e.isfile()
        }
    if links:
        raise SystemExit(f"sdist: {', '.join(links)} are links, which Windows cannot unpack")
    made = {"PKG-INFO", "setup.cfg"}
    return {n for n in names if n not in made and not n.startswith("src/harken.egg-info/")}


def tag_faults(tag: str, version: str, changelog: str) -> list[str]:
    """Return why a version cannot be released under a tag."""
    lines = []
    if tag != f"v{version}":
        lines.append(f"the tag is {tag} and the version {version}; the tag must be v{version}")
    if not re.search(rf"^## \[{re.escape(version)}\]", changelog, re.MULTILINE):
        lines.append(f"CHANGELOG.md has no '## [{version}]'")
    return lines


def main() -> None:
    """Check the one wheel and the one sdist of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with one wheel and one sdist")
    parser.add_argument("--tag", help="which they are to be released under")
    wanted = parser.parse_args()
    (wheel,), (sdist,) = wanted.folder.glob("*.whl"), wanted.folder.glob("*.tar.gz")
    files = tracked()
    lines = []
    if wanted.tag is not None:
        version = wheel.name.split("-")[1]
        lines += tag_faults(wanted.tag, version, (ROOT / "CHANGELOG.md").read_text("utf-8"))
    lines += differences("wheel", expected_in_wheel(files), wheel_files(wheel))
    lines += differences("sdist", expected_in_sdist(files), sdist_files(sdist))
    print("\n".join(lines) or f"{wheel.name} and {sdist.name} hold what they should")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
