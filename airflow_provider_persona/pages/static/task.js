// The tab of one task.
import {
  ORDER, STATES, ask, badge, byId, duration, fill, followTheme, make, moment, number, outsideLink, pager, root, share,
  stackedBar, tabOf, trigger,
} from "./shared.js";
import { showLimit, showPace } from "./charts.js";

const here = window.location.pathname.slice(root.length + "/task/".length);
const KINDS = { case: "cases", inquiry: "inquiries", account: "accounts", report: "reports", transaction: "transactions" };
const LIVE_PAUSE = 3000;
const READING_PAUSE = 300;
const TO_COME = new Set([null, "scheduled", "up_for_retry", "up_for_reschedule", "awaiting_input"]);

const filter = { page: 0, state: "", reason: "", transition: "", object_id: "" };
let shownRows = "";
let asked = 0;

function shownCounts(run) {
  const counts = run.files ? run.files.counts : run.counts;
  const rows = (run.files ? run.files.rows : run.rows) || Object.values(counts).reduce((sum, one) => sum + one, 0);
  return { counts, rows };
}

function isPlan(run) {
  return run.files ? !run.files.is_applied : run.task.only_plans;
}

function showHead(run) {
  const kind = run.plan.kind ? KINDS[run.plan.kind] || run.plan.kind : null;
  const what = kind ? `changes to ${kind}` : run.plan.operation || "changes";
  byId("title").textContent = isPlan(run) ? `Plan of ${what}` : `Run of ${what}`;
  const state = run.task.state || "not scheduled";
  fill(
    byId("where"),
    make("span", { class: `badge t-${state}`, text: state.replaceAll("_", " ") }),
    ` ${run.task.operator || "task"}, try ${run.task.try_number}`,
    run.plan.environment ? `, Persona environment ${run.plan.environment}` : "",
  );
  const links = [];
  if (run.files) {
    links.push(make("a", { class: "button", href: `${root}/csv/plan/${here}`, download: true, text: "Plan (CSV)" }));
    if (run.files.is_applied) {
      links.push(make("a", { class: "button", href: `${root}/csv/ledger/${here}`, download: true, text: "Ledger (CSV)" }));
    }
  }
  fill(byId("downloads"), ...links);
}

function showNotices(run) {
  const why = byId("why");
  why.hidden = !run.why;
  if (run.why) {
    const known = run.rows ? " Below is what Airflow's own database knows." : "";
    why.textContent = `${run.why}.${known}`;
  }
  const damage = byId("damage");
  damage.hidden = !(run.files && run.files.damaged);
  if (!damage.hidden) {
    damage.textContent =
      `${number(run.files.damaged)} lines of the ledger are damaged and left out here. A further attempt looks at ` +
      "their rows in Persona before it writes.";
  }
}

function showProgress(run) {
  const { counts, rows } = shownCounts(run);
  const done = rows - (counts.open || 0);
  const plan = isPlan(run);
  byId("share").textContent = !rows
    ? "No rows"
    : plan
      ? `${number(rows)} rows planned, ${number(counts.change || 0)} to be changed`
      : `${number(done)} of ${number(rows)} rows done (${share(done, rows)})`;
  const notes = [];
  const files = run.files;
  if (files && !files.is_complete && (!run.task.is_live || files.share_read < 1)) {
    notes.push(`still reading the files: ${number(files.rows_read)} rows so far`);
  } else if (run.task.is_live && files && files.seconds_left !== null && !plan) {
    const until = new Date(Date.now() + 1000 * files.seconds_left).toISOString().slice(11, 16);
    notes.push(`about ${duration(files.seconds_left)} left, done by ${until} UTC`);
  }
  const end = files ? files.end : run.said_end;
  if (!run.task.is_live && end === "failed") notes.push("more rows failed than max_failures allows");
  if (!run.task.is_live && !plan && rows && counts.open) notes.push("the run stopped before its end");
  byId("pace-text").textContent = notes.join("; ");
  stackedBar(byId("bar"), counts, rows);
  fill(
    byId("legend"),
    ...ORDER.filter((state) => counts[state]).map((state) =>
      make(
        "button",
        { type: "button", class: "key", title: "Show these rows", onclick: () => choose({ state }) },
        make("span", { class: `dot s-${state}` }),
        make("strong", { text: number(counts[state]) }),
        ` ${STATES[state]}`,
      ),
    ),
  );
  const said = byId("said");
  said.hidden = !(run.said && run.task.is_live);
  if (!said.hidden) said.textContent = `The run said at ${moment(run.said_at)}: ${run.said}`;
}

