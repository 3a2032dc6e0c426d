"""The command line: what it prints, and how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

import metricreg
import metricreg.registry.registry
from metricreg.cli import app
from metricreg.registry import KINDS, Registry
from metricreg.registry.entry_points import load_entry_points

DISTS = Path(__file__).parent.parent / "registry" / "dists"
DIGITS = Path(__file__).parent.parent.parent / "examples" / "digits.json"

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command in an empty folder, in a terminal of 200 columns, with a registry that has yet to be loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str, installed: str | None = None) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(metricreg.registry.registry, "_default", Registry(load_entry_points))
            if installed is not None:
                patch.syspath_prepend(str(DISTS / installed))
            return CliRunner().invoke(app, list(words))

    return run


def write(path: str, document: Any) -> str:
    Path(path).write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


# -- the whole --------------------------------------------------------------------------------------------------------


def test_without_a_command_help_is_printed(run: Run) -> None:
    result = run()
    for command in (
        "list",
        "describe",
        "validate",
        "lock",
        "migrate",
        "diff",
        "schema",
        "plugins",
        "doctor",
        "explain",
        "bench",
        "train",
        "new-plugin",
    ):
        assert command in result.output


def test_the_version_is_that_of_the_distribution(run: Run) -> None:
    assert run("--version").output == f"metricreg {metricreg.__version__}\n"


def test_an_unknown_command_exits_with_2(run: Run) -> None:
    assert run("lst").exit_code == 2


# -- list -------------------------------------------------------------------------------------------------------------


def test_list_shows_every_registered_name(run: Run) -> None:
    result = run("list")
    assert result.exit_code == 0
    rows = [line.split()[:2] for line in result.output.splitlines()]
    assert rows[0] == ["kind", "name"]
    assert rows[1:] == [[e.kind, e.name] for e in Registry(load_entry_points)]


def test_list_as_json_names_kind_name_class_and_distribution(run: Run) -> None:
    found = json.loads(run("list", "distance", "--json").output)
    assert {
        "kind": "distance",
        "name": "cosine",
        "class": "metricreg.distances.cosine:CosineSimilarity",
        "distribution": "metricreg",
    } in found


def test_list_of_an_unknown_kind_names_the_kinds(run: Run) -> None:
    result = run("list", "lozzes")
    assert result.exit_code == 1
    assert result.output.strip() == f"unknown kind 'lozzes'; the kinds are {', '.join(KINDS)}; did you mean 'loss'?"


@pytest.mark.parametrize(("plural", "kind"), [("losses", "loss"), ("matches", "match"), ("distances", "distance")])
def test_kinds_may_be_given_in_the_plural(run: Run, plural: str, kind: str) -> None:
    assert run("list", plural).output == run("list", kind).output
    assert run("list", plural).exit_code == 0


def test_describe_takes_a_name_alone_where_one_kind_has_it(run: Run) -> None:
    assert run("describe", "supcon").output == run("describe", "loss", "supcon").output
    both = run("describe", "triplet_margin")
    assert both.exit_code == 1
    assert "metricreg describe loss triplet_margin or metricreg describe miner triplet_margin" in both.output
    assert "metricreg list loss" in run("describe", "losses").output
    assert "no kind has a component 'nothing'" in run("describe", "nothing").output
    assert "did you mean the loss 'ntxent'?" in run("describe", "infonce").output
    assert "did you mean the loss 'contrastive'?" in run("describe", "contrasive").output
    assert run("list", "los").output.strip().endswith("did you mean 'loss'?")


def test_list_shows_a_plugin_without_importing_its_components(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "acme_lazy_half", raising=False)  # another test may have imported it
    result = run("list", "reducer", installed="strings")
    assert "lazy/half" in result.output
    assert "acme-lazy" in result.output
    assert "acme_lazy_half" not in sys.modules


@pytest.mark.filterwarnings("default::metricreg.errors.PluginWarning")
def test_list_shows_what_works_and_a_line_about_what_does_not(run: Run) -> None:
    result = run("list", "distance", installed="import_error")
    assert result.exit_code == 0
    complaints = [line for line in result.output.splitlines() if "import_error" in line]
    assert len(complaints) == 1
    assert "acme-import-error 1.0 is left out (error): ModuleNotFoundError" in complaints[0]
    assert "cosine" in result.output


def test_list_imports_no_torch() -> None:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "metricreg.cli", "list", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"METRICREG_BLOCK": _others()},
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in run.stderr.splitlines() if "|" in line}
    assert "metricreg" in imported
    assert not imported & {"torch", "numpy", "lightning"}
    assert {e["kind"] for e in json.loads(run.stdout)} == set(KINDS)


def _others() -> str:
    """Plugins that are installed here beside metricreg's own; they may import what they like."""
    return ",".join(r.name for r in metricreg.plugin_reports() if r.name != "metricreg")


