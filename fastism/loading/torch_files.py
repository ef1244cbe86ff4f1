"""What a file that PyTorch saved holds, told without running anything of it.

Requirements: none. PyTorch saves zip archives; those before 1.6 are not, and held weights mostly.
"""

from __future__ import annotations

import pickletools
import zipfile
from itertools import islice
from pathlib import Path

#: Suffixes of files that PyTorch saves.
TORCH_SUFFIXES = (".pt", ".pth", ".pt2", ".ckpt", ".bin", ".safetensors")
#: How pickles of weights begin.
OF_WEIGHTS = ("collections OrderedDict", "torch._utils ")
#: What only archives of exported programs hold, of PyTorch now and before 2.7.
OF_PROGRAMS = {"models/model.json", "serialized_exported_program.json"}
WEIGHTS = (
    "holds weights without the code of the module: write a function that builds the module and "
    "loads them (load_state_dict), and give file.py:function"
)
SCRIPT = (
    "holds a module of TorchScript: write a function that returns torch.jit.load({name!r}), and "
    "give file.py:function. Such a module runs in full, so that the module that it was made from "
    "is better"
)
PROGRAM = (
    "holds a program of torch.export: write a function that returns "
    "torch.export.load({name!r}).module(), and give file.py:function. It must have been exported "
    "with an open batch axis, dynamic_shapes={{'x': {{0: torch.export.Dim.AUTO}}}} for an input x"
)
PICKLED = (
    "holds a whole module as a pickle, of the class {kind}, and reading it runs code: write a "
    "function that returns torch.load({name!r}, weights_only=False), in a file that can import "
    "that class, and give file.py:function"
)


def told(path: Path) -> str:
    """What kind of file it is, and what to do with it, as the end of a sentence.

    Parameters
    ----------
    path : Path
        A file with one of `TORCH_SUFFIXES`.
    """
    name = path.as_posix()
    try:
        with zipfile.ZipFile(path) as archive:
            # Everything is in a folder with the name of the archive, but for old programs.
            files = {each.partition("/")[2] or each: each for each in archive.namelist()}
            if not files.keys().isdisjoint(OF_PROGRAMS):
                return PROGRAM.format(name=name)
            if "constants.pkl" in files:
                return SCRIPT.format(name=name)
            kind = _pickled(archive.read(files["data.pkl"]))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        kind = ""
    return PICKLED.format(name=name, kind=kind) if kind else WEIGHTS


def _pickled(data: bytes) -> str:
    """The class of the object that a pickle holds; empty for tensors and dictionaries of them."""
    first = next(islice(pickletools.genops(data), 1, None), None)
    if first is None or first[0].name != "GLOBAL" or first[1].startswith(OF_WEIGHTS):
        return ""
    return first[1].replace(" ", ".")
