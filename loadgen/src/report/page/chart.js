// One chart: lines, areas or bars over time or over percentiles, with a cross that follows pointer and keys.

const MARGIN = { top: 22, right: 10, bottom: 24, left: 52 };
const HEIGHT = 230;

/** A short piece of a line as a key to it. */
function swatch(line) {
  return svg("svg", { width: 18, height: 10, "aria-hidden": "true" }, [
    svg("line", { x1: 1, x2: 17, y1: 5, y2: 5, class: `line ${line.colour} ${line.dash ?? ""}`,
      "stroke-width": line.bars ? 8 : 2, "stroke-dasharray": { dashed: "5 3", dotted: "1.5 3" }[line.dash] }),
  ]);
}

/**
 * A card with a chart.
 * `spec`: title, lines, wide, value (figure to text), log, range (values that the scale is to hold instead of its own), phases, end,
 * curve (x is a percentile), empty (the sentence if there is nothing to see).
 * A line: name, colour, dash, points [[x, y | null]…] ascending, area (down to 0, or to a line by name), bars.
 */
function card(spec) {
  const lines = spec.lines.filter((line) => line.points.some((point) => point[1] !== null));
  const key = lines.map((line) => html("li", {}, [swatch(line), line.name]));
  const caption = html("figcaption", {}, [html("h2", {}, spec.title), html("ul", { class: "legend" }, key)]);
  const figure = html("figure", { class: spec.wide ? "card wide" : "card" }, caption);
  if (lines.length === 0) {
    figure.append(html("p", { class: "empty" }, spec.empty));
    return figure;
  }
  const plot = html("div", { class: "plot" });
  figure.append(plot);
  let drawn = 0;
  new ResizeObserver(() => {
    const width = Math.floor(plot.clientWidth);
    if (width > 0 && width !== drawn) {
      drawn = width;
      plot.replaceChildren(...chart(spec, lines, width));
    }
  }).observe(plot);
  return figure;
}

/** In words, for those who do not see it. */
function told(spec, lines) {
  const parts = lines.map((line) => {
    const values = line.points.map((point) => point[1]).filter((value) => value !== null);
    const least = values.reduce((a, b) => Math.min(a, b)), most = values.reduce((a, b) => Math.max(a, b));
    return `${line.name} from ${spec.value(least)} to ${spec.value(most)}, ${spec.value(values.at(-1))} at last`;
  });
  return `${spec.title}. ${parts.join("; ")}. Arrow keys read single values.`;
}

function scales(spec, lines, width) {
  const left = MARGIN.left, right = width - MARGIN.right, top = MARGIN.top, bottom = HEIGHT - MARGIN.bottom;
  const values = spec.range ?? (lines[0].bars
    ? lines[0].points.map((_, index) => lines.reduce((sum, line) => sum + (line.points[index][1] ?? 0), 0))
    : lines.flatMap((line) => line.points.map((point) => point[1])).filter((value) => value !== null));
  const most = values.reduce((a, b) => Math.max(a, b), 0);
  const end = spec.end || 1;
  const x = (at) => left + (at / end) * (right - left);
  if (spec.log) {
    const above = values.filter((value) => value > 0);
    const low = 10 ** Math.floor(Math.log10(above.reduce((a, b) => Math.min(a, b), Infinity)) + 0.02);
    const high = Math.max(10 ** Math.ceil(Math.log10(most) - 0.02), low * 10);
    const span = Math.log10(high / low);
    const y = (value) => bottom - (Math.log10(Math.max(value, low) / low) / span) * (bottom - top);
    const ticks = Array.from({ length: Math.round(span) + 1 }, (_, index) => low * 10 ** index);
    return { x, y, ticks, left, right, top, bottom };
  }
  const ticks = steps(most || 1, 4);
  const step = ticks[1] ?? 1;
  if (ticks.at(-1) < most) ticks.push(ticks.at(-1) + step);
  const y = (value) => bottom - (value / ticks.at(-1)) * (bottom - top);
  return { x, y, ticks, left, right, top, bottom };
}

function chart(spec, lines, width) {
  const scale = scales(spec, lines, width);
  const root = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", tabindex: 0,
    "aria-label": told(spec, lines) });
  root.append(...shades(spec, scale), ...axes(spec, scale, width));
  for (const line of lines) root.append(...(line.bars ? bars(line, lines, scale) : drawn(line, lines, scale)));
  const cross = svg("line", { class: "cross", y1: scale.top, y2: scale.bottom, visibility: "hidden" });
  const dots = lines.map((line) => svg("circle", { r: 3.2, class: line.colour, visibility: "hidden" }));
  const tip = html("div", { class: "tip", role: "status", hidden: "" });
  root.append(cross, ...dots);
  follow({ spec, lines, scale, width, root, cross, dots, tip });
  return [root, tip];
}

/** Phases as faint grounds with their names. */
function shades(spec, scale) {
  return (spec.phases ?? []).flatMap((phase, index) => {
    const from = scale.x(phase.at_s), to = scale.x(phase.at_s + phase.seconds);
    const ground = svg("rect", { x: from, y: scale.top, width: Math.max(to - from, 0), height: scale.bottom - scale.top,
      class: `shade ${phase.phase}`, opacity: phase.phase === "run" || index % 2 ? 1 : 0.45 });
    const name = words(phase.phase).replace("warm up", "warm-up");
    const fits = to - from > name.length * 6.2;
    return fits ? [ground, svg("text", { x: (from + to) / 2, y: scale.top - 7, "text-anchor": "middle", class: "phase" }, name)] : [ground];
  });
}