# -- describe ---------------------------------------------------------------------------------------------------------


def test_describe_shows_text_parameters_and_a_spec(run: Run) -> None:
    output = run("describe", "loss", "arcface").output
    assert output.startswith("loss arcface  (metricreg.losses.arcface:ArcFaceLoss, metricreg)\n")
    assert "Deng et al. 2019" in output
    rows = {line.split()[0]: line for line in output.splitlines() if line}
    assert "number >= 0 and <= 180" in rows["margin"]
    assert "28.6" in rows["margin"]
    assert "in degrees" in rows["margin"]
    assert "required" in rows["num_classes"]
    assert output.rstrip().endswith('In a spec  {"name": "arcface", "num_classes": 2, "embedding_size": 2}')


def test_describe_keeps_what_looks_like_markup(run: Run) -> None:
    assert r"\left[ d(a, p) - m^+ \right]_+" in run("describe", "loss", "contrastive").output


def test_describe_of_a_component_without_parameters_has_no_table(run: Run) -> None:
    assert "parameter" not in run("describe", "reducer", "sum").output


def test_describe_as_json_holds_the_same(run: Run) -> None:
    found = json.loads(run("describe", "reducer", "threshold", "--json").output)
    assert found["kind"] == "reducer"
    assert found["example"] == {"name": "threshold", "low": 0.5}
    assert [p["name"] for p in found["parameters"]] == ["low", "high"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss", "contrastiv"], "unknown loss 'contrastiv'; did you mean 'contrastive'?"),
        (["lozzes", "contrastive"], "unknown kind 'lozzes'; the kinds are "),
        (["loss", "acme/softmin"], "no installed plugin has the namespace 'acme'"),
    ],
)
def test_describe_of_what_is_unknown_says_what_is_known(run: Run, words: list[str], message: str) -> None:
    result = run("describe", *words)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.filterwarnings("default::metricreg.errors.PluginWarning")
def test_describe_of_a_component_of_a_broken_plugin_names_its_error(run: Run) -> None:
    result = run("describe", "reducer", "import_error/any", installed="import_error")
    assert result.exit_code == 1
    assert "belongs to a plugin that was left out" in result.output
    assert "acme_is_not_installed" in result.output


# -- validate ---------------------------------------------------------------------------------------------------------

WRONG = {"loss": {"name": "contrastive", "neg_margn": 1, "distance": {"name": "lp", "p": -1}}, "miner": "batch_har"}
PROBLEMS = ["/loss/distance/p", "/loss/neg_margn", "/miner"]


def test_validate_of_a_good_spec_exits_with_0(run: Run) -> None:
    result = run("validate", write("good.json", {"loss": "contrastive"}))
    assert (result.exit_code, result.output) == (0, "good.json: valid\n")


def test_validate_lists_every_problem_of_every_file_and_exits_with_1(run: Run) -> None:
    write("good.json", {"loss": "contrastive"})
    write("wrong.json", WRONG)
    result = run("validate", "good.json", "wrong.json", "missing.json")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == "good.json: valid"
    assert lines[1] == "wrong.json: 3 problems"
    assert sorted(line.split(":")[0].strip() for line in lines[2:5]) == PROBLEMS
    assert "  /loss/distance/p: should be greater than 0 (given: -1)" in lines
    assert lines[5] == "missing.json: 1 problem"
    assert "No such file" in lines[6]