function showFacts(run) {
  const report = run.report;
  const facts = [];
  const add = (name, ...value) => facts.push(make("div", {}, make("dt", { text: name }), make("dd", {}, ...value)));
  if (run.plan.hash) add("Plan hash", make("code", { text: run.plan.hash, title: "SHA-256 over the whole plan" }));
  if (run.approvals.length) {
    for (const one of run.approvals) {
      const answer = one.chosen.length ? one.chosen.join(", ") : "no answer yet";
      add(`Asked in ${one.task_id}`, make("strong", { text: answer }), one.by ? ` by ${one.by}` : "", make("br"),
        make("span", { class: "quiet", text: moment(one.at) }));
    }
  } else if (run.plan.hash) {
    add("Approved by", make("span", { class: "quiet", text: "no approval of this plan in this Dag run" }));
  }
  if (run.plan.created_at) add("Planned", moment(run.plan.created_at));
  if (run.task.began) {
    const ended = run.task.ended ? Date.parse(run.task.ended) : Date.now();
    add(run.task.ended ? "Ran" : "Running since", moment(run.task.began), make("br"),
      make("span", { class: "quiet", text: `for ${duration((ended - Date.parse(run.task.began)) / 1000)}` }));
  }
  if (report.requests !== undefined) {
    add("Requests to Persona", number(report.requests), make("br"),
      make("span", { class: "quiet", text: `${number(report.retries || 0)} repeated, ${number(report.throttled || 0)} refused for the limit` }));
  }
  if (report.waited_seconds !== undefined) {
    add("Waited for the limit", duration(report.waited_seconds) || "0 s",
      report.seconds ? make("span", { class: "quiet", text: ` of ${duration(report.seconds)}` }) : "");
  }
  const guess = run.plan.estimate;
  if (guess && guess.requests && isPlan(run)) {
    add("To apply it", `about ${number(guess.requests)} requests`, make("br"),
      make("span", { class: "quiet", text: guess.seconds === null ? "" : `about ${duration(guess.seconds)}` }));
  }
  if (report.verified !== undefined) {
    add("Read again afterwards", `${number(report.verified)} objects`, make("br"),
      make("span", { class: "quiet", text: `${number(report.differences || 0)} not as wanted any more` }));
  }
  const guards = [];
  if (run.plan.only_from) guards.push(`only from ${run.plan.only_from.join(", ")}`);
  if (run.plan.never_from && run.plan.never_from.length) guards.push(`never from ${run.plan.never_from.join(", ")}`);
  if (guards.length) add("Guards", guards.join("; "));
  const unknown = run.plan.unknown_statuses || [];
  if (unknown.length) add("Statuses that nothing in Persona has", make("strong", { class: "bad", text: unknown.join(", ") }));
  for (const [reason, count] of Object.entries(run.plan.irreversible || {})) {
    add("Cannot be taken back", make("strong", { text: number(count) }), ` ${reason}`);
  }
  if (run.plan.address) add("Plan", make("code", { class: "path", text: run.plan.address }));
  if (run.ledger) add("Ledger", make("code", { class: "path", text: run.ledger }));
  fill(byId("facts"), ...facts);
}

function showReasons(run) {
  const reasons = run.files ? run.files.reasons : run.reasons;
  byId("reasons-card").hidden = !reasons.length;
  byId("reasons-title").textContent = isPlan(run) ? "Why rows are left out" : "Why rows were not done";
  const most = Math.max(1, ...reasons.map((one) => one.count));
  fill(
    byId("reasons"),
    ...reasons.map((one) => {
      const bar = make("span", { class: `measure s-${one.state || "open"}` });
      bar.style.width = `${Math.max(1, (100 * one.count) / most)}%`;
      const line = make(
        "button",
        { type: "button", class: "reason", title: "Show these rows", disabled: !run.files, onclick: () => choose({ reason: one.text }) },
        make("span", { class: "count", text: number(one.count) }),
        make("span", {}, one.state ? badge(one.state) : null, ` ${one.reason}`,
          one.examples && one.examples.length ? make("span", { class: "quiet", text: ` (${one.examples.join(", ")})` }) : null),
        make("span", { class: "track" }, bar),
      );
      return line;
    }),
  );
}

