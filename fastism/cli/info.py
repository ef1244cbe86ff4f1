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
from fastism.cli.silence import without_logs
from fastism.loading.devices import gpu_count
from fastism.loading.model_files import FRAMEWORKS, weights_of

PACKAGES = ("numpy", "keras", *FRAMEWORKS, "h5py", "zarr", "pyfaidx", "pybigwig", "matplotlib")
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def info(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="A file of scores, or a model.")
    ] = None,
    seqlen: o.Seqlen = None,
    input_shape: o.InputShape = None,
    unsafe: o.Unsafe = False,
) -> None:
    """Show versions and processors; or of a file what it holds, and whether it is complete."""
    if file is None:
        shown = _system()
    elif ":" not in file and not Path(file).exists():
        raise Failure(Exit.INPUT, f"There is no file {file}. Expected scores or a model.")
    elif _is_scores(Path(file)):
        shown = _scores(Path(file))
    else:
        shown = _model(file, ModelOptions(unsafe, seqlen, input_shape))
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


def _is_scores(path: Path) -> bool:
    """Whether a path is to be read as scores rather than as a model."""
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
    shown |= {
        "model": f"{header.model} (sha256 {header.model_hash})",
        "input": f"{header.input} (sha256 {header.input_hash})",
        "batch": header.batch,
        "command": header.command,
        "versions": ", ".join(f"{name} {value}" for name, value in header.versions.items()),
    }
    return shown


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