def test_validate_as_json_gives_pointer_message_and_what_was_given(run: Run) -> None:
    write("good.json", {"loss": "contrastive"})
    write("wrong.json", WRONG)
    result = run("validate", "--json", "good.json", "wrong.json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert found["good.json"] == {"problems": [], "unchecked": [], "renamed": []}
    assert sorted(problem["pointer"] for problem in found["wrong.json"]["problems"]) == PROBLEMS
    (given,) = [p["given"] for p in found["wrong.json"]["problems"] if p["pointer"] == "/loss/distance/p"]
    assert given == "-1"


def test_validate_of_an_experiment_points_into_its_pipeline(run: Run) -> None:
    write("experiment.json", {"pipeline": WRONG})
    found = json.loads(run("validate", "--json", "experiment.json").output)["experiment.json"]["problems"]
    assert sorted(problem["pointer"] for problem in found) == [f"/pipeline{pointer}" for pointer in PROBLEMS]


def test_validate_of_an_experiment_looks_at_its_other_sections_too(run: Run) -> None:
    write("experiment.json", {"pipeline": {"loss": "ntxent"}, "encoder": {"name": "mpl"}, "dta": {}})
    found = json.loads(run("validate", "--json", "experiment.json").output)["experiment.json"]["problems"]
    assert {problem["pointer"]: problem["message"].partition("did you mean ")[2] for problem in found} == {
        "/encoder/name": "'mlp'?",
        "/dta": "'data'?",
    }


def test_validate_accepts_the_experiment_that_ships(run: Run) -> None:
    assert run("validate", str(DIGITS)).exit_code == 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("twice.json", '{"loss": "ntxent", "loss": "supcon"}', "the key 'loss' stands twice in one object"),
        ("spec.txt", "{}", "unknown file type '.txt'"),
    ],
)
def test_validate_of_a_file_that_cannot_be_read_says_why(run: Run, name: str, text: str, message: str) -> None:
    result = run("validate", write(name, text))
    assert result.exit_code == 1
    assert result.output.startswith(f"{name}: 1 problem\n")
    assert message in result.output


def test_validate_without_a_file_exits_with_2(run: Run) -> None:
    assert run("validate").exit_code == 2


# -- schema -----------------------------------------------------------------------------------------------------------


def test_schema_is_a_json_schema_of_specs(run: Run) -> None:
    schema = json.loads(run("schema").output)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"loss": {"name": "contrastive", "neg_margin": 0.5}})
    assert not validator.is_valid({"loss": {"name": "contrastive", "neg_margn": 0.5}})


@pytest.mark.parametrize("option", ["--output", "-o"])
def test_schema_writes_what_it_would_print(run: Run, option: str) -> None:
    result = run("schema", option, "schema.json")
    assert (result.exit_code, result.output) == (0, "")
    assert Path("schema.json").read_text(encoding="utf-8") == run("schema").output


def test_schema_that_cannot_be_written_exits_with_1(run: Run) -> None:
    result = run("schema", "--output", "no/such/folder.json")
    assert result.exit_code == 1
    assert result.output == "cannot write no/such/folder.json: No such file or directory\n"


# -- plugins ----------------------------------------------------------------------------------------------------------


def test_plugins_shows_the_built_in_plugin(run: Run) -> None:
    rows = [line.split() for line in run("plugins").output.splitlines()]
    assert rows[0] == ["plugin", "status", "distribution", "components", "ms", "problem"]
    assert rows[1][:4] == ["metricreg", "active", "metricreg", metricreg.__version__]


def test_plugins_says_in_a_line_why_one_is_left_out(run: Run) -> None:
    result = run("plugins", installed="import_error")
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("import_error")]
    assert line.split()[:4] == ["import_error", "error", "acme-import-error", "1.0"]
    assert "ModuleNotFoundError: No module named 'acme_is_not_installed'" in line


def test_plugins_as_json_holds_the_components_and_the_problem(run: Run) -> None:
    reports = {report["name"]: report for report in json.loads(run("plugins", "--json", installed="strings").output)}
    assert reports["lazy"]["components"] == ["reducer lazy/half"]
    assert reports["lazy"]["problem"] is None
    broken = {r["name"]: r for r in json.loads(run("plugins", "--json", installed="system_exit").output)}
    assert broken["system_exit"]["status"] == "error"
    assert "SystemExit" in broken["system_exit"]["problem"]


@pytest.mark.without_broken_plugins
def test_in_strict_mode_a_broken_plugin_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_STRICT", "1")
    result = run("list", installed="import_error")
    assert result.exit_code == 1
    assert "plugin 'import_error' of acme-import-error 1.0 is left out (error)" in result.output
    assert "Traceback" not in result.output


# -- explain ----------------------------------------------------------------------------------------------------------


def test_explain_says_plan_reason_and_costs(run: Run) -> None:
    result = run("explain", "supcon", "--batch", "32", "--dim", "8")
    assert result.exit_code == 0
    for text in ("loss supcon  (/loss)", "plan    dense", "within the limit of", "matrix products", "peak memory"):
        assert text in result.output


def test_explain_takes_a_spec_as_json(run: Run) -> None:
    tiled = '{"loss": "supcon", "execution": {"plan": "tiled", "tile": 8}}'
    assert "tiled, 4 tiles of 8" in run("explain", tiled, "--batch", "32", "--dim", "8").stdout
    twice = run("explain", '{"loss": "supcon", "loss": "ntxent"}', "--batch", "32", "--dim", "8")
    assert twice.exit_code != 0
    assert "cannot read the spec: the key 'loss' stands twice in one object" in twice.output