function axes(spec, scale, width) {
  const parts = [];
  const every = Math.ceil(scale.ticks.length / 7);
  scale.ticks.forEach((tick, index) => {
    if (index % every) return;
    const y = Math.round(scale.y(tick)) + 0.5;
    parts.push(svg("line", { x1: scale.left, x2: scale.right, y1: y, y2: y, class: index ? "grid" : "axis" }));
    parts.push(svg("text", { x: scale.left - 7, y: y + 4, "text-anchor": "end" }, spec.value(tick)));
  });
  const ticks = spec.ticks ?? timeSteps(spec.end || 1, Math.max(Math.floor(width / 90), 3)).map((at) => [at, clock(at)]);
  let taken = -Infinity;
  for (const [at, name] of ticks) {
    const x = scale.x(at), half = name.length * 3.2;
    if (x - half < taken + 6 || x > scale.right + 1) continue;
    taken = x + half;
    if (spec.curve) parts.push(svg("line", { x1: x, x2: x, y1: scale.top, y2: scale.bottom, class: "grid" }));
    const anchor = x + half > width ? "end" : "middle";
    parts.push(svg("text", { x: anchor === "end" ? width : x, y: scale.bottom + 17, "text-anchor": anchor }, name));
  }
  return parts;
}

/** A line with gaps where nothing was measured; a point alone between gaps is a dot. */
function drawn(line, lines, scale) {
  const runs = [[]];
  for (const point of line.points) {
    if (point[1] === null) { if (runs.at(-1).length) runs.push([]); } else runs.at(-1).push(point);
  }
  const place = ([x, y]) => `${scale.x(x).toFixed(1)},${scale.y(y).toFixed(1)}`;
  const parts = [];
  const under = line.area && lines.find((other) => other.name === line.area);
  const floor = new Map((under ? under.points : []).map((point) => [point[0], point[1]]));
  for (const run of runs.filter((run) => run.length)) {
    if (line.area) {
      const below = run.map(([x]) => (floor.get(x) == null ? `${scale.x(x).toFixed(1)},${scale.bottom}` : place([x, floor.get(x)])));
      parts.push(svg("path", { class: `area ${line.colour}`, d: `M${run.map(place).join("L")}L${below.reverse().join("L")}Z` }));
    }
    const d = run.length > 1 ? `M${run.map(place).join("L")}` : `M${place(run[0])}h0.01`;
    parts.push(svg("path", { class: `line ${line.colour} ${line.dash ?? ""}`, d }));
  }
  return parts;
}

/** Bars that stand on those of the lines before. */
function bars(line, lines, scale) {
  const before = lines.slice(0, lines.indexOf(line));
  const parts = [];
  line.points.forEach(([x, y], index) => {
    if (!y) return;
    const base = before.reduce((sum, other) => sum + (other.points[index][1] ?? 0), 0);
    const from = scale.x(index ? line.points[index - 1][0] : Math.max(x - 1, 0));
    const width = Math.max(scale.x(x) - from - 0.5, 1.5);
    const top = scale.y(base + y), bottom = scale.y(base);
    parts.push(svg("rect", { x: from, y: Math.min(top, bottom - 1.5), width, height: Math.max(bottom - top, 1.5), class: `bar ${line.colour}` }));
  });
  return parts;
}

/** The cross goes to the nearest point of any line; pointer, touch and arrow keys move it. */
function follow({ spec, lines, scale, width, root, cross, dots, tip }) {
  const places = [...new Set(lines.flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
  const maps = lines.map((line) => new Map(line.points));
  let at = -1;
  const hide = () => {
    at = -1;
    tip.hidden = true;
    [cross, ...dots].forEach((part) => part.setAttribute("visibility", "hidden"));
  };
  const show = (index) => {
    at = Math.min(Math.max(index, 0), places.length - 1);
    const place = places[at], x = scale.x(place);
    put(cross, { x1: x, x2: x, visibility: "visible" });
    const rows = [];
    lines.forEach((line, index) => {
      const value = maps[index].get(place) ?? null;
      const none = value === null || line.bars;
      dots[index].setAttribute("visibility", none ? "hidden" : "visible");
      if (!none) put(dots[index], { cx: x, cy: scale.y(value) });
      if (value !== null) {
        rows.push(html("tr", {}, [html("td", {}, [swatch(line), line.name]), html("td", {}, spec.value(value))]));
      }
    });
    tip.replaceChildren(html("b", {}, spec.place ? spec.place(place) : inPhase(spec, place)), html("table", {}, html("tbody", {}, rows)));
    tip.hidden = false;
    const left = x + 12 + tip.offsetWidth < width ? x + 12 : x - 12 - tip.offsetWidth;
    tip.style.left = `${Math.max(left, 0)}px`;
    tip.style.top = `${MARGIN.top}px`;
  };
  const nearest = (event) => {
    const box = root.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * width;
    let low = 0, high = places.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (scale.x(places[middle]) < x) low = middle + 1; else high = middle;
    }
    show(low > 0 && x - scale.x(places[low - 1]) < scale.x(places[low]) - x ? low - 1 : low);
  };
  root.addEventListener("pointermove", nearest);
  root.addEventListener("pointerdown", nearest);
  root.addEventListener("pointerleave", hide);
  root.addEventListener("blur", hide);
  root.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: places.length - 1 };
    if (event.key === "Escape") hide();
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(moves[event.key]);
  });
}

function inPhase(spec, at) {
  const phase = (spec.phases ?? []).findLast((phase) => phase.at_s < at || phase.at_s === 0);
  return phase ? `${clock(at)}, ${words(phase.phase).replace("warm up", "warm-up")}` : clock(at);
}
