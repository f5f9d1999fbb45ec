// The list of runs.
import {
  ask, byId, duration, fill, followTheme, make, moment, number, outsideLink, pager, stackedBar, tabOf,
} from "./shared.js";

const wanted = { page: 0, dag: "" };
let timer = null;
let asked = 0;

function row(run) {
  const { task, counts } = run;
  const whole = Object.values(counts).reduce((sum, one) => sum + one, 0);
  const bar = make("div", { class: "bar small" });
  stackedBar(bar, counts, whole);
  const bad = (counts.failed || 0) + (counts.unresolved || 0);
  const ended = task.ended ? Date.parse(task.ended) : Date.now();
  const name = task.map_index >= 0 ? `${task.task_id} [${task.map_index}]` : task.task_id;
  return make(
    "tr",
    {},
    make("td", { class: "when", text: moment(task.began) }),
    make("td", { class: "run", title: task.run_id }, make("strong", { text: task.dag_id }), make("br"),
      make("span", { class: "quiet id", text: task.run_id })),
    make("td", {}, outsideLink(tabOf(task), name, { inNewTab: false }), make("br"),
      make("span", { class: "quiet", text: task.only_plans ? "plan" : "changes" })),
    make("td", {}, make("span", { class: `badge t-${task.state || "none"}`, text: (task.state || "none").replaceAll("_", " ") })),
    make("td", { class: "right", text: run.rows ? number(run.rows) : "" }),
    make("td", { class: "wide" }, bar),
    make("td", { class: bad ? "right bad" : "right", text: bad ? number(bad) : "" }),
    make("td", { class: "when", text: duration((ended - Date.parse(task.began)) / 1000) }),
    make("td", {}, run.plan.hash ? make("code", { text: run.plan.hash.slice(0, 10), title: run.plan.hash }) : ""),
  );
}

async function load() {
  clearTimeout(timer);
  const mine = ++asked;
  try {
    const found = await ask(`/data/runs?${new URLSearchParams({ page: String(wanted.page), dag: wanted.dag })}`);
    if (mine !== asked) return; // an older answer that comes late must not take the place of a newer one
    byId("why").hidden = true;
    const heading = ["Began", "Dag and run", "Task", "State", "Rows", "Outcomes", "Failed", "Took", "Plan hash"];
    fill(
      byId("runs"),
      make("thead", {}, make("tr", {}, ...heading.map((text) => make("th", { scope: "col", text })))),
      make("tbody", {}, ...found.runs.map(row),
        found.runs.length ? null : make("tr", {}, make("td", { colspan: "9", class: "quiet", text: "No runs that you may see." }))),
    );
    pager(byId("pager"), found, (page) => {
      wanted.page = page;
      load();
    });
    document.body.dataset.loaded = "true";
    if (found.runs.some((run) => run.task.is_live)) timer = setTimeout(load, 5000);
  } catch (error) {
    if (mine !== asked) return;
    byId("why").hidden = false;
    byId("why").textContent = error.message;
    timer = setTimeout(load, 30000); // a server that starts anew answers again
  }
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  Object.assign(wanted, { page: 0, dag: byId("dag").value.trim() });
  load();
});

followTheme();
load();