function showMatrix(run) {
  let cells = run.files ? run.files.transitions : run.transitions;
  let title = isPlan(run) ? "What the plan changes: from status to status" : "What was changed: from status to status";
  if (!cells.length && run.plan.planned_transitions && run.plan.planned_transitions.length) {
    cells = run.plan.planned_transitions;
    title = "What was planned: from status to status";
  }
  byId("matrix-title").textContent = title;
  byId("matrix-card").hidden = !cells.length;
  const before = [...new Set(cells.map((cell) => cell.from))];
  const after = [...new Set(cells.map((cell) => cell.to))];
  const most = Math.max(1, ...cells.map((cell) => cell.count));
  const found = new Map(cells.map((cell) => [JSON.stringify([cell.from, cell.to]), cell]));
  const name = (status) => (status === "?" ? "not read" : status);
  fill(
    byId("matrix"),
    make(
      "table",
      { class: "matrix" },
      make("thead", {}, make("tr", {}, make("th", { text: "from \\ to" }), ...after.map((to) => make("th", { scope: "col", text: name(to) })))),
      make(
        "tbody",
        {},
        ...before.map((from) =>
          make(
            "tr",
            {},
            make("th", { scope: "row", text: name(from) }),
            ...after.map((to) => {
              const cell = found.get(JSON.stringify([from, to]));
              if (!cell) return make("td", { class: "none", text: "–" });
              const heat = make("td", {}, make("button", {
                type: "button", text: number(cell.count), title: "Show these rows", disabled: !run.files,
                onclick: () => choose({ transition: cell.text }),
              }));
              heat.style.setProperty("--heat", `${Math.round(12 + (58 * cell.count) / most)}%`);
              return heat;
            }),
          ),
        ),
      ),
    ),
  );
}

function showChips(run) {
  const { counts, rows } = shownCounts(run);
  const chip = (text, state) =>
    make("button", { type: "button", class: filter.state === state ? "chip on" : "chip", text, "aria-pressed": String(filter.state === state), onclick: () => choose({ state }) });
  fill(
    byId("chips"),
    chip(`all ${number(rows)}`, ""),
    ...ORDER.filter((state) => counts[state] || filter.state === state).map((state) => chip(`${STATES[state]} ${number(counts[state] || 0)}`, state)),
  );
  const chosen = [];
  const drop = (name, text) =>
    chosen.push(make("button", { type: "button", class: "chip on", title: "Remove this filter", onclick: () => choose({ [name]: "" }) }, `${text} ×`));
  if (filter.reason) drop("reason", filter.reason);
  if (filter.transition) drop("transition", filter.transition);
  if (filter.object_id) drop("object_id", filter.object_id);
  fill(byId("chosen"), ...chosen);
}

function showRows(found, plan) {
  const heading = ["Row", "Object", plan ? "Planned" : "Outcome", "From", "To", "Why"];
  if (!plan) heading.push("Persona's answer", "When");
  fill(
    byId("rows"),
    make("thead", {}, make("tr", {}, ...heading.map((text) => make("th", { scope: "col", text })))),
    make(
      "tbody",
      {},
      ...found.rows.map((row) => {
        const cells = [
          make("td", { class: "right", text: number(row.row) }),
          make("td", { class: "id" }, row.link ? outsideLink(row.link, row.object_id, { inNewTab: true }) : row.object_id || "–"),
          make("td", {}, badge(row.state)),
          make("td", { text: row.from || "" }),
          make("td", { text: row.to || "" }),
          make("td", { class: "why", text: row.reason.replace(/ \[req_[^\]]*\]/g, "") }), // request ids have a column
        ];
        if (!plan) {
          cells.push(
            make("td", { class: "answer" }, row.http_status ? `HTTP ${row.http_status}` : "", make("br"),
              make("span", { class: "id quiet", text: row.request_ids.join(" ") })),
            make("td", { class: "when", text: row.at ? row.at.slice(11, 19) : "", title: moment(row.at) }),
          );
        }
        return make("tr", {}, ...cells);
      }),
      found.rows.length ? null : make("tr", {}, make("td", { colspan: String(heading.length), class: "quiet", text: "No such rows." })),
    ),
  );
  pager(byId("pager"), found, (page) => choose({ page }));
}

