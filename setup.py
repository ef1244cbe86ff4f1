"""The compiled kernels, once per instruction set; everything else is in pyproject.toml.

It is optional: where there is no compiler, or it does not know the instructions or OpenMP, the
package installs without it (see fastism/backends/compiled.py).
"""

from setuptools import Extension, setup

HERE = "fastism/backends"
NAMES = ("overlap_add", "narrow_overlap_add", "joint_overlap_add", "toom_cook")
HEADERS = ("vectors", "epilogues", "tiles")
SOURCES = [f"{HERE}/{name}.cpp" for name in NAMES]
#: Flags, numbers in a register, and rows of a tile: as many as leave room for two registers.
INSTRUCTION_SETS = {
    "avx512": (["-mavx512f", "-mfma"], 16, 12),
    "avx2": (["-mavx2", "-mfma"], 8, 6),
}

setup(
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
    ]
)
