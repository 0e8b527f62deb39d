"""Style as tests: lint, types, who may import whom, sizes, names, comments, and what the core must not contain."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "risk_rules", "loadtest", "ext")
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 500
# What is longer today, and how long at most. It only shrinks: an entry that is no longer needed fails.
LONGER_FUNCTIONS: dict[str, int] = {}
LONGER_FILES: dict[str, int] = {}

MAY_IMPORT = {
    "gateway": ("gateway", "risk_rules", "ext"),
    "risk_rules": ("risk_rules", "ext"),
    "loadtest": ("loadtest", "gateway.pb", "ext"),
    "ext": ("ext",),
}
OURS = (*PACKAGES, "tests")
BANNED_WORDS = {"process", "handle", "manager", "util", "utils", "data", "info", "do"}
# asyncio's callback and its argument; messages of the exchanges.
GIVEN_NAMES = {"data_received", "data", "SSE_EXEC_RPT_INFO", "SZSE_PLATFORM_INFO"}
NO_SUCH_IMPORT_IN_EXT = {"time", "random", "logging", "structlog", "socket", "asyncio", "datetime", "secrets"}
# They meet clock and loop.
EDGE_MODULES = {f"ext/{name}.pyx" for name in ("clock", "grpc_transport", "http2", "rpc", "slices")}
CYTHON_FUNCTION = re.compile(
    r"(\s*)(?:async\s+)?(?:def|cdef|cpdef)\b(?!\s+(?:class|enum|struct|extern|packed|union))[^=]*?(\w+)\(")
UNFINISHED = re.compile(
    r"#\s*(?:TODO|FIXME|XXX|HACK)|^\s*#\s*(?:c?p?def \w|return \w+$|\w+ = .*\)$|c?import \w+$|\w+\([^ ]*\)$)", re.M)
# Spelled in parts, so that this file passes its own test.
NOT_IN_FILES = ["/" + "work/", "/" + "root/", "/" + "home/", "pypi" + ".org", "python" + "hosted", "npm" + "js."]


def files(*suffixes: str, of: tuple[str, ...] = PACKAGES) -> list[Path]:
    """Our own source files, generated ones left out."""
    found = [path for name in of for path in sorted((ROOT / name).rglob("*")) if path.suffix in suffixes]
    return [path for path in found if "pb" not in path.parts and "node_modules" not in path.parts]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[Path]:
    """Every file of the repository; outside of one, every source file."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        return files(".py", ".pyx", ".pxd", ".yaml", ".md", of=(*OURS, "docs"))
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def run_tool(*arguments: str) -> str:
    """What a checker said, empty when it found nothing."""
    ran = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def code_of(path: Path) -> str:
    """A Cython source without its strings and comments, lines kept."""
    text = re.sub(r'"""(?:.|\n)*?"""', lambda match: '""' + "\n" * match.group().count("\n"), path.read_text())
    return re.sub(r"#.*", "", re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', '""', text))


# --- tools ---


def test_ruff_finds_nothing():
    assert run_tool("ruff", "check", ".") == ""


def test_no_commented_out_code_and_nothing_left_to_fix():
    assert run_tool("ruff", "check", "--select", "ERA,FIX", "--ignore-noqa", *PACKAGES, "tests") == ""


def test_no_print_in_the_gateway():
    assert run_tool("ruff", "check", "--select", "T20", "--ignore-noqa", "gateway", "risk_rules", "ext") == ""


def test_mypy_strict_finds_nothing():
    assert run_tool("mypy", "gateway", "risk_rules") == ""


def test_shell_scripts_parse():
    for script in (".ci/bootstrap", ".ci/run"):
        assert subprocess.run(["bash", "-n", script], cwd=ROOT).returncode == 0


# --- who imports whom ---


def imports_of(path: Path) -> Iterator[str]:
    """Absolute names of the modules a file imports or cimports."""
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        return
    for match in re.finditer(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(\w+)|c?import\s+([\w.]+))", code_of(path), re.M):
        yield match[3] or f"{match[1]}.{match[2]}"


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def test_import_directions():
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in files(".py", ".pyx", ".pxd")
        for module in imports_of(path)
        if is_in(module, OURS) and not is_in(module, MAY_IMPORT[path.relative_to(ROOT).parts[0]])
    ]
    assert wrong == []


def test_the_core_reads_no_clock_and_logs_nothing():
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in files(".pyx", ".pxd", of=("ext",))
        for module in imports_of(path)
        if name_of(path) not in EDGE_MODULES and module.split(".")[0] in NO_SUCH_IMPORT_IN_EXT
    ]
    assert wrong == []