async function loadRows(run, isAnew) {
  byId("rows-card").hidden = !run.files;
  if (!run.files) return;
  showChips(run);
  const wanted = new URLSearchParams(Object.entries(filter).filter(([, value]) => value !== ""));
  const text = JSON.stringify([wanted.toString(), run.files.counts, run.files.rows_read, run.files.damaged]);
  if (!isAnew && text === shownRows) return; // drawn anew every three seconds, a row could not be selected
  const mine = ++asked;
  const found = await ask(`/data/rows/${here}?${wanted}`);
  if (mine !== asked) return; // an older answer that comes late must not take the place of a newer one
  shownRows = text;
  showRows(found, isPlan(run));
}

function showRevert(run) {
  const { counts } = shownCounts(run);
  byId("revert-card").hidden = isPlan(run) || run.task.is_live || !counts.updated || !run.plan.hash || !run.plan.address;
  byId("draft").hidden = !run.revert;
  byId("revert").textContent = [
    "PersonaRevertPlanOperator(",
    '    task_id="plan_the_way_back",',
    `    report={"plan": ${JSON.stringify(run.plan.address)},`,
    `            "plan_hash": ${JSON.stringify(run.plan.hash)}},`,
    ")",
  ].join("\n");
}

async function draft(isDryRun) {
  const { revert, plan } = last;
  const buttons = [byId("draft-plan"), byId("draft-ask")];
  for (const button of buttons) button.disabled = true; // a second click would begin a second run
  try {
    const run = await trigger(revert.dag_id, { plan: plan.address, plan_hash: plan.hash, dry_run: isDryRun });
    const task = { dag_id: revert.dag_id, run_id: run.dag_run_id, task_id: revert.task_id, map_index: -1 };
    fill(byId("drafted"), "The way back is being planned: ", outsideLink(tabOf(task), run.dag_run_id, { inNewTab: false }),
      revert.is_paused ? `. The Dag ${revert.dag_id} is paused, so its run waits until somebody unpauses it.` : ".");
  } catch (error) {
    fill(byId("drafted"), error.message);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

let last = null;

function show(run) {
  last = run;
  byId("loading").hidden = true;
  byId("page").hidden = false;
  const isOurs = run.task.is_of_persona || run.files;
  for (const card of document.querySelectorAll(".card")) card.hidden = !isOurs;
  if (!isOurs) {
    byId("title").textContent = "Not a bulk task of Persona";
    byId("where").textContent = `${run.task.operator || "This task"} plans no changes in Persona and applies none.`;
    byId("why").hidden = true;
    return;
  }
  showHead(run);
  showNotices(run);
  showProgress(run);
  showFacts(run);
  showReasons(run);
  showMatrix(run);
  showPace(run);
  byId("limit-card").hidden = isPlan(run);
  showLimit(run);
  showRevert(run);
}

function fail(error) {
  byId("loading").hidden = true;
  byId("page").hidden = false;
  byId("why").hidden = false;
  byId("why").textContent = error.message;
}

async function choose(changes) {
  Object.assign(filter, { page: 0 }, changes);
  if (!last) return;
  try {
    await loadRows(last, true);
    const top = byId("rows-card").getBoundingClientRect().top;
    if (!("page" in changes) && (top < 0 || top > window.innerHeight / 3)) byId("rows-card").scrollIntoView();
  } catch (error) {
    fail(error);
  }
}

async function refresh() {
  try {
    const run = await ask(`/data/task/${here}`);
    show(run);
    if (run.task.is_of_persona || run.files) await loadRows(run, false);
    document.body.dataset.loaded = "true";
    if (run.files && !run.files.is_complete) setTimeout(refresh, READING_PAUSE);
    else if (run.task.is_live || TO_COME.has(run.task.state)) setTimeout(refresh, LIVE_PAUSE);
  } catch (error) {
    fail(error);
    setTimeout(refresh, 10 * LIVE_PAUSE);
  }
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  choose({ object_id: byId("object-id").value.trim() });
});
byId("draft-plan").addEventListener("click", () => draft(true));
byId("draft-ask").addEventListener("click", () => draft(false));
byId("copy-revert").addEventListener("click", async () => {
  const text = byId("revert").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    window.getSelection().selectAllChildren(byId("revert"));
  }
});

followTheme();
refresh();
