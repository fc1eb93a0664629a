"""The shape of the package: who imports whom, what is loaded when, what is public and documented, how long it is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import safebasin

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "safebasin"
MODULES = sorted(path for path in SRC.rglob("*.py"))
NAMES = {
    path: ".".join(path.relative_to(SRC.parent).with_suffix("").parts).removesuffix(".__init__") for path in MODULES
}

HEAVY = ("torch", "transformers", "peft", "trl", "datasets", "ray", "matplotlib", "plotly", "scipy", "pyarrow")
"""What takes long to import, and must wait until it is used."""

FREE_OF_TORCH = ("records", "protocols", "errors", "stats", "catalog", "study", "store", "landscape", "report", "cli",
                 "api", "claims", "audit", "testing", "worlds", "judges", "prompts", "models.loading",
                 "models.spreading")  # fmt: skip
"""Modules and packages that never import these at module level (design §2)."""
BANNED_THERE = ("torch", "transformers", "peft", "trl", "ray", "matplotlib", "plotly", "datasets")

MAX_LINES, MAX_FUNCTION = 350, 60
LONG_MODULES: dict[str, int] = {}
"""Longer than a module should be. This list may only shrink, and so may its numbers."""
LONG_FUNCTIONS: dict[str, int] = {}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# --- layers ----------------------------------------------------------------------------------------------------------


def lint_imports(config: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(sys.argv[1], no_logo=True,"
    return subprocess.run(
        [sys.executable, "-c", f"{program} no_cache=True))", str(config)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_layers() -> None:
    done = lint_imports(ROOT / "pyproject.toml", ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_every_module_is_in_a_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {name.strip() for layer in contracts[0]["layers"] for name in layer.split("|")}
    top = {f"safebasin.{path.stem if path.is_file() else path.name}" for path in SRC.iterdir() if is_code(path)}
    assert top - layers == {"safebasin.__init__", "safebasin.__main__"}


def is_code(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()


def test_the_layer_check_can_fail(tmp_path: Path) -> None:
    package = tmp_path / "layered"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "low.py").write_text("import layered.high\n")
    (package / "high.py").touch()
    config = tmp_path / "pyproject.toml"
    config.write_text(
        '[tool.importlinter]\nroot_package = "layered"\n[[tool.importlinter.contracts]]\n'
        'name = "layers"\ntype = "layers"\nlayers = ["layered.high", "layered.low"]\n'
    )
    done = lint_imports(config, tmp_path)
    assert done.returncode == 1
    assert "layered.low -> layered.high" in done.stdout


def imports_of(path: Path) -> set[str]:
    """The modules of ours that a module imports anywhere, for types too; a name that is a module counts as one."""
    known = set(NAMES.values())
    found = set[str]()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & known) or {node.module} & known
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known
    return found


def circles(arrows: dict[str, set[str]]) -> set[str]:
    """What can be reached from itself."""
    left = dict(arrows)
    while ends := {name for name, to in left.items() if not to & left.keys()}:
        left = {name: to for name, to in left.items() if name not in ends}
    while starts := left.keys() - set().union(*left.values()):
        left = {name: to for name, to in left.items() if name not in starts}
    return set(left)


def test_no_files_import_each_other() -> None:
    files = [path for path in MODULES if path.name != "__init__.py"]
    assert circles({NAMES[path]: imports_of(path) for path in files}) == set()


def test_the_check_for_circles_can_fail() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"b", "c"}


# --- what is loaded when ---------------------------------------------------------------------------------------------


def loaded_by(statement: str) -> set[str]:
    """The heavy packages in memory after a statement, in a process of its own."""
    program = f"{statement}\nimport sys\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "statement",
    [
        "import safebasin.cli",
        "import safebasin; safebasin.Landscape",
        "import safebasin.testing",
        "from safebasin import catalog; catalog.rows()",
        "import safebasin; safebasin.make_study('world:guild/aligned')",
        "import safebasin.study.plan, safebasin.worlds.guild.world, safebasin.judges.outcome",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_used(statement: str) -> None:
    assert loaded_by(statement) == set()


@pytest.mark.slow
def test_the_check_of_what_is_loaded_can_fail() -> None:
    assert loaded_by("import scipy.stats") == {"scipy"}


def module_level_imports(module: ast.Module) -> Iterator[str]:
    """Top-level packages that are imported when the module is, `if TYPE_CHECKING` left out."""
    waiting: list[ast.AST] = [module]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
        waiting += ast.iter_child_nodes(node)


def is_free_of_torch(name: str) -> bool:
    rest = name.removeprefix("safebasin.")
    return any(rest == m or rest.startswith(f"{m}.") for m in FREE_OF_TORCH)


def test_the_core_never_imports_torch_at_module_level() -> None:
    free = [path for path in MODULES if is_free_of_torch(NAMES[path])]
    assert len(free) > 40, "the rule must reach the core"
    offenders = {NAMES[p]: found for p in free if (found := set(module_level_imports(tree(p))) & set(BANNED_THERE))}
    assert offenders == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import torch.nn", {"torch"}),
        ("from torch import nn", {"torch"}),
        ("try:\n    import torch\nexcept ImportError:\n    pass", {"torch"}),
        ("class A:\n    import torch", {"torch"}),
        ("if TYPE_CHECKING:\n    import torch\nelse:\n    import ray", {"ray"}),
        ("def f():\n    import torch", set()),
        ("if typing.TYPE_CHECKING:\n    import torch", set()),
        ("from . import torch", set()),
    ],
)
def test_module_level_imports_are_seen(source: str, found: set[str]) -> None:
    assert set(module_level_imports(ast.parse(source))) == found


# --- public names ----------------------------------------------------------------------------------------------------


def test_public_names_are_sorted_and_all_there_is() -> None:
    assert list(safebasin.__all__) == sorted(safebasin.__all__)
    for name in safebasin.__all__:
        assert getattr(safebasin, name) is not None
    public = {name for name in imported_names(tree(SRC / "__init__.py")) if not name.startswith("_")}
    assert public - {"TYPE_CHECKING", "import_module"} == set(safebasin.__all__)


def imported_names(module: ast.Module) -> set[str]:
    """Names that a module binds by import, under `if TYPE_CHECKING` too."""
    nodes = (n for n in ast.walk(module) if isinstance(n, (ast.Import, ast.ImportFrom)))
    return {alias.asname or alias.name for node in nodes for alias in node.names}


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'visage_score'"):
        _ = safebasin.visage_score


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__init__.py"], ids=lambda p: NAMES[p])
def test_all_of_a_module_names_what_it_holds(path: Path) -> None:
    module = tree(path)
    listed = next(
        (ast.literal_eval(n.value) for n in module.body if isinstance(n, ast.Assign) and "__all__" in targets(n)), None
    )
    if listed is not None:
        assert set(listed) <= {name for node in module.body for name in targets(node)}


def targets(node: ast.AST) -> list[str]:
    """Names that a statement binds."""
    if isinstance(node, ast.Assign):
        return [t.id for t in node.targets if isinstance(t, ast.Name)]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in node.names]
    return [node.name] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else []


# --- documentation and size ------------------------------------------------------------------------------------------


def undocumented(module: ast.Module) -> list[str]:
    """Public functions, classes and methods without a docstring; methods of a class with bases are documented there."""
    missing = [] if ast.get_docstring(module) else ["the module"]
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            if any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list):
                continue
            missing += [] if ast.get_docstring(node) else [node.name]
            if isinstance(node, ast.ClassDef) and not node.bases:
                missing += [f"{node.name}.{m.name}" for m in methods(node) if not ast.get_docstring(m)]
    return missing


def methods(node: ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for item in node.body:
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and not item.name.startswith("_"):
            yield item


@pytest.mark.parametrize("path", MODULES, ids=lambda p: NAMES[p])
def test_what_is_public_is_documented(path: Path) -> None:
    assert undocumented(tree(path)) == []


def test_the_check_of_docstrings_can_fail() -> None:
    source = (
        "class A:\n    def f(self): ...\n    def _g(self): ...\n"
        "def h(): ...\ndef _i(): ...\n@overload\ndef k(): ...\n"
        "class P(Q):\n    'Documented.'\n    def j(self): ..."
    )
    assert undocumented(ast.parse(source)) == ["the module", "A", "A.f", "h"]


NOUN_CLAUSE = re.compile(r"(What|How|Whether|Which|Where|Those|Who|When|Why)\b")
"""A docstring begins with a verb, or with the plain name of the thing; a clause says neither."""


def noun_clauses(module: ast.Module) -> list[str]:
    """Public functions, classes and methods whose docstring begins with a clause."""
    found: list[str] = []
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            inside = [(f"{node.name}.", m) for m in methods(node)] if isinstance(node, ast.ClassDef) else []
            found += [
                prefix + one.name
                for prefix, one in [("", node), *inside]
                if NOUN_CLAUSE.match(ast.get_docstring(one) or "")
            ]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: NAMES[p])
def test_docstrings_begin_with_a_verb_or_a_name(path: Path) -> None:
    assert noun_clauses(tree(path)) == []


def test_the_check_of_how_docstrings_begin_can_fail() -> None:
    source = (
        "def f():\n    'What it does.'\n"
        "def g():\n    'Do it.'\n"
        "def _h():\n    'Whether.'\n"
        "class A:\n    'Which one.'\n    def m(self):\n        'How many.'\n    def n(self):\n        'Whatever.'\n"
    )
    assert noun_clauses(ast.parse(source)) == ["f", "A", "A.m"]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function with the length of its docstring and body in lines: a list of options is no logic."""
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
            yield f"{path.relative_to(SRC)}:{node.name}", node.end_lineno - node.body[0].lineno + 1


