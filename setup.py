"""The compiled kernels, once per instruction set; everything else is in pyproject.toml.

It is optional: where there is no compiler, or it does not know the instructions or OpenMP, the
package installs without it (see fastism/backends/compiled.py).
"""

from copy import copy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = "fastism/backends"
NAMES = ("overlap_add", "narrow_overlap_add", "joint_overlap_add", "toom_cook")
HEADERS = ("vectors", "epilogues", "tiles")
SOURCES = [f"{HERE}/{name}.cpp" for name in NAMES]
#: Flags, numbers in a register, and rows of a tile: as many as leave room for two registers.
INSTRUCTION_SETS = {
    "avx512": (["-mavx512f", "-mfma"], 16, 12),
    "avx2": (["-mavx2", "-mfma"], 8, 6),
}


class Kernels(build_ext):
    """Compiles for all instruction sets at the same time.

    They share their sources: objects of each go into a folder of their own. In one folder, an
    extension would be linked with those of another.
    """

    def finalize_options(self) -> None:
        """As setuptools has it, in parallel unless told otherwise."""
        super().finalize_options()
        if self.parallel is None:
            self.parallel = True

    def build_extension(self, extension: Extension) -> None:
        """Compile and link one of them."""
        own = copy(self)
        own.build_temp = str(Path(self.build_temp) / extension.name)
        super(Kernels, own).build_extension(extension)


setup(
    cmdclass={"build_ext": Kernels},
    ext_modules=[
        Extension(
            f"fastism.backends._kernels_{name}",
            SOURCES,
            depends=[f"{HERE}/{name}.h" for name in HEADERS],
            language="c++",
            define_macros=[("VECTOR", str(vector)), ("ROWS", str(rows))],
            extra_compile_args=["-std=c++17", "-O3", "-fopenmp", *flags],
            extra_link_args=["-fopenmp"],
            optional=True,
        )
        for name, (flags, vector, rows) in INSTRUCTION_SETS.items()
    ],
)
