"""What is written about the tool is checked by the tool.

Run as a script, this writes the ``$ onnxtop ...`` blocks of the README and of docs anew.
"""

import ast
import contextlib
import doctest
import functools
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.specifiers import SpecifierSet

import onnxtop
from onnxtop._version import HOME
from onnxtop.cli import EXIT_CODES, VERBS, app

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
COMMANDS = ROOT / "docs" / "command-line.md"
FORMATS = ROOT / "docs" / "formats.md"
TOUR = ROOT / "docs" / "python.md"
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS, ROOT / "sample_models" / "README.md"]
MODULES = sorted((ROOT / "onnxtop").rglob("*.py"))
HEAVY = {"numpy", "scipy", "onnx", "onnxruntime", "networkx", "rich", "jinja2", "click"}

CONSOLE = re.compile(r"(?<=^```console\n)\$ onnxtop (?P<arguments>.*)\n(?P<output>(?:(?!```).*\n)*)", re.M)


def shown_page(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project's folder."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )


@functools.cache
def printed(arguments: str) -> str:
    """Return what a command prints in the project's folder, 80 columns wide and without colours."""
    plain = {"COLUMNS": "80", "NO_COLOR": None, "FORCE_COLOR": None, "ONNXTOP_CACHE": "off"}
    with contextlib.chdir(ROOT):
        done = CliRunner().invoke(
            app, arguments.split(), env=plain, prog_name="onnxtop", terminal_width=78
        )  # click leaves two columns free, but not for tests
    assert done.exit_code == 0, done.stderr
    return done.stdout


def rows(page: str, first_header: str, *, code: bool = False) -> list[list[str]]:
    """Return the cells of the Markdown table whose first column has this header; ``code`` keeps backticks."""
    table = page[page.index(f"| {first_header} |") :].split("\n\n")[0]
    lines = table if code else table.replace("`", "")
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines.splitlines()[2:]]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)


# Commands and their output


@pytest.mark.parametrize("page", [README, *DOCS], ids=shown_page)
def test_shown_output_is_the_real_output(page: Path) -> None:
    for block in CONSOLE.finditer(text_of(page)):
        assert block["output"] == printed(block["arguments"]), f"run: python tests/{Path(__file__).name}"


def test_a_report_and_the_help_are_shown() -> None:
    assert "$ onnxtop report --help\n" in text_of(COMMANDS)
    for page in ("reading", "tutorial"):
        assert "$ onnxtop report sample_models/" in text_of(ROOT / "docs" / f"{page}.md")


def test_every_verb_is_shown() -> None:
    for verb in VERBS:
        assert re.search(rf"^(\$ )?onnxtop {verb}\b", text_of(COMMANDS), re.M), verb


def test_readme_has_the_two_commands_that_ci_runs() -> None:
    commands = re.findall(r"^pip install .+ && .+$", text_of(README), re.M)
    assert commands == [
        "pip install . && onnxtop report sample_models/mlp_torch_dynamo.onnx",
        "pip install '.[test]' && pytest",
    ]
    assert all(f"```sh\n{command}\n```" in text_of(README) for command in commands)


INSIDE_A_FRAMEWORK = ROOT / "docs" / "integrations.md"
"""Its examples are run where the framework is: in `tests.integrations`."""


@pytest.mark.parametrize(
    "page",
    [page for page in (README, *DOCS) if "```pycon" in text_of(page) and page != INSIDE_A_FRAMEWORK],
    ids=shown_page,
)
def test_python_examples(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    source = "".join(blocks(text_of(page), "pycon"))
    assert "import onnxtop" in source or "np, onnxtop" in source
    test = doctest.DocTestParser().get_doctest(source, {}, page.name, str(page), 0)
    complaints: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=complaints.append)
    assert not complaints, "".join(complaints)


def test_every_measure_has_an_example_that_is_checked() -> None:
    for name in ("measures", "null-model", "deep-graph-persistence", "loss-barcode"):
        page = text_of(ROOT / "docs" / f"{name}.md")
        example = page[page.index("## A worked example") :].split("\n## ")[0]
        assert blocks(example, "pycon"), name
        assert re.search(r"!\[.+\]\(pictures/.+\.svg\)", example), name
        assert blocks(page, "math"), name
        assert re.search(r"^## Limits$", page, re.M), name
        assert re.search(r"^## Sources?$", page, re.M), name


