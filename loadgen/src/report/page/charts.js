// Which charts there are, and what is in them.

/** What happened in each point of the series, a second. */
function rates(report, of) {
  return report.series.map((point, index) => {
    const before = index ? report.series[index - 1].at_s : 0;
    const time = point.at_s - before;
    return [point.at_s, time > 0 ? of(point) / time : null];
  });
}
const counted = (report, name) => rates(report, (point) => point.counts[name] ?? 0);
const happens = (points) => points.some((point) => point[1] > 0);
/** Lines without those on which nothing ever happened. */
const moving = (lines) => lines.filter((line) => happens(line.points));

function latency(report, name, colour, title) {
  const of = (index) => report.series.map((point) => {
    const timing = point.timings.find((timing) => timing[0] === name);
    return [point.at_s, timing ? timing[index] : null];
  });
  return {
    title,
    value: lasting,
    log: true,
    empty: "No message was timed.",
    lines: [
      { name: "p50", colour, points: of(1) },
      { name: "p99", colour, dash: "dashed", points: of(2), area: "p50" },
      { name: "most", colour, dash: "dotted", points: of(3) },
    ],
  };
}

const TIMED = [
  ["arrived", "arrived", "c1"],
  ["acknowledged", "acknowledged", "c2", "dashed"],
  ["opened", "stream opened", "c3"],
  ["caught_up", "caught up", "c4", "dashed"],
  ["sent_late", "sent late", "c6", "dotted"],
];

/** The run's timings, and of what did not occur in it, those of all phases. */
function timings(report) {
  return TIMED.map(([name, label, colour, dash]) => {
    const of = (totals) => totals.timings.find((summary) => summary.name === name);
    const inRun = of(report.run);
    return { name, label: inRun ? label : `${label} (all phases)`, colour, dash, summary: inRun ?? of(report.all) };
  }).filter((timed) => timed.summary);
}

/** Percentiles with the room for nines that they deserve: x is how many nines. */
function percentiles(report) {
  const timed = timings(report);
  const nines = (quantile) => -Math.log10(1 - quantile);
  // What one of n took longest is at 1 - 1/n: further to the right nothing was measured.
  const end = Math.max(1, ...timed.map(({ summary }) => Math.log10(Math.max(summary.count, 2))));
  const ticks = [[0, "0 %"], [nines(0.5), "50 %"], [1, "90 %"], [2, "99 %"], [3, "99.9 %"], [4, "99.99 %"], [5, "99.999 %"], [6, "99.9999 %"], [7, "99.99999 %"]];
  const points = ({ summary }) => {
    const last = Math.log10(Math.max(summary.count, 2));
    const inside = summary.curve.filter(([quantile]) => quantile < 1 && nines(quantile) < last).map(([quantile, us]) => [nines(quantile), us]);
    return [...inside, [last, summary.max_us]];
  };
  const percent = (at) => {
    const digits = Math.max(Math.ceil(at) - 1, 0);
    return `${((1 - 10 ** -at) * 100).toFixed(Math.min(digits, 6))} % took at most`;
  };
  return {
    title: "Percentiles",
    wide: true,
    curve: true,
    value: lasting,
    log: true,
    end,
    ticks: ticks.filter(([at]) => at <= end + 0.01),
    place: percent,
    empty: "Nothing was timed.",
    lines: timed.map((one) => ({ name: one.label, colour: one.colour, dash: one.dash, points: points(one) })),
  };
}

const ERRORS = ["connect", "handshake", "no_answer", "busy", "refused", "broken", "silent", "malformed", "overrun", "unanswered"];
const ERROR_NAMES = {
  connect: "cannot connect", handshake: "no handshake", no_answer: "no answer", broken: "stream broken",
  silent: "stream silent", overrun: "generator overrun", unanswered: "unanswered at the end",
};
const errorName = (kind) => ERROR_NAMES[kind] ?? words(kind);

function errors(report) {
  const kinds = [...new Set([...ERRORS, ...Object.keys(report.all.errors)])].filter((kind) => report.all.errors[kind]);
  return {
    title: "Errors a second, by kind",
    wide: true,
    value: plain,
    empty: "No errors.",
    lines: kinds.map((kind, index) => ({
      name: errorName(kind), colour: `c${[5, 2, 4, 1, 3, 6][index % 6]}`, bars: true,
      points: rates(report, (point) => point.errors[kind]?.count ?? 0),
    })),
  };
}

