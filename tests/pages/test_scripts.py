"""The script of the list of runs, in Node with a stand-in for the browser: what it shows of late answers and none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[2] / "airflow_provider_persona" / "pages" / "static"
BROWSER = """
class Element {
  children = []; dataset = {}; listeners = {}; style = { setProperty() {} }; value = "";
  append(...children) { this.children.push(...children); }
  replaceChildren(...children) { this.children = children; }
  addEventListener(name, heard) { this.listeners[name] = heard; }
  setAttribute() {}
  get text() { return [this.textContent, ...this.children.map((one) => one.text ?? one)].join(" "); }
}
const elements = {}, timers = [], answers = [];
globalThis.document = {
  body: Object.assign(new Element(), { dataset: { root: "/persona" } }),
  documentElement: new Element(),
  createElement: () => new Element(),
  getElementById: (id) => (elements[id] ??= new Element()),
};
globalThis.window = { matchMedia: () => ({ matches: false, addEventListener() {} }) };
window.parent = window;
globalThis.setTimeout = (call) => timers.push(call);
globalThis.clearTimeout = () => {};
globalThis.fetch = () => new Promise((resolve, reject) => answers.push({ resolve, reject }));
const settle = () => new Promise((resolve) => setImmediate(resolve));
const page = (dag_id) => ({ ok: true, json: async () => ({
  total: 1, page: 0, pages: 1, size: 25,
  runs: [{ counts: {}, plan: {}, task: { dag_id, run_id: "r", task_id: "t", map_index: -1, is_live: true } }],
}) });
"""
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")


def _run(tmp_path: Path, scene: str) -> str:
    """Run a scene after the script was loaded; returns what it printed."""
    for name in ("runs.js", "shared.js"):
        shutil.copy(STATIC / name, tmp_path / name)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "scene.js").write_text(f'{BROWSER}\nawait import("./runs.js");\n{scene}')
    done = subprocess.run(["node", "scene.js"], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_node
def test_an_older_answer_does_not_take_the_place_of_a_newer_one(tmp_path: Path) -> None:
    scene = """
      document.getElementById("dag").value = "wanted";
      elements.search.listeners.submit({ preventDefault() {} });
      answers[1].resolve(page("newer")); await settle();
      answers[0].resolve(page("older")); await settle();
      console.log(elements.runs.text);
    """
    said = _run(tmp_path, scene)
    assert "newer" in said
    assert "older" not in said


@needs_node
def test_a_server_that_is_away_for_a_while_is_asked_again(tmp_path: Path) -> None:
    scene = """
      answers[0].reject(new Error("away")); await settle();
      console.log(elements.why.textContent, timers.length);
      timers[0](); answers[1].resolve(page("back")); await settle();
      console.log(elements.runs.text, elements.why.hidden);
    """
    said = _run(tmp_path, scene)
    assert "away 1\n" in said
    assert "back" in said
    assert said.endswith("true\n")