def _command_lines(page: str) -> Iterator[list[str]]:
    fenced = "".join(blocks(page, "sh") + blocks(page, "console"))
    indented = "\n".join(re.findall(r"^    (.*)$", page, re.M))
    for line in f"{fenced}\n{indented}".splitlines():
        found = re.search(r"\bonnxtop ([a-z].*?)(#|$)", line)
        if found and not line.startswith("Usage"):
            yield found[1].split()


@pytest.mark.parametrize("page", PAGES, ids=shown_page)
def test_commands_in_pages_exist(page: Path) -> None:
    for verb, *arguments in _command_lines(text_of(page)):
        assert verb in VERBS
        known = printed(f"{verb} --help")
        for option in (word for word in arguments if word.startswith("-")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", known), option


def test_options_named_in_readme_and_docs_exist() -> None:
    known = "".join(printed(f"{verb} --help") for verb in VERBS) + printed("--help")
    for page in (README, *DOCS):
        for option in re.findall(r"`(--[a-z-]+)", text_of(page)):
            assert option in known, f"{option} in {page.name}"


# Tables


def test_table_of_exit_codes() -> None:
    told = re.findall(r"^  (\d+) +(.*)$", EXIT_CODES, re.M)
    assert rows(text_of(FORMATS), "exit code") == [list(line) for line in told]
    (order,) = re.findall(r"the first that applies\s+of ([\d, ]+)", EXIT_CODES)
    assert f"the first that applies of {order}" in text_of(FORMATS)


def test_table_of_verdicts() -> None:
    from onnxtop.results.outcome import Outcome

    table = rows(text_of(ROOT / "docs" / "check.md"), "verdict")
    assert [row[0] for row in table] == [each.value for each in Outcome]


def test_table_of_rules() -> None:
    from onnxtop.rules.catalogue import RULES

    page = text_of(ROOT / "docs" / "rules.md")
    for rule in RULES:
        assert f"| `{rule.code}` | {rule.severity} | {rule.name} | {rule.what} |" in page


def test_table_of_operations() -> None:
    from onnxtop.reader.fused import FUSED
    from onnxtop.reader.ops import READ

    for heading, known in (("operation", READ), ("fused operation", FUSED)):
        named = [row[0] for row in rows(text_of(ROOT / "docs" / "reading-onnx.md"), heading)]
        assert sorted(named) == sorted(f"{domain}.{op}" if domain else op for domain, op in known)


def test_table_of_conventions() -> None:
    page = text_of(ROOT / "docs" / "measures.md")
    known = printed("report --help")
    table = rows(page, "option")
    assert {row[0] for row in table} - {""} == {"--convention", "--scale", "--p", "--bias", "--conv"}
    for choices in re.findall(r"--(?:convention|bias|conv) \[([a-z|]+)\]", known):
        for choice in choices.split("|"):
            assert any(choice in row[1].split(", ") for row in table), choice


def test_keys_of_the_configuration() -> None:
    from onnxtop.auditing.options import AuditOptions
    from onnxtop.options import declared
    from onnxtop.rules.policy import KEYS

    page = text_of(ROOT / "docs" / "check.md")
    section = page[page.index("## Configuration") :].split("\n## ")[0]
    (measured,) = re.findall(r"spelled like the flags: (.*?)\. ", section)
    in_file = {each.key for each in declared(AuditOptions).values() if each.option.in_file}
    assert set(re.findall(r"`([a-z-]+)`", measured)) == in_file
    (example,) = blocks(section, "toml")
    assert set(tomllib.loads(example)) == set(KEYS)


def test_operations_named_as_skipped_are_skipped() -> None:
    from onnxtop.reader.ops import READ, REPORTED

    page = text_of(ROOT / "docs" / "reading-onnx.md")
    section = page[page.index("## What is skipped") :].split("\n## ")[0]
    first, *_ = section.split("\n- ")[1:]
    named = set(re.findall(r"`(\w+)`", first))
    assert named <= {op for _, op in REPORTED} - {op for _, op in READ}


def test_picture_of_the_floors() -> None:
    settings = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in contracts if each["type"] == "layers")
    page = text_of(ROOT / "docs" / "architecture.md")
    (picture,) = blocks(page, "floors")
    assert picture.splitlines() == contract["layers"]
    named = {row[0].removesuffix(".py") for row in rows(page, "place")}
    floors = {name for floor in contract["layers"] for name in floor.split(" | ")}
    assert named == floors
    assert all((ROOT / "onnxtop" / name).is_dir() or (ROOT / f"onnxtop/{name}.py").exists() for name in named)