def test_explain_prints_json(run: Run) -> None:
    result = run(
        "explain", str(DIGITS), "--batch", "32", "--dim", "64", "--classes", "10", "--device", "cuda", "--json"
    )
    found = json.loads(result.stdout)
    assert (found["batch"], found["dim"], found["classes"], found["device"]) == (32, 64, 10, "cuda")
    assert found["peak"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing.json", "--batch", "8", "--dim", "4"), "cannot read nothing.json"),
        (("supconn", "--batch", "8", "--dim", "4"), "did you mean 'supcon'"),
        (("supcon", "--batch", "0", "--dim", "4"), "batch is a whole number, at least 1"),
        (("supcon", "--batch", "8", "--dim", "4", "--device", "tpu"), "device is one of cpu, cuda"),
    ],
)
def test_explain_refuses_what_does_not_fit(run: Run, words: tuple[str, ...], message: str) -> None:
    result = run("explain", *words)
    assert result.exit_code == 1
    assert message in result.output


def test_explain_has_a_size_where_none_is_given(run: Run) -> None:
    assert run("explain", "supcon").stdout == run("explain", "supcon", "--batch", "1024", "--dim", "256").stdout


# -- train ------------------------------------------------------------------------------------------------------------


def test_train_hands_its_options_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import metricreg.training.run

    called: dict[str, Any] = {}

    def record(experiment: Path, output: Path | None, **options: Any) -> None:
        called.update(options, experiment=experiment, output=output)
        options["report"]("a line")

    monkeypatch.setattr(metricreg.training.run, "run", record)
    result = run("train", "mine.json", "--output", "there", "--overwrite")
    assert (result.exit_code, result.output) == (0, "a line\n")
    called.pop("report")
    assert called == {"experiment": Path("mine.json"), "output": Path("there"), "resume": False, "overwrite": True}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "there is no experiment file mine.json"),
        (
            {"pipeline": {"loss": "contrastiv"}},
            "/pipeline/loss: unknown loss 'contrastiv'; did you mean 'contrastive'?",
        ),
        ({"pipeline": {"loss": "ntxent"}, "encoder": {"name": "mpl"}}, "/encoder/name: must be one of"),
    ],
    ids=["no file", "a wrong pipeline", "a wrong encoder"],
)
def test_train_says_what_is_wrong_and_leaves_nothing_behind(
    run: Run, document: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metricreg.training.run.require", lambda *modules: None)
    if document is not None:
        write("mine.json", document)
    result = run("train", "mine.json")
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
    assert not Path("runs").exists()


# -- streams that cannot take the output --------------------------------------------------------------------------------


def console(words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The console script in a shell, with its output where the words say."""
    code = "import sys; from metricreg.cli import run; sys.argv[0] = 'metricreg'; run()"
    python = f'"{sys.executable}" -c "{code}"'
    known = {"TERM": "dumb", **os.environ, **environment}
    return subprocess.run(["bash", "-c", f"{python} {words}"], env=known, capture_output=True, text=True, timeout=60)


@pytest.mark.without_broken_plugins
def test_a_closed_output_is_no_error() -> None:
    result = console("list >&-")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("words", ["list", "list --json", "schema", "--version", "validate nothing.json"])
def test_a_full_device_is_an_error_without_a_traceback(words: str) -> None:
    result = console(f"{words} > /dev/full")
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_narrow_encoding_shows_escapes(tmp_path: Path) -> None:
    file = write(str(tmp_path / "euro.json"), {"loss": {"name": "ntxent", "€\ud800\x1b[2J": 1}})
    for words in (f"validate {file}", f"validate --json {file}"):
        result = console(words, PYTHONIOENCODING="latin-1")
        assert result.returncode == 1
        assert "\\u20ac" in result.stdout
        assert "Traceback" not in result.stderr
        assert "\x1b" not in result.stdout


def test_what_a_plugin_prints_when_it_is_imported_is_not_in_the_output() -> None:
    path = os.pathsep.join([str(DISTS / "chatty"), *filter(None, [os.environ.get("PYTHONPATH")])])
    result = console("list --json", PYTHONPATH=path)
    assert "chatty/half" in [entry["name"] for entry in json.loads(result.stdout)]
    assert "hello from a plugin" in result.stderr


@pytest.mark.parametrize("redirection", ["", "2>&-"])
def test_what_a_plugin_writes_to_descriptors_is_not_in_the_output(redirection: str) -> None:
    path = os.pathsep.join([str(DISTS / "writes_fd"), *filter(None, [os.environ.get("PYTHONPATH")])])
    result = console(f"list --json {redirection}", PYTHONPATH=path)
    assert result.returncode == 0
    assert "writes_fd/half" in [entry["name"] for entry in json.loads(result.stdout)]
    for words in ("hello from file descriptor 1", "goodbye from a plugin", "goodbye from file descriptor 1"):
        assert words not in result.stdout
        assert (words in result.stderr) == (redirection == "")


def test_a_plugin_whose_name_looks_like_markup_is_listed(run: Run) -> None:
    result = run("plugins", installed="markup")
    assert result.exit_code == 1
    assert "ab[/x]" in result.output
    assert "acme-markup[/foo]" in result.output


# -- a plugin's words -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("default::metricreg.errors.PluginWarning")
@pytest.mark.parametrize("case", ["evil_strings", "escapes", "huge_message", "str_raises", "init_unspeakable"])
@pytest.mark.parametrize("words", ["list", "plugins", "describe reducer {}/half", "validate spec.json", "schema"])
def test_nothing_raw_of_a_plugin_is_printed(run: Run, case: str, words: str) -> None:
    write("spec.json", {"loss": {"name": "contrastive", "reducer": {"name": f"{case}/half"}}})
    result = run(*words.format(case).split(), installed=case)
    assert result.exit_code in (0, 1)
    assert all(c.isprintable() or c == "\n" for c in result.output), ascii(result.output)
    assert words == "schema" or len(result.output) < 100_000


@pytest.mark.without_broken_plugins
def test_plugins_exits_with_0_where_nothing_is_wrong_or_is_blocked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_BLOCK", "import_error")
    result = run("plugins", installed="import_error")
    assert result.exit_code == 0
    assert "blocked by METRICREG_BLOCK" in result.output


def test_plugins_shows_a_word_that_names_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_BLOCK", "lasy")
    result = run("plugins", installed="strings")
    assert result.exit_code == 1
    assert "METRICREG_BLOCK names 'lasy', and no plugin is called so; did you mean 'lazy'?" in result.output


def test_in_strict_mode_plugins_and_doctor_still_show_what_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_STRICT", "1")
    for command in ("plugins", "doctor"):
        assert "ModuleNotFoundError" in run(command, installed="import_error").output
    assert run("describe", "loss", "supcon", installed="import_error").exit_code == 1


# -- doctor -----------------------------------------------------------------------------------------------------------


def test_doctor_finds_nothing_wrong_where_nothing_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_ONLY", "lazy")
    result = run("doctor", installed="strings")
    assert result.exit_code == 0, result.output
    assert f"metricreg: active, metricreg {metricreg.__version__}\n" in result.output
    assert "lazy: active, acme-lazy 2.1\n" in result.output
    assert "  components  1, all built\n" in result.output
    assert result.output.endswith("nothing is wrong\n")


def test_a_loss_that_takes_no_batch_is_noted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_ONLY", "raises_in_terms")
    says = "no batch that was tried satisfies this: the kind of a Term is 'pos_pair', 'neg_pair' or 'triplet'"
    result = run("doctor", installed="raises_in_terms")
    assert result.exit_code == 0, result.output  # it may want other batches
    assert f"  advice      loss 'raises_in_terms/half': {says}" in result.output
    write("spec.json", {"loss": "raises_in_terms/half"})
    result = run("validate", "spec.json", installed="raises_in_terms")
    assert result.exit_code == 0
    assert result.output.startswith("spec.json: valid, as far as it could be checked\n")
    assert f"  note: /loss: {says}" in result.output


def test_doctor_says_what_is_wrong_and_what_mends_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_STRICT", "1")  # the doctor looks all the same
    monkeypatch.setenv("METRICREG_ONLY", "init_raises")
    result = run("doctor", "--traceback", installed="init_raises")
    assert result.exit_code == 1
    assert "cannot be constructed: KeyError: 'margin' (at " in result.output
    assert "  mend        pip install -U acme-init-raises\n" in result.output
    assert '    {}["margin"]' in result.output
    assert result.output.endswith("1 of these has a problem\n")
    found = json.loads(run("doctor", "--json", installed="init_raises").output)
    assert not found["ok"]
    (plugin,) = [plugin for plugin in found["plugins"] if plugin["name"] == "init_raises"]
    assert plugin["status"] == "active"
    assert plugin["components"][0]["problem"] == plugin["problems"][0]
