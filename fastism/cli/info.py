"""`fastism info`: what is installed, or what a file holds.

Requirements: typer; h5py for files; the framework of a model.
"""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path
from typing import Annotated, Any

import typer

from fastism import __version__
from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, Failure, stage
from fastism.cli.opened import ModelOptions, installed, open_model
from fastism.cli.plot_kinds import Kind, array_kind_of
from fastism.cli.silence import without_logs
from fastism.loading.devices import gpu_count
from fastism.loading.model_files import FRAMEWORKS, weights_of

PACKAGES = ("numpy", "keras", *FRAMEWORKS, "h5py", "zarr", "pyfaidx", "pybigwig", "matplotlib")
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def info(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]", help="A file of scores, of pairs or of a scan; or a model."
        ),
    ] = None,
    seqlen: o.Seqlen = None,
    input_shape: o.InputShape = None,
    channels_last: o.ChannelsLast = False,
    unsafe: o.Unsafe = False,
) -> None:
    """Show versions and processors; or of a file what it holds, and whether it is complete."""
    if file is None:
        shown = _system()
    elif ":" not in file and not Path(file).exists():
        raise Failure(Exit.INPUT, f"There is no file {file}. Expected scores or a model.")
    elif _is_result(Path(file)):
        shown = _result(Path(file))
    else:
        shown = _model(file, ModelOptions(unsafe, seqlen, input_shape, channels_last))
    width = max(map(len, shown))
    for name, value in shown.items():
        typer.echo(f"{name:{width}}  {value}")


def _system() -> dict[str, Any]:
    shown: dict[str, Any] = {"fastism-suite": __version__, "python": platform.python_version()}
    shown.update({name: installed(name) or "not installed" for name in PACKAGES})
    with without_logs():
        for name in FRAMEWORKS:
            if importlib.util.find_spec(name) is not None:
                count = gpu_count(name)
                shown[f"{name} runs on"] = f"{count} GPU{'s' * (count > 1)}" if count else "CPU"
        if "torch runs on" in shown:
            from fastism.backends.compiled import kernel_in_use

            shown["compiled kernel"] = kernel_in_use()
    return shown


def _is_result(path: Path) -> bool:
    """Whether a path is to be read as what a command made rather than as a model."""
    if path.is_dir():
        return not (path / "saved_model.pb").exists()
    if not path.is_file() or path.suffix in (".keras", ".py"):
        return False
    with stage(Exit.INPUT), path.open("rb") as handle:
        if handle.read(len(HDF5_MAGIC)) != HDF5_MAGIC:
            return True
        import h5py

        with h5py.File(path, "r") as opened:
            return "model_config" not in opened.attrs


def _result(path: Path) -> dict[str, Any]:
    kinds = {Kind.PAIRS: _pairs, Kind.SCAN: _scan}
    return kinds.get(array_kind_of(path), _scores)(path)


def _pairs(path: Path) -> dict[str, Any]:
    from fastism.store.pair_files import PairFile

    with stage(Exit.INPUT), PairFile(path) as file:
        header, done = file.header, dict(zip(file.names, file.done, strict=True))
        skipped = {name for name, _ in file.skipped}
    whole = all(count == header.rows or name in skipped for name, count in done.items())
    shown: dict[str, Any] = {
        "pairs": f"{len(done) - len(skipped)} sequences, {len(skipped)} skipped",
        "state": "complete" if whole else "not complete: --resume goes on",
        "sequences": f"{header.length} positions of {header.alphabet}",
        "changed": "positions {}:{}".format(*header.positions),
        "content": header.content,
    }
    for number, output in enumerate(header.outputs):
        shown[f"output {number}"] = f"{output.name} {output.shape}"
    return shown | _made_from(header)


def _scan(path: Path) -> dict[str, Any]:
    from fastism.batch.scan_reader import ScanFile

    with stage(Exit.INPUT), ScanFile(path) as file:
        shown: dict[str, Any] = {"scan": f"{len(file.names)} sequences"}
        if file.names:
            where = int(file.positions[0]), int(file.positions[-1]) + 1
            shown |= {
                "sequences": f"{file.length(0)} positions",
                "changes": ", ".join(file.changes),
                "changed": "positions {}:{}".format(*where),
            }
        for number, output in enumerate(file.outputs):
            shown[f"output {number}"] = f"{output.name} {output.shape}"
        about = dict(file.about)
    for name in ("model", "input"):
        # Files of early versions do not name their input.
        if name in about:
            shown[name] = f"{about.pop(name)} (sha256 {about.pop(f'{name}_hash')})"
    return shown | {name.replace("_", " "): value for name, value in about.items()}


def _made_from(header: Any) -> dict[str, str]:
    """What every header of this program says of model, input and command."""
    return {
        "model": f"{header.model} (sha256 {header.model_hash})",
        "input": f"{header.input} (sha256 {header.input_hash})",
        "command": header.command,
        "versions": ", ".join(f"{name} {value}" for name, value in header.versions.items()),
    }


def _scores(path: Path) -> dict[str, Any]:
    from fastism.store.reader import Store

    with stage(Exit.INPUT), Store(path, allow_incomplete=True) as store:
        header = store.header
        state = "complete" if store.complete else "not complete: --resume goes on"
        shown: dict[str, Any] = {
            "scores": f"{len(store)} sequences, {len(store.skipped)} skipped",
            "state": f"{state} ({store.consumed} of {header.expected} records)",
            "sequences": f"{header.length} positions of {header.alphabet}",
            "scored": "positions {}:{}".format(*header.positions),
            "content": f"{header.content} as {header.dtype}",
        }
    for number, output in enumerate(header.outputs):
        labels = ",".join(output.labels)
        labels = labels if len(labels) <= 60 else labels[:57] + "..."
        shown[f"output {number}"] = f"{output.name} {output.shape}, entries {labels or 'none'}"
    if header.shard != (1, 1):
        shown["shard"] = "{} of {}".format(*header.shard)
    return shown | _made_from(header) | {"batch": str(header.batch)}


def _model(spec: str, options: ModelOptions) -> dict[str, Any]:
    opened = open_model(spec, options, check=False)
    ism = opened.ism
    shape = (
        (ism.num_chars, ism.seqlen)
        if ism.axes[1] == "character"
        else (
            ism.seqlen,
            ism.num_chars,
        )
    )
    shown: dict[str, Any] = {
        "model": f"{opened.loaded.name} (sha256 {opened.loaded.hash})",
        "framework": opened.loaded.framework,
        "input": f"{shape}, without the batch axis",
    }
    with stage(Exit.MODEL):
        shapes = ism.output_shapes
        plan = ism.plan
    for number, (name, each) in enumerate(zip(opened.output_names, shapes, strict=True)):
        shown[f"output {number}"] = f"{name} {each}"
    shown["weights"] = f"{sum(values.size for _, values in weights_of(opened.loaded.model)):,}"
    shown["opaque"] = ", ".join(plan.opaque) or "nothing"
    shown["speedup"] = (
        f"cannot be known: {', '.join(plan.uncounted)} cannot be counted"
        if plan.uncounted
        else f"{plan.speedup:.1f} times fewer multiply-adds than naive ISM"
    )
    if plan.naive:
        shown["speedup"] += f"; below {plan.least:g}, so that it runs the naive way"
    return shown