def test_rooms_named_in_the_architecture_exist() -> None:
    for place, what in rows(text_of(ROOT / "docs" / "architecture.md"), "place", code=True):
        folder = ROOT / "onnxtop" / place.strip("`")
        for room in re.findall(r"`(\w+)`", what) if folder.is_dir() else ():
            assert (folder / room).is_dir() or any(folder.rglob(f"{room}.py")), room


# Public names


def test_public_names() -> None:
    assert sorted(onnxtop.__all__) == sorted([*onnxtop._HOME, "__version__"])
    assert dir(onnxtop) == sorted(onnxtop.__all__)
    for name, home in onnxtop._HOME.items():
        value = getattr(onnxtop, name)
        assert value is getattr(importlib.import_module(home), name)
        assert value.__module__ == home
        assert value.__doc__


def test_no_module_hides_a_public_name() -> None:
    """Importing a room or module of a public name would put it in that name's place."""
    assert not {path.stem for path in (ROOT / "onnxtop").iterdir()} & onnxtop._HOME.keys()
    homes = ", ".join(sorted({"onnxtop.cli", "onnxtop.render", *onnxtop._HOME.values()}))
    names = sorted(onnxtop._HOME)
    script = (
        f"import {homes}, types; print([n for n in {names} if type(getattr(onnxtop, n)) is types.ModuleType])"
    )
    done = run("-c", script)
    assert done.stdout == "[]\n", done.stderr


def test_names_for_type_checkers_are_the_public_names() -> None:
    tree = ast.parse(text_of(ROOT / "onnxtop" / "__init__.py"))
    checking = next(node for node in tree.body if isinstance(node, ast.If))
    modules, *imports = (node for node in checking.body if isinstance(node, ast.ImportFrom))
    assert tuple(alias.name for alias in modules.names) == onnxtop._MODULES
    assert {alias.name: node.module for node in imports for alias in node.names} == onnxtop._HOME


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = onnxtop.no_such_name


@pytest.mark.parametrize("page", [README, TOUR], ids=shown_page)
def test_names_used_in_examples_exist(page: Path) -> None:
    entered = re.findall(r"^(?:>>>|\.\.\.) (.*)$", "".join(blocks(text_of(page), "pycon")), re.M)
    for name in re.findall(r"\bonnxtop\.([A-Za-z_]+)\(?", " ".join(entered)):
        assert name in (*onnxtop.__all__, *onnxtop._MODULES), name


def _loaded(*arguments: str) -> set[str]:
    done = run("-X", "importtime", *arguments)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_import_is_light() -> None:
    loaded = _loaded("-c", "import onnxtop")
    assert "onnxtop" in loaded
    assert not loaded & HEAVY


HELP = """
import contextlib, sys
from onnxtop.cli import main
for line in sys.argv[1:]:
    sys.argv[1:] = line.split()
    with contextlib.suppress(SystemExit):
        main()
    print(*sys.modules, file=sys.stderr)
"""
"""Asks for help again and again, and tells each time what is loaded by now."""


def test_help_is_light() -> None:
    assert not _loaded("-m", "onnxtop", "--help") & (HEAVY - {"click"})
    asked = ["--help", "--version", *(f"{verb} --help" for verb in VERBS)]
    done = run("-c", HELP, *asked)
    assert done.returncode == 0, done.stderr
    for line, loaded in zip(asked, done.stderr.splitlines(), strict=True):
        assert "click" in loaded.split()
        assert not set(loaded.split()) & (HEAVY - {"click"}), line