/** Looks at several processes as one: by whole seconds, each at its newest look of the last three. */
function together(watched, of) {
  const looks = watched.map((one) => of(one.samples));
  const at = [...new Set(looks.flat().map((look) => Math.round(look[0])))].sort((a, b) => a - b);
  const next = looks.map(() => 0);
  return at.map((second) => {
    let sum = null;
    looks.forEach((points, index) => {
      while (next[index] < points.length && Math.round(points[next[index]][0]) <= second) next[index] += 1;
      const last = points[next[index] - 1];
      if (last && last[1] !== null && second - last[0] < 3) sum = (sum ?? 0) + last[1];
    });
    return [second, sum];
  });
}
const resident = (samples) => broken(samples.map((sample) => [sample.at_s, sample.resident_bytes]));
const cores = (samples) => broken(samples.slice(1).map((sample, index) => {
  const before = samples[index];
  const used = sample.cpu_s === null || before.cpu_s === null ? -1 : sample.cpu_s - before.cpu_s;
  return [sample.at_s, used < 0 ? null : used / (sample.at_s - before.at_s)];
}));
/** A gap where looks are missing: nobody knows what was there. */
function broken(points) {
  const apart = points.slice(1).map((point, index) => point[0] - points[index][0]).sort((a, b) => a - b);
  const most = 2.5 * (apart[apart.length >> 1] ?? 1);
  return points.flatMap((point, index) => {
    const before = points[index - 1];
    return before && point[0] - before[0] > most ? [[(before[0] + point[0]) / 2, null], point] : [point];
  });
}

/** Servers each, a few of them; the generators' sum. */
const SERVER_LINES_MAX = 4;
function processes(report, of) {
  const servers = report.servers.length > SERVER_LINES_MAX
    ? [{ name: `${report.servers.length} servers`, points: together(report.servers, of) }]
    : report.servers.map((one) => ({ name: report.servers.length > 1 ? one.name : "server", points: of(one.samples) }));
  const lines = servers.map((line, index) => ({ ...line, colour: `c${[1, 3, 4, 5][index]}` }));
  if (report.generators.length) lines.push({ name: "load generator", colour: "c6", dash: "dashed", points: together(report.generators, of) });
  return lines;
}

function charts(report) {
  const end = Math.max(report.all.seconds, 1);
  const streams = report.series.map((point) => [point.at_s, point.streams]);
  const queued = report.series.map((point) => [point.at_s, point.queued]);
  const unseen = "No server was watched: --pid or --metrics does it.";
  const latencies = [
    latency(report, "arrived", "c1", "Until a message arrived"),
    latency(report, "acknowledged", "c2", "Until a message was acknowledged"),
  ];
  // They stand side by side: one scale for both.
  const both = latencies.flatMap((spec) => spec.lines.flatMap((line) => line.points.map((point) => point[1]))).filter(Boolean);
  latencies.forEach((spec) => { spec.range = both; });
  const specs = [
    ...latencies,
    percentiles(report),
    { title: "Messages a second", wide: true, value: plain, empty: "No message was sent.", lines: moving([
      { name: "due", colour: "c6", dash: "dashed", points: counted(report, "messages_due") },
      { name: "acknowledged", colour: "c2", points: counted(report, "messages_acknowledged") },
      { name: "arrived", colour: "c1", points: counted(report, "messages_arrived") },
      { name: "waiting for a connection", colour: "c5", dash: "dotted", points: queued },
    ]) },
    { title: "Streams open", value: plain, empty: "No stream was opened.", lines: moving([{ name: "open", colour: "c3", points: streams, area: "zero" }]) },
    { title: "Streams a second", value: plain, empty: "No stream was opened.", lines: moving([
      { name: "opened", colour: "c3", points: counted(report, "streams_opened") },
      { name: "cut", colour: "c2", dash: "dashed", points: counted(report, "streams_cut") },
      { name: "left", colour: "c4", dash: "dotted", points: counted(report, "streams_left") },
      { name: "ended by the server", colour: "c5", points: counted(report, "streams_ended") },
    ]) },
    errors(report),
    { title: "Resident memory", value: bytes, empty: unseen, lines: processes(report, resident) },
    { title: "Cores busy", value: plain, empty: unseen, lines: processes(report, cores) },
  ];
  return specs.map((spec) => card({ end, phases: spec.curve ? undefined : report.phases, ...spec }));
}
