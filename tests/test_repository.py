"""What the repository states about itself: its layout, its dependencies, the files that documents name."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "models", "orchestration", "pipelines", "training")
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")), ROOT / "tests/golden/README.md"]


def test_readme_lists_the_folders_of_every_package_and_no_others() -> None:
    listed = _tree_of_readme()
    missing = [path for path in listed if not _exists(path)]
    folders = {
        f"{package}/{folder.name}/"
        for package in PACKAGES
        for folder in (ROOT / package).iterdir()
        if folder.is_dir() and any(path.is_file() and path.suffix != ".pyc" for path in folder.rglob("*"))
    }
    assert not missing
    assert sorted(folders - set(listed)) == []
    assert [f"{package}/" for package in PACKAGES if f"{package}/" not in listed] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_existing_files_and_headings(document: Path) -> None:
    text = document.read_text()
    named = set(re.findall(rf"`((?:{'|'.join(PACKAGES)}|docs|tests)/[\w./-]+)`", text))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
    programs = set(re.findall(rf"python -m ((?:{'|'.join(PACKAGES)}|tests)[\w.]*)", text))
    assert [program for program in sorted(programs) if not _is_program(program)] == []
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not _target_exists(document, link)] == []


def test_the_lock_pins_every_declared_dependency_with_hashes_and_names_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]
    pinned = {re.split(r"[\[=]", entry)[0] for entry in entries}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"^LOCKED_EXTRAS = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    # See the Makefile for why this one is not.
    assert project["optional-dependencies"].keys() - {"8bit"} == set(extras.split())
    declared = [
        project["dependencies"],
        *(project["optional-dependencies"][extra] for extra in extras.split()),
    ]
    assert {_normalised(requirement) for group in declared for requirement in group} <= pinned
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in lock
    assert "--index-url" not in lock and "--find-links" not in lock


def test_every_package_of_the_pipelines_is_entered_by_its_public_names() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    protected = {module for each in contracts for module in each.get("protected_modules", [])}
    (reading,) = [each for each in contracts if each.get("source_modules") == ["training"]]
    packages = {f"pipelines.{path.parent.name}" for path in (ROOT / "pipelines").glob("*/__init__.py")}
    assert len(packages) > 8
    assert packages - {"pipelines.loader"} == set(reading["forbidden_modules"])
    unprotected = {
        each for each in packages if not any(module.startswith(f"{each}.") for module in protected)
    }
    # Ray tasks and actors: small modules that every job uses directly.
    assert unprotected == {"pipelines.cluster"}


def _tree_of_readme() -> list[str]:
    """Paths in the annotated tree: folders end in a slash, modules have neither slash nor suffix."""
    block = (ROOT / "README.md").read_text().split("## Layout")[1].split("```")[1]
    paths, folders = [], [""]  # the folder of each level
    for line in block.strip("\n").splitlines():
        level = (len(line) - len(line.lstrip())) // 2
        names = re.split(r",? ", re.split(r"\s{2,}", line.strip())[0])
        listed = [folders[level] + name for name in names]
        paths.extend(listed)
        folders[level + 1 :] = listed[:1]
    return paths


def _exists(path: str) -> bool:
    return (ROOT / path).is_dir() if path.endswith("/") else (ROOT / f"{path}.py").is_file()


def _is_program(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    if path.is_dir():
        return (path / "__main__.py").is_file()
    return 'if __name__ == "__main__":' in path.with_suffix(".py").read_text()


def _target_exists(document: Path, link: str) -> bool:
    name, _, heading = link.partition("#")
    target = document.parent / name if name else document
    return target.exists() and (not heading or heading in _headings(target))


def _headings(document: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub forms them."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _normalised(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()