# Modules, pages, versions


@pytest.mark.parametrize("module", MODULES, ids=shown_page)
def test_every_module_says_what_it_is(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(text_of(module)))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":", "::"))


@pytest.mark.parametrize("page", PAGES, ids=shown_page)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text_of(page)):
        path, _, anchor = target.partition("#")
        here = IN_THE_REPOSITORY.sub("", path)
        if not here.startswith(("https://", "http://")):
            file = (page.parent if here == path else ROOT) / here
            assert file.exists() or not here, target
            if anchor and file.suffix == ".md":
                assert anchor in anchors(text_of(file)), target


IN_THE_REPOSITORY = re.compile(rf"^{HOME}/(?:blob|tree|raw)/HEAD/")


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and mkdocs name them."""
    headings = re.findall(r"^#+ (.*)$", page, re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_of_the_readme_work_on_a_package_index() -> None:
    """There are no files beside it there."""
    targets = re.findall(r"\]\(([^)]+)\)", text_of(README))
    assert targets
    assert all(target.startswith("https://") for target in targets)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent != ROOT / "sample_models"], ids=shown_page
)
def test_paths_named_in_pages_exist(page: Path) -> None:
    text = text_of(page).replace(HOME.removeprefix("https://github.com/"), "")
    text = re.sub(r"https://(?!github\.com//)\S+", "", text)  # pages of others
    named = re.findall(r"\b(?:onnxtop|sample_models|tests|docs)/[\w./-]*\w(?![\w/]*[<*])", text)
    for path in named:
        assert (ROOT / path).exists(), path


def test_every_page_of_docs_is_linked() -> None:
    index = ROOT / "docs" / "index.md"
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", text_of(index)))
    assert linked == {page.name for page in DOCS} - {index.name}
    assert f"{HOME}/blob/HEAD/docs/index.md" in text_of(README)


def test_every_page_of_docs_has_a_place_on_the_site() -> None:
    settings = text_of(ROOT / "mkdocs.yml")
    placed = re.findall(r"^ +- .+: ([\w-]+\.md)$", settings[settings.index("\nnav:") :], re.M)
    assert sorted(placed) == [page.name for page in DOCS]


def test_pages_have_no_unfinished_parts() -> None:
    for page in PAGES:
        assert not re.search(r"\b(TODO|FIXME|XXX|TBD|lorem)\b", text_of(page), re.I), page.name


def test_version_is_the_same_everywhere() -> None:
    top = re.search(r"^## \[(.*?)\]", text_of(ROOT / "CHANGELOG.md"), re.M)
    assert top is not None
    assert top[1] == onnxtop.__version__
    assert printed("--version").split()[-1] == onnxtop.__version__
    settings = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    assert settings["tool"]["hatch"]["version"]["path"] == "onnxtop/_version.py"
    for page, line in (("CITATION.cff", r"^version: (.*)$"), ("docs/citing.md", r"^  version = {(.*)},$")):
        assert re.findall(line, text_of(ROOT / page), re.M) == [onnxtop.__version__]


def test_there_is_one_home() -> None:
    settings = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    places = settings["project"]["urls"]
    cited = re.findall(r"^(?:repository-code|url): (.*)$", text_of(ROOT / "CITATION.cff"), re.M)
    assert cited == [HOME, HOME] == [places["Homepage"], places["Source"]]
    assert places["Issues"] == f"{HOME}/issues"
    for page in PAGES:
        for place in re.findall(r"https://github\.com/[\w.-]*onnxtop[\w./-]*", text_of(page)):
            assert place.startswith(HOME), page.name
    for name in ("Documentation", "Changelog"):
        assert (ROOT / re.sub(r"^(tree|blob)/HEAD/", "", places[name].removeprefix(f"{HOME}/"))).exists(), (
            name
        )


def test_every_version_of_python_that_is_told_is_allowed() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    told = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert told == [f"3.{minor}" for minor in range(11, 15)]
    assert project["requires-python"] == f">={told[0]}"


def test_installed_version_is_this_version() -> None:
    """Run from its folder, the package is not installed; in `.ci/run` it is."""
    installed = [found.version for found in importlib.metadata.distributions(name="onnxtop")]
    assert set(installed) <= {onnxtop.__version__}


DISTRIBUTIONS = {"google": "protobuf", "PIL": "pillow"}
"""Where the name one imports is not the name one installs."""

FOR_WORK = ("test", "dev")
"""Extras for working on onnxtop."""

FETCHERS = {"gcsfs", "huggingface_hub", "s3fs"}
"""What fsspec imports for a kind of address."""

INTEGRATIONS = [module for module in MODULES if module.parent.name == "integrations"]
"""Each imports the framework that it is called after, which whoever trains with it has."""


def _imported(modules: Iterable[Path]) -> set[str]:
    trees = (ast.parse(text_of(module)) for module in modules)
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    tops = {name.split(".")[0] for name in names} - {"onnxtop", *sys.stdlib_module_names}
    return {DISTRIBUTIONS.get(name, name) for name in tops}


def test_what_is_imported_is_declared_and_the_reverse() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    base = {re.split(r"[<>=]", item)[0] for item in project["dependencies"]}
    used = [items for extra, items in project["optional-dependencies"].items() if extra not in FOR_WORK]
    extras = {re.split(r"[<>=]", item)[0] for items in used for item in items}
    assert extras >= FETCHERS
    assert _imported(set(MODULES) - set(INTEGRATIONS)) == base | extras - FETCHERS


def test_no_version_that_is_declared_or_installed_has_a_known_flaw() -> None:
    """An audit that asks nobody: see `tests/data/advisories.toml`."""
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    known = tomllib.loads(text_of(ROOT / "tests" / "data" / "advisories.toml"))
    extras = project["optional-dependencies"].values()
    items = [*project["dependencies"], *(item for extra in extras for item in extra)]
    oldest = dict(item.split(">=") for item in items if ">=" in item)
    assert set(known) <= set(oldest)
    for name, affected in known.items():
        installed = [found.version for found in importlib.metadata.distributions(name=name)]
        for version in (oldest[name], *installed):
            assert [flaw for versions, flaw in affected.items() if version in SpecifierSet(versions)] == []


def test_no_question_whether_something_is_there_can_fail() -> None:
    """pathlib's raise where a folder may not be entered or a name is too long; those of os.path say no."""
    asked = {"exists", "is_file", "is_dir", "is_symlink"}
    for module in (each for each in MODULES if any(word in text_of(each) for word in asked)):
        calls = [node for node in ast.walk(ast.parse(text_of(module))) if isinstance(node, ast.Call)]
        names = {each.func.attr for each in calls if isinstance(each.func, ast.Attribute) and not each.args}
        assert not names & asked, module


