// What both pages share. Texts from plans, ledgers and Dags reach the page as text nodes only, never as markup.

export const root = document.body.dataset.root;

// Names for people, and the order in which they stand in bars.
export const STATES = {
  updated: "updated",
  unchanged: "unchanged",
  change: "to be changed",
  planned: "would be changed",
  skipped_guard: "skipped by a guard",
  invalid: "invalid",
  failed: "failed",
  unresolved: "unresolved",
  open: "not done yet",
};
export const ORDER = Object.keys(STATES);

/** Make an element: text is text, whatever it holds. */
export function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "onclick") element.addEventListener("click", value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

export function fill(target, ...children) {
  target.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

export const number = (value) => Number(value).toLocaleString("en-US");

export function share(part, whole) {
  if (!whole) return "0 %";
  const percent = (100 * part) / whole;
  if (percent > 0 && percent < 1) return "< 1 %";
  if (percent > 99 && percent < 100) return "> 99 %";
  return `${Math.round(percent)} %`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.round(seconds);
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${String(Math.round((whole % 3600) / 60)).padStart(2, "0")} min`;
}

export function moment(text) {
  if (!text) return "";
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return String(text);
  return `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** Ask for data. Airflow's login reaches us as a cookie of the same origin. */
export function ask(path) {
  return exchange(root + path, { headers: { Accept: "application/json" } });
}

/** Trigger a Dag through Airflow's own API, which asks for itself whether the user may. Returns the run. */
export function trigger(dagId, conf) {
  return exchange(`${airflowBase()}api/v2/dags/${encodeURIComponent(dagId)}/dagRuns`, {
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": "application/json" },
    body: JSON.stringify({ logical_date: null, conf }),
  });
}

async function exchange(address, options) {
  const answer = await fetch(address, { credentials: "same-origin", ...options });
  if (answer.ok) return answer.json();
  if (answer.status === 401) throw new Error("Your login has ended. Load Airflow's page again, and log in.");
  if (answer.status === 403) throw new Error(`Airflow does not let you ${options.method ? "do" : "read"} this.`);
  let detail = "";
  try {
    detail = (await answer.json()).detail;
  } catch {
    // not an answer of ours
  }
  throw new Error(typeof detail === "string" && detail ? detail : `Airflow's API server answered ${answer.status}.`);
}

/**
 * Open an address from Airflow's own page. The frame that Airflow shows us in may neither open windows nor leave; the
 * page around it may, and has the same origin.
 */
export function openOutside(event, { inNewTab }) {
  let outside;
  try {
    outside = window.parent.document;
  } catch {
    return; // framed by another origin: the browser does with the link what it does
  }
  if (window.parent === window) return;
  event.preventDefault();
  const link = outside.createElement("a");
  link.href = event.currentTarget.href;
  link.rel = "noopener noreferrer";
  if (inNewTab) link.target = "_blank";
  outside.body.append(link);
  link.click();
  link.remove();
}

export function outsideLink(href, text, { inNewTab }) {
  const link = make("a", { href, text, rel: "noopener noreferrer", target: inNewTab ? "_blank" : null });
  link.addEventListener("click", (event) => openOutside(event, { inNewTab }));
  return link;
}

/** The base of Airflow's own pages, which may be a folder. */
export function airflowBase() {
  return root.slice(0, root.length - "/persona".length) + "/";
}

/** The address of a task's tab. */
export function tabOf(task) {
  const part = encodeURIComponent;
  const mapped = task.map_index >= 0 ? `/mapped/${task.map_index}` : "";
  return `${airflowBase()}dags/${part(task.dag_id)}/runs/${part(task.run_id)}/tasks/${part(task.task_id)}${mapped}/plugin/persona`;
}

export function stackedBar(target, counts, whole) {
  fill(
    target,
    ...ORDER.filter((state) => counts[state]).map((state) => {
      const part = make("span", {
        class: `part s-${state}`,
        title: `${number(counts[state])} ${STATES[state]} (${share(counts[state], whole)})`,
      });
      part.style.flexGrow = String(counts[state]);
      return part;
    }),
  );
  const said = ORDER.filter((state) => counts[state]).map((state) => `${number(counts[state])} ${STATES[state]}`);
  target.setAttribute("aria-label", said.join(", ") || "nothing");
}

export function badge(state) {
  return make("span", { class: `badge s-${state}`, text: STATES[state] || state });
}

export function pager(target, { page, pages, total, size }, go) {
  const first = total ? page * size + 1 : 0;
  const last = Math.min(total, (page + 1) * size);
  const button = (text, to, off) =>
    make("button", { type: "button", text, disabled: off, onclick: () => go(to) });
  fill(
    target,
    make("span", { class: "quiet", text: `${number(first)} to ${number(last)} of ${number(total)}` }),
    button("First", 0, page === 0),
    button("Previous", page - 1, page === 0),
    button("Next", page + 1, page + 1 >= pages),
    button("Last", pages - 1, page + 1 >= pages),
  );
}

/** Follow the light or dark theme of Airflow's page around us, or of the system where we stand alone. */
export function followTheme() {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  let around = null;
  try {
    around = window.parent === window ? null : window.parent.document.documentElement;
  } catch {
    around = null;
  }
  const apply = () => {
    let dark = system.matches;
    if (around) dark = around.classList.contains("dark") || around.dataset.theme === "dark";
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  apply();
  system.addEventListener("change", apply);
  if (around) new MutationObserver(apply).observe(around, { attributes: true, attributeFilter: ["class", "data-theme"] });
}
