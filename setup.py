"""Build of the compiled core and of the generated protobuf modules.

TIDEGATE_CHECKED=1 builds with bounds checks and assertions on, and stops the process at a signed overflow or
other undefined behaviour of the C code; the default build folds all of it away.
TIDEGATE_LINK_ONLY=1 leaves the extensions out: for installing the package over a tree that was built in place.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
CHECKED = os.environ.get("TIDEGATE_CHECKED") == "1"
LINK_ONLY = os.environ.get("TIDEGATE_LINK_ONLY") == "1"
HTTP2_MODULES = ("ext.http2", "ext.grpc_headers", "ext.grpc_transport", "ext.slices", "loadtest.grpc_client",
                 "loadtest.grpc_pump")
LIBRARIES = {name: ["nghttp2"] for name in HTTP2_MODULES}
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": CHECKED,
    "wraparound": False,
    "initializedcheck": CHECKED,
    "cdivision": True,
    "embedsignature": True,
}
COMPILE_ARGS = ["-O2", "-g1", "-msse4.2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-unused-function",
                "-Wno-missing-field-initializers", "-Wno-cast-function-type", "-Wno-sign-compare"]
# Overflow is the C compiler's to find: Cython's own check stumbles over enum values that are expressions, and takes the
# wrapping of unsigned hashes for an error. Unaligned loads are meant (wire formats), and harmless where this runs.
SANITIZE = ["-fno-wrapv", "-fsanitize=undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=all"]
CHECKS = SANITIZE if CHECKED else []
MACROS = [("TIDEGATE_CHECKED", "1" if CHECKED else "0"), ("CYTHON_WITHOUT_ASSERTIONS", None)][: 1 if CHECKED else 2]


def extensions() -> list[Extension]:
    sources = sorted(ROOT.glob("ext/*.pyx")) + sorted(ROOT.glob("loadtest/*.pyx")) + sorted(ROOT.glob("tests/**/*.pyx"))
    names = {source: ".".join(source.relative_to(ROOT).with_suffix("").parts) for source in sources}
    return [
        Extension(name, [str(source.relative_to(ROOT))], libraries=LIBRARIES.get(name, []),
                  extra_compile_args=COMPILE_ARGS + CHECKS, extra_link_args=CHECKS, define_macros=MACROS)
        for source, name in names.items()
    ]


def generate_protobuf() -> None:
    """proto/**/*.proto -> gateway/pb/**, only where a source is newer than its module."""
    from grpc_tools import protoc

    target = ROOT / "gateway" / "pb"
    target.mkdir(exist_ok=True)
    (target / "__init__.py").write_text('"""Generated from proto/ by the build; never edited, never committed."""\n')
    for source in sorted((ROOT / "proto").rglob("*.proto")):
        flat = target / f"{source.stem}_pb2.py"
        if flat.exists() and flat.stat().st_mtime >= source.stat().st_mtime:
            continue
        arguments = ["protoc", f"-I{source.parent}", f"--python_out={target}", f"--pyi_out={target}",
                     f"--grpc_python_out={target}", str(source)]
        if protoc.main(arguments) != 0:
            raise SystemExit(f"protoc failed on {source}")
        stub = target / f"{source.stem}_pb2_grpc.py"
        module = f"{source.stem}_pb2"
        stub.write_text(stub.read_text().replace(f"import {module}", f"from gateway.pb import {module}"))


class Build(build_ext):
    def run(self) -> None:
        generate_protobuf()
        super().run()


def compiled() -> list[Extension]:
    return cythonize(extensions(), compiler_directives=DIRECTIVES, nthreads=os.cpu_count() or 1)


setup(ext_modules=[] if LINK_ONLY else compiled(), cmdclass={"build_ext": Build})
