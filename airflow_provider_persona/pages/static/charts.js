// What went on over time: bars, a column for each stretch.
import { ORDER, byId, duration, fill, make, number, share } from "./shared.js";

/** How many rows were settled when. */
export function showPace(run) {
  const { seconds, stretches } = run.files ? run.files.pace : { seconds: 1, stretches: [] };
  byId("pace-card").hidden = stretches.length < 2;
  if (stretches.length < 2) return;
  const first = stretches[0][0];
  const last = stretches[stretches.length - 1][0];
  const fold = Math.max(1, Math.ceil(((last - first) / seconds + 1) / 80));
  const width = fold * seconds;
  const buckets = Array.from({ length: Math.floor((last - first) / width) + 1 }, () => ({}));
  for (const [began, counts] of stretches) {
    const bucket = buckets[Math.floor((began - first) / width)];
    for (const [state, count] of Object.entries(counts)) bucket[state] = (bucket[state] || 0) + count;
  }
  const sum = (bucket) => Object.values(bucket).reduce((total, one) => total + one, 0);
  const most = Math.max(1, ...buckets.map(sum));
  const label = (index) => new Date((first + index * width) * 1000).toISOString().slice(11, width < 60 ? 19 : 16);
  fill(
    byId("pace"),
    make(
      "div",
      { class: "bars", role: "img", "aria-label": `at most ${number(most)} rows in ${duration(width)}` },
      ...buckets.map((bucket, index) => {
        const column = make("div", { class: "column", title: `${label(index)} UTC: ${number(sum(bucket))} rows` });
        for (const state of [...ORDER].reverse().filter((one) => bucket[one])) {
          const part = make("span", { class: `s-${state}` });
          part.style.height = `${(100 * bucket[state]) / most}%`;
          column.append(part);
        }
        return column;
      }),
    ),
    make("div", { class: "axis quiet" }, make("span", { text: `${label(0)} UTC` }),
      make("span", { text: `${duration(width)} a bar, ${number(most)} rows in the tallest` }),
      make("span", { text: `${label(buckets.length - 1)} UTC` })),
  );
}

/** How full the windows of the request limit were, by what the run noted every few seconds. */
export function showLimit(run) {
  const { reserve, samples } = run.limit_use;
  if (samples.length < 2) {
    fill(byId("limit"), make("p", {
      class: "quiet",
      text: run.task.is_live
        ? "No record yet. The run notes every few seconds how much of the limit is used."
        : "This run has no record of it. Runs keep one from Airflow 3.3 on, when they take longer than a few seconds.",
    }));
    return;
  }
  const [first, last] = [samples[0][0], samples[samples.length - 1][0]];
  const width = Math.max(1, Math.ceil((last - first + 1) / 60));
  const fullest = Array.from({ length: Math.floor((last - first) / width) + 1 }, () => null);
  const used = ([, , limit, remaining]) => (limit - remaining) / limit;
  for (const sample of samples) {
    const place = Math.floor((sample[0] - first) / width);
    if (!fullest[place] || used(sample) > used(fullest[place])) fullest[place] = sample;
  }
  const clock = (at) => new Date(1000 * at).toISOString().slice(11, 19);
  const kept = reserve || 0;
  const line = make("div", { class: "reserve", title: `${share(kept, 1)} of each window is left to others` });
  line.style.bottom = `${100 * (1 - kept)}%`;
  const most = samples.reduce((one, other) => (used(other) > used(one) ? other : one));
  const said = `at most ${number(most[2] - most[3])} of ${number(most[2])} requests of a window used`;
  fill(
    byId("limit"),
    make(
      "div",
      { class: "bars limits", role: "img", "aria-label": `${said}, ${share(kept, 1)} left to others` },
      ...fullest.map((sample) => {
        if (!sample) return make("div", { class: "column" });
        const [at, sent, limit, remaining] = sample;
        const title = `${clock(at)} UTC: ${number(limit - remaining)} of ${number(limit)} requests of the window used by ` +
          `everybody; ${number(sent)} sent by this run so far`;
        const part = make("span", { class: used(sample) > 1 - kept + 0.005 ? "full" : "s-change" });
        part.style.height = `${100 * used(sample)}%`;
        return make("div", { class: "column", title }, part);
      }),
      line,
    ),
    make("div", { class: "axis quiet" }, make("span", { text: `${clock(first)} UTC` }),
      make("span", { text: `dashed: ${share(kept, 1)} left to others` }), make("span", { text: `${clock(last)} UTC` })),
    make("div", { class: "caption quiet", text: said }),
  );
}