# --- sizes ---


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of every function of a file."""
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1
        return
    lines = code_of(path).splitlines()
    for at, line in enumerate(lines):
        if head := CYTHON_FUNCTION.match(line):
            yield head[2], cython_length(lines[at:], len(head[1]))


def cython_length(lines: list[str], indent: int) -> int:
    """Lines of the function at the top: up to its last line that is indented deeper, the signature's own included."""
    depth = length = 0
    for at, line in enumerate(lines):
        inside_signature = depth > 0
        depth += line.count("(") - line.count(")")
        if at and line.strip() and not inside_signature and len(line) - len(line.lstrip()) <= indent:
            break
        length = at + 1 if line.strip() else length
    return length


def ratchet(found: dict[str, int], limit: int, longer: dict[str, int]) -> list[str]:
    """Names over the limit (or over their own entry), and entries that are needed no more."""
    over = [f"{name} has {lines} lines" for name, lines in found.items() if lines > longer.get(name, limit)]
    stale = [f"{name} fits now: remove its entry" for name in longer if found.get(name, 0) <= limit]
    return over + stale


def test_functions_fit_a_screen():
    sources = files(".py", ".pyx", of=OURS)
    found = {f"{name_of(path)}:{name}": lines for path in sources for name, lines in functions_of(path)}
    assert ratchet(found, MAX_FUNCTION_LINES, LONGER_FUNCTIONS) == []


def test_files_are_short():
    found = {name_of(path): len(path.read_text().splitlines()) for path in files(".py", ".pyx", ".pxd", of=OURS)}
    assert ratchet(found, MAX_FILE_LINES, LONGER_FILES) == []


# --- names and words ---


def names_of(path: Path) -> Iterator[str]:
    """The names a file defines: of itself, classes, functions, arguments, variables."""
    yield path.stem
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.arg):
                yield node.arg
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
        return
    code = code_of(path)
    yield from re.findall(r"^\s*(?:cdef\s+|cpdef\s+)?(?:class|struct|enum)\s+(\w+)", code, re.M)
    yield from re.findall(r"^\s*(?:def|cdef|cpdef)\b[^(\n=]*?(\w+)\(", code, re.M)


def words_of(name: str) -> set[str]:
    """The words of a name; "market data" is one term of the field."""
    name = name.replace("market_data", "quotes").replace("MarketData", "Quotes")
    return {word.lower() for part in name.split("_") for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", part)}


def test_no_empty_words_in_names():
    wrong = sorted({
        f"{name_of(path)}: {name}"
        for path in files(".py", ".pyx", ".pxd")
        for name in names_of(path)
        if name not in GIVEN_NAMES and words_of(name) & BANNED_WORDS
    })
    assert wrong == []


def test_no_unfinished_work_in_the_core():
    wrong = [f"{name_of(path)}: {match.group().strip()}" for path in files(".pyx", ".pxd")
             for match in UNFINISHED.finditer(path.read_text())]
    assert wrong == []


def test_every_module_says_what_it_is():
    wrong = [name_of(path) for path in files(".py", of=OURS) if not ast.get_docstring(ast.parse(path.read_text()))]
    wrong += [name_of(path) for path in files(".pyx") if not re.match(r'(?:#.*\n)*"""', path.read_text())]
    wrong += [name_of(path) for path in files(".pxd") if not re.match(r'#|"""', path.read_text())]
    assert wrong == []


def test_the_core_has_no_floats():
    pattern = re.compile(r"\b(?:float|double)\b|(?<![\w.])\d+\.\d+|\b\d+e-?\d+\b")
    wrong = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in files(".pyx", ".pxd", of=("ext",))
        if name_of(path) not in EDGE_MODULES
        for number, line in enumerate(code_of(path).splitlines(), 1)
        if pattern.search(line)
    ]
    assert wrong == []


def test_no_paths_of_a_machine_and_no_registry_in_files():
    wrong = [
        f"{name_of(path)}: {word}"
        for path in tracked()
        if path.stat().st_size < 5_000_000
        for word in NOT_IN_FILES
        if word in path.read_text(errors="replace")
    ]
    assert wrong == []


# --- tests that can fail ---


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def called_in(function: ast.AST) -> set[str]:
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}


def test_every_test_can_fail():
    """Each test asserts or raises, itself or through a helper of the tests that does."""
    sources = {path: list(functions(path)) for path in files(".py", of=("tests",))}
    everything = [function for found in sources.values() for function in found]
    strict = {"raises", "fail", "warns", "run_state_machine_as_test"}
    strict |= {function.name for function in everything
               if any(isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(function))}
    for _ in range(3):  # helpers of helpers
        strict |= {function.name for function in everything if called_in(function) & strict}
    wrong = [f"{name_of(path)}: {function.name}" for path, found in sources.items() for function in found
             if function.name.startswith("test_") and function.name not in strict]
    assert wrong == []
