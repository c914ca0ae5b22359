"""The local files that an export is copied from: the bundle's, parts that it lacks, written ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from core.errors import AnimaticError
from core.files import sha256
from models import PRIOR_WEIGHTS
from models.bundle import SIGNATURE, Bundle
from models.file_kind import PICKLE, file_kind
from orchestration.export.contents import CONTENTS, Subject, Written
from orchestration.export.formats import FORMATS
from orchestration.export.records import BUNDLE, ExportedFile, Part

PARTS = "parts"
_DESCRIPTION, _WEIGHTS = "config.json", "diffusion_pytorch_model"


class Sources:
    """Files of an export, by their names in it; formats and documents are written when they are asked for.

    The digests of the bundle's files are those that it was verified against when it was opened.
    """

    def __init__(self, subject: Subject, staging: Path, on_progress: Callable[[str], None]) -> None:
        """Write nothing yet.

        Args:
            staging: an empty folder for what is written.

        Raises:
            AnimaticError: a part that must be exported with the bundle is no safetensors file.
        """
        self._subject, self._staging, self._on_progress = subject, staging, on_progress
        self._parts = _part_files(subject)

    def parts(self) -> dict[Part, str]:
        """The exported file or folder of each part that the bundle lacks."""
        return {part: name for part, (name, _) in self._parts.items()}

    def copied(self) -> dict[str, ExportedFile]:
        """The files that are copied as they are: of the bundle, and of parts that it lacks."""
        bundle = self._subject.bundle
        digests, signature = bundle.digests, bundle.folder / SIGNATURE
        if signature.is_file():
            digests[SIGNATURE] = sha256(signature)
        files = {f"{BUNDLE}/{name}": _file(bundle.folder / name, digest) for name, digest in digests.items()}
        for _, paths in self._parts.values():
            files |= {name: _file(path, sha256(path)) for name, path in paths.items()}
        return files

    def written(self, copied: Mapping[str, ExportedFile]) -> dict[str, ExportedFile]:
        """Write every format and document, and describe their files; ``copied``: all others."""
        for name in self._subject.formats:
            self._write_format(name)
        paths = sorted(path for path in self._staging.rglob("*") if path.is_file())
        files = {path.relative_to(self._staging).as_posix(): _file(path, sha256(path)) for path in paths}
        for content in CONTENTS:
            self._on_progress(f"writing {content.name}")
            content.write(self._subject, Written(self._staging, {**copied, **files}, self.parts()))
            path = self._staging / content.name
            if path.is_file():
                files[content.name] = _file(path, sha256(path))
        return files

    def path(self, name: str) -> Path:
        """The local file; that of a format is written first if it was not."""
        top, _, rest = name.partition("/")
        if top == BUNDLE:
            return self._subject.bundle.folder / rest
        if top == PARTS:
            return {name: path for _, paths in self._parts.values() for name, path in paths.items()}[name]
        self._write_format(top)
        return self._staging / name

    def _write_format(self, name: str) -> None:
        folder = self._staging / name
        if name in FORMATS and not folder.exists():
            self._on_progress(f"writing {name}")
            FORMATS[name].write(self._subject, folder)


def is_document(name: str) -> bool:
    """Whether a file of an export was written by one of the contents; only the first run can write it."""
    return name.partition("/")[0] not in (BUNDLE, PARTS, *FORMATS)


def _part_files(subject: Subject) -> dict[Part, tuple[str, dict[str, Path]]]:
    """Part -> its name in the export, and its files by their names there; none that the bundle contains."""
    architecture = subject.bundle.info.architecture
    paths: dict[Part, str | Path | None] = {}
    if architecture.codec.kind != "dct":
        paths["codec"] = subject.codec or architecture.codec.path
    if architecture.codec.kind == "conv" and subject.bundle.complete_architecture().codec.path is None:
        # Another version of this code ships another one, which the network would not understand.
        paths["codec"] = subject.codec or PRIOR_WEIGHTS
    if architecture.encoders.kind == "open_clip":
        paths["encoders"] = subject.encoders or architecture.encoders.path
    found: dict[Part, tuple[str, dict[str, Path]]] = {}
    if subject.bundle.info.adapter is not None:
        base, name = subject.bundle.base, f"{PARTS}/base"
        _check_whole(subject.bundle, base)
        found["base"] = (name, {f"{name}/{file}": base.folder / file for file in base.digests})
    for part, given in paths.items():
        if given is None:
            continue
        path, name = Path(given), f"{PARTS}/{part}"
        if path.is_dir():
            found[part] = (name, {f"{name}/{file.name}": file for file in _of_folder(path)})
        else:
            _check_safetensors(path, part)
            found[part] = (f"{name}.safetensors", {f"{name}.safetensors": path})
    return found


def _check_whole(bundle: Bundle, base: Bundle) -> None:
    if base.info.adapter is not None:
        raise AnimaticError(
            f"the base of bundle {bundle.folder}, {base.folder}, is an adapter too, and exports contain one "
            f"base alone: `animatic merge {bundle.folder}`, and export what results"
        )


def _of_folder(folder: Path) -> list[Path]:
    """What is read of an autoencoder's folder, as diffusers writes it."""
    weights = sorted(folder.glob(f"{_WEIGHTS}*.safetensors"))
    if not weights:
        raise AnimaticError(
            f"{folder} (model.codec.path) contains no {_WEIGHTS}.safetensors, and exports contain no "
            "pickles: save the autoencoder with safetensors, and name it with --codec"
        )
    return [folder / _DESCRIPTION, *weights, *folder.glob(f"{_WEIGHTS}.safetensors.index.json")]


def _check_safetensors(path: Path, part: Part) -> None:
    if file_kind(path) == PICKLE:
        raise AnimaticError(
            f"{path} (model.{part}.path) is a pickle, and exports contain none: name the same weights as "
            f"safetensors with --{part}"
        )


def _file(path: Path, digest: str) -> ExportedFile:
    return ExportedFile(sha256=digest, bytes=path.stat().st_size)