def test_one_class_name_is_one_class() -> None:
    """Two of one name say two things by one word; what a module keeps to itself may be named as elsewhere."""
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for module in MODULES:
        for node in ast.walk(ast.parse(text_of(module))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(shown_page(module))
    assert {"Report": ["onnxtop/results/report.py"]}.items() <= homes.items()
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


@pytest.mark.parametrize("module", INTEGRATIONS, ids=shown_page)
def test_a_framework_is_imported_in_its_own_module_alone(module: Path) -> None:
    assert _imported([module]) - {"numpy"} <= {module.stem}
    if _imported([module]) - {"numpy"}:
        declared = text_of(ROOT / "tests" / "integrations" / f"requirements-{module.stem}.txt")
        assert re.search(rf"^{module.stem}\b", declared, re.M)


def test_licence_is_the_one_declared() -> None:
    settings = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    assert settings["project"]["license"] == "Apache-2.0"
    licence = text_of(ROOT / "LICENSE")
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def rewrite() -> None:
    """Write the shown output of every command anew."""
    for page in (README, *DOCS):
        old = text_of(page)
        new = CONSOLE.sub(lambda block: f"$ onnxtop {block['arguments']}\n{printed(block['arguments'])}", old)
        if new != old:
            page.write_text(new, encoding="utf-8")
            print(f"wrote {shown_page(page)}")


if __name__ == "__main__":
    rewrite()
