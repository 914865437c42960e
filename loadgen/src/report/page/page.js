// The page: what is first, the charts, and the tables behind them.

function table(head, rows, wordy) {
  const kind = (index) => ({ class: index === wordy ? "words" : undefined });
  return html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "table" }, html("table", {}, [
    html("thead", {}, html("tr", {}, head.map((cell, index) => html("th", { scope: "col", ...kind(index) }, cell)))),
    html("tbody", {}, rows.map((row) => html("tr", {}, row.map((cell, index) => html("td", kind(index), cell))))),
  ]));
}

function section(title, ...parts) {
  return html("section", { class: "card wide" }, [html("h2", {}, title), ...parts]);
}

function header(report) {
  const workers = `${report.workers} ${report.workers === 1 ? "worker" : "workers"}, seed ${report.seed}`;
  return html("header", {}, [
    html("h1", {}, `${report.scenario} against ${report.server}`),
    html("p", { class: "soft" }, report.targets.join(", ")),
    html("p", { class: "soft small" }, `${report.started_at} · ${report.machine} · ${workers} · godwit-loadgen ${report.version}`),
  ]);
}

function banners(report) {
  const found = [];
  const banner = (kind, name, rest, more) =>
    found.push(html("div", { class: `banner ${kind}` }, [html("strong", {}, name), rest, ...(more ? [html("pre", {}, more)] : [])]));
  if (report.interrupted) banner("odd", "Ended before its time.", " The figures are of what was done until then.");
  const verdict = report.verdict;
  if (!verdict) return found;
  const looked = ["messages", "deliveries", "events", "streams", "resumes"].map((name) => `${whole(verdict[name])} ${name}`).join(", ");
  if (verdict.violation) banner("bad", "A guarantee was broken.", ` Looked at: ${looked}.`, verdict.violation);
  else if (verdict.inconclusive) banner("odd", "No verdict.", ` ${verdict.inconclusive} Looked at: ${looked}.`);
  else banner("good", "0 violations", ` in ${looked}.`);
  return found;
}

function tiles(report) {
  const tile = (name, figure, ...more) => html("div", {}, [html("dt", {}, name), html("dd", {}, figure), ...more.filter(Boolean).map((line) => html("dd", {}, line))]);
  const run = report.run, per = (name) => (run.counts[name] ?? 0) / run.seconds;
  const found = [];
  for (const [name, title] of [["messages_acknowledged", "Acknowledged"], ["messages_arrived", "Arrived"]]) {
    if (run.counts[name]) found.push(tile(title, `${plain(per(name))} /s`, `${whole(run.counts[name])} in ${seconds(run.seconds)}`));
  }
  for (const one of timings(report)) {
    if (!["arrived", "acknowledged", "opened"].includes(one.name)) continue;
    const { p50_us, p99_us, max_us } = one.summary;
    found.push(tile(`Until ${one.label}: p99`, lasting(p99_us), `p50 ${lasting(p50_us)}, most ${lasting(max_us)}`));
  }
  const most = report.series.reduce((most, point) => Math.max(most, point.streams), 0);
  if (most) found.push(tile("Most streams open", whole(most)));
  const failed = (totals) => Object.values(totals.errors).reduce((sum, kind) => sum + kind.count, 0);
  found.push(tile("Errors", whole(failed(report.all)), `${whole(failed(run))} in the run`));
  const memory = report.memory, cpu = report.cpu;
  const perStream = (size) => (size === null || size === undefined ? null : `${whole(size)} B`);
  const server = perStream(memory?.server_bytes_per_stream), generator = perStream(memory?.generator_bytes_per_stream);
  if (server || generator) {
    found.push(tile("Server's memory a stream", server ?? "not known", generator && `load generator ${generator}`));
  }
  const busy = (cores) => (cores === null || cores === undefined ? null : cores.toFixed(2));
  const serverCores = busy(cpu?.server_cores), generatorCores = busy(cpu?.generator_cores);
  if (serverCores || generatorCores) {
    found.push(tile("Server's busy cores", serverCores ?? "not known", generatorCores && `load generator ${generatorCores}`));
  }
  return html("dl", { class: "tiles" }, found);
}

function timesTable(report) {
  const rows = timings(report).map(({ label, summary }) => [
    label, whole(summary.count), ms(summary.mean_us),
    ...["min_us", "p50_us", "p90_us", "p99_us", "p999_us", "max_us"].map((name) => ms(summary[name])),
  ]);
  const head = ["", "count", "mean", "least", "p50", "p90", "p99", "p99.9", "most"];
  const note = "Times count from the moment at which something was to be done, drawn before the run: a pause of the server shows in all that it held up.";
  return section("Times in milliseconds", rows.length ? table(head, rows) : html("p", { class: "empty" }, "Nothing was timed."), html("p", { class: "soft small" }, note));
}

function countsTable(report) {
  const { run, all } = report;
  const rows = Object.entries(all.counts).map(([name, count]) => [
    words(name), whole(run.counts[name] ?? 0), run.seconds > 0 ? plain((run.counts[name] ?? 0) / run.seconds) : "", whole(count),
  ]);
  const head = ["", "in the run", "a second", "in all phases"];
  return section("Counts", rows.length ? table(head, rows) : html("p", { class: "empty" }, "Nothing happened."));
}

function errorsTable(report) {
  const rows = Object.entries(report.all.errors).map(([kind, failures]) => [
    errorName(kind), whole(failures.count), whole(report.run.errors[kind]?.count ?? 0), failures.first,
  ]);
  return rows.length ? [section("Errors", table(["", "in all phases", "in the run", "the first one"], rows, 3))] : [];
}

function phasesTable(report) {
  const rows = report.phases.map((phase) => [words(phase.phase).replace("warm up", "warm-up"), clock(phase.at_s), seconds(phase.seconds)]);
  return rows.length ? [section("Phases", table(["", "began at", "took"], rows))] : [];
}

function page(report) {
  const asked = html("details", {}, [html("summary", {}, "What was asked for"), html("pre", {}, report.command)]);
  const history = report.verdict?.history.length ? [html("p", { class: "soft small" }, `History: ${report.verdict.history.join(", ")}`)] : [];
  return [
    header(report), ...banners(report), tiles(report), html("div", { class: "cards" }, [
      ...charts(report), timesTable(report), countsTable(report), ...errorsTable(report), ...phasesTable(report),
    ]), asked, ...history,
  ];
}

document.getElementById("page").replaceChildren(...page(JSON.parse(document.getElementById("report").textContent)));