def test_modules_and_functions_are_short() -> None:
    lines = {str(p.relative_to(SRC)): len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert {m: n for m, n in lines.items() if n > LONG_MODULES.get(m, MAX_LINES)} == {}
    lengths = dict(pair for path in MODULES for pair in functions(path))
    assert {f: n for f, n in lengths.items() if n > LONG_FUNCTIONS.get(f, MAX_FUNCTION)} == {}


def test_the_list_of_what_is_long_only_shrinks() -> None:
    lines = {str(p.relative_to(SRC)): len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert {m for m in LONG_MODULES if lines.get(m, 0) <= MAX_LINES} == set(), "short enough now: take it off the list"
    lengths = dict(pair for path in MODULES for pair in functions(path))
    assert {f for f in LONG_FUNCTIONS if lengths.get(f, 0) <= MAX_FUNCTION} == set()
    assert len(LONG_MODULES) == 0
    assert len(LONG_FUNCTIONS) == 0


def test_the_file_tree_of_the_readme_is_what_is_there() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").partition("src/safebasin/\n")[2].partition("```")[0]
    inside = set(re.findall(r"^  ([a-z_]+)(?:/|\.py)", tree, flags=re.MULTILINE))
    assert inside == {NAMES[path].split(".")[1] for path in MODULES if "." in NAMES[path]} - {"__main__"}
    beside = re.findall(r"^([\w.]+)/? ", tree, flags=re.MULTILINE)
    assert beside
    assert [name for name in beside if not (ROOT / name).exists()] == []


def test_the_files_that_ci_names_are_there() -> None:
    named = re.findall(r"\b(?:tests|docs|studies|bench)/[\w./-]+", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


MAP_LINE = re.compile(r"^ *([a-z][a-z0-9_]*/?)  +\S", re.MULTILINE)
"""A line of the map in the docstring of a folder: a file without `.py` or a folder with `/`, blanks, what it is."""


def map_errors(folder: Path) -> list[str]:
    """What a folder's map leaves out, names twice, or names though it is not there."""
    said = MAP_LINE.findall(ast.get_docstring(tree(folder / "__init__.py")) or "")
    there = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    there |= {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    twice = sorted({name for name in said if said.count(name) > 1})
    return [*sorted(there - set(said)), *sorted(set(said) - there), *twice]


FOLDERS = [path.parent for path in MODULES if path.name == "__init__.py" and path.parent != SRC]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: NAMES[path / "__init__.py"])
def test_every_folder_holds_its_map(folder: Path) -> None:
    assert map_errors(folder) == []


def test_the_check_of_maps_can_fail(tmp_path: Path) -> None:
    (tmp_path / "there.py").touch()
    (tmp_path / "new.py").touch()
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "__init__.py").touch()
    lines = "    there  a file\n    gone   another\n    there  again\n"
    (tmp_path / "__init__.py").write_text(f'"""Some files.\n\n{lines}"""\n')
    assert map_errors(tmp_path) == ["inside/", "new", "gone", "there"]


def test_every_page_is_in_the_navigation() -> None:
    pages = re.findall(r"^  - .+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(pages) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_no_module_is_called_utils() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    assert [NAMES[p] for p in MODULES if set(p.relative_to(SRC).with_suffix("").parts) & vague] == []


def test_every_exception_is_drawn_under_its_parent() -> None:
    from safebasin import errors

    drawn: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        branch = re.match(r"([ │]*)(?:[├└]── )(\w+)", line)
        if branch:
            drawn.append((len(branch[1]), branch[2]))
    classes = {n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, errors.SafebasinError)}
    assert {name for _, name in drawn} == set(classes) - {"SafebasinError"}
    for i, (depth, name) in enumerate(drawn):
        parent = next((n for d, n in reversed(drawn[:i]) if d < depth), "SafebasinError")
        assert classes[name].__bases__[0].__name__ == parent


def test_no_exception_is_swallowed() -> None:
    """No bare `except:`, and no `except Exception: pass`."""
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{NAMES[path]}:{node.lineno}"
                broad = ast.unparse(node.type) in ("Exception", "BaseException")
                assert not (broad and all(isinstance(s, ast.Pass) for s in node.body)), f"{NAMES[path]}:{node.lineno}"
