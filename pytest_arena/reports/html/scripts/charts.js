// Pictures of a job's episodes, drawn from the rows of their table: distributions by outcome, end reasons, and the
// success rate as it ran. Nothing is drawn of what is the same in all episodes, or nowhere.

const SVG = "http://www.w3.org/2000/svg";
const FEWEST = 4; // episodes: of fewer the table says more
const WIDTH = 380; // of every chart, in its own units; the page scales it
const FROM = 8, TO = 364; // where axes begin and end
const DOTS = 80; // values of one outcome; more are drawn as bars
const BARS = 30;
const POINTS = 600; // of a line; of more episodes some are left out
const REASONS = 8;
const CUT = 40; // letters of a name in a picture

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const short = (value) => String(Number(value.toPrecision(4)));
const cut = (text) => (text.length > CUT ? `${text.slice(0, CUT)}…` : text);
const at = (value) => value.toFixed(1);

jobOpened.push((section) => {
  const read = readEpisodes(section);
  if (!read || read.episodes.length < FEWEST) return;
  const column = (key) => read.columns.find((one) => one.key === key && !one.same);
  const charts = [runningRate(read), endReasons(read, column("reason"))];
  for (const key of ["length", "return", "time"]) charts.push(distribution(read, column(key), column("length")));
  const drawn = charts.filter(Boolean);
  if (drawn.length) read.panel.after(element("div", { className: "charts" }, ...drawn));
});

// A chart with its title, and its numbers in words: `said` are nodes.
function chart(title, height, parts, said) {
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": title }, ...parts);
  return element("figure", { className: "chart" }, element("h4", {}, title), picture, element("figcaption", {}, ...said));
}

// An axis along the bottom, up to the coordinate `to`: round numbers, and the scale from values to coordinates.
function axis(low, high, y, unit, to = TO) {
  const step = Math.max(unit ? 1 : 0, roundStep((high - low) / 5)); // what has a unit is counted
  const scale = (value) => FROM + ((value - low) / (high - low)) * (to - FROM);
  const parts = [svg("line", { class: "axis", x1: FROM, x2: to, y1: y, y2: y })];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-6; tick += step) {
    const x = at(scale(tick));
    const anchor = scale(tick) > to - 12 ? "end" : scale(tick) < FROM + 12 ? "start" : "middle";
    parts.push(svg("line", { class: "axis", x1: x, x2: x, y1: y, y2: y + 4 }));
    parts.push(svg("text", { x, y: y + 16, "text-anchor": anchor }, short(tick)));
  }
  if (unit) parts.push(svg("text", { class: "unit", x: to, y: y + 30, "text-anchor": "end" }, cut(unit)));
  return { scale, parts };
}

function roundStep(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= step * 0.999);
}

function distribution({ episodes }, column, length) {
  if (!column) return null;
  const lanes = Object.keys(GLYPHS)
    .map((outcome) => ({ outcome, values: numbersOf(episodes, outcome, column).sort((a, b) => a - b) }))
    .filter((lane) => lane.values.length);
  const every = lanes.flatMap((lane) => lane.values);
  const low = every.reduce((a, b) => Math.min(a, b), Infinity), high = every.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!(high > low)) return null;
  const isLength = column.key === "time" && length && episodes.every((one) => [null, cellNumber(length, one)].includes(cellNumber(column, one)));
  if (isLength) return null; // each success ends its episode: the distribution is that of the lengths
  const height = 46 * lanes.length + (column.unit ? 36 : 22);
  const { scale, parts } = axis(low, high, 46 * lanes.length, column.unit);
  lanes.forEach((lane, number) => parts.push(laneOf(lane, 46 * number, scale, low, high)));
  const said = lanes.map(({ outcome, values }) =>
    element("span", {}, outcomeMark(outcome), ` ${values.length}: ${inWords(values)}`),
  );
  const name = column.key === "time" ? "Time to success" : column.key === "length" ? "Length" : "Return";
  return chart(name, height, parts, said);
}

const numbersOf = (episodes, outcome, column) =>
  episodes.filter((one) => one.outcome === outcome && !one.beyond).map((one) => cellNumber(column, one)).filter((value) => value !== null);

const median = (sorted) => (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;

function inWords(sorted) {
  const [first, last] = [sorted[0], sorted.at(-1)].map(short);
  return first === last ? first : `median ${short(median(sorted))}, ${first} to ${last}`;
}

function binned(values, low, high) {
  const counts = new Array(BARS).fill(0);
  for (const value of values) counts[Math.min(BARS - 1, Math.floor(((value - low) / (high - low)) * BARS))] += 1;
  return counts;
}

// The values of one outcome: marks of its own shape, or bars where there are many; and their median.
function laneOf({ outcome, values }, top, scale, low, high) {
  const lane = svg("g", { class: `lane ${outcome[0]}` });
  lane.append(svg("text", { x: FROM, y: top + 12 }, `${GLYPHS[outcome]} ${outcome}`));
  if (values.length <= DOTS) {
    values.forEach((value, number) => lane.append(mark(outcome, scale(value), top + 24 + ((number * 0.618) % 1) * 14)));
  } else {
    const counts = binned(values, low, high);
    const most = Math.max(...counts); // of this outcome: failures are few, and have a shape as well
    counts.forEach((count, bar) => {
      const tall = (count / most) * 28;
      const x = FROM + (bar / BARS) * (TO - FROM);
      if (count) lane.append(svg("rect", { x: at(x), y: at(top + 44 - tall), width: at((TO - FROM) / BARS - 1), height: at(tall) }));
    });
  }
  const middle = at(scale(median(values)));
  lane.append(svg("line", { class: "median", x1: middle, x2: middle, y1: top + 17, y2: top + 45 }));
  return lane;
}

// A disc, a cross, a triangle, a ring: told apart without colours.
function mark(outcome, x, y) {
  const [left, right, up, down] = [x - 3.5, x + 3.5, y - 3.5, y + 3.5].map(at);
  if (outcome === "success") return svg("circle", { cx: at(x), cy: at(y), r: 3.5 });
  if (outcome === "failure") return svg("path", { class: "stroke", d: `M${left} ${up}L${right} ${down}M${left} ${down}L${right} ${up}` });
  if (outcome === "error") return svg("path", { d: `M${at(x)} ${up}L${right} ${down}L${left} ${down}Z` });
  return svg("circle", { class: "stroke", cx: at(x), cy: at(y), r: 3.2 });
}

function endReasons({ episodes }, column) {
  if (!column) return null;
  const reasons = new Map();
  for (const one of episodes.filter((episode) => !episode.beyond)) {
    const reason = cellText(column, one);
    if (!reasons.has(reason)) reasons.set(reason, {});
    reasons.get(reason)[one.outcome] = (reasons.get(reason)[one.outcome] || 0) + 1;
  }
  const total = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
  const sorted = Array.from(reasons).sort((a, b) => total(b[1]) - total(a[1]));
  if (sorted.length < 2) return null;
  const shown = sorted.slice(0, REASONS);
  const widest = total(sorted[0][1]);
  const parts = shown.flatMap(([reason, counts], number) => reasonBar(cut(reason), counts, 34 * number, widest));
  const said = shown.map(([reason, counts]) =>
    element("span", {}, element("bdi", {}, cut(reason)), " ", Object.keys(GLYPHS).filter((o) => counts[o]).map((o) => `${GLYPHS[o]} ${counts[o]}`).join(", ")),
  );
  if (sorted.length > shown.length) said.push(element("span", {}, `and ${sorted.length - shown.length} more reasons`));
  return chart("End reasons", 34 * shown.length + 2, parts, said);
}

function reasonBar(reason, counts, top, widest) {
  const parts = [svg("text", { x: FROM, y: top + 12, direction: "auto" }, `\u2068${reason}\u2069`)];
  let x = FROM;
  for (const outcome of Object.keys(GLYPHS).filter((one) => counts[one])) {
    const wide = (counts[outcome] / widest) * (TO - FROM);
    const bar = svg("g", { class: `lane ${outcome[0]}` }, svg("rect", { x: at(x), y: top + 17, width: at(Math.max(1, wide - 1)), height: 13 }));
    const label = `${GLYPHS[outcome]} ${counts[outcome]}`;
    if (wide > label.length * 7.5) bar.append(svg("text", { class: "inside", x: at(x + 4), y: top + 27.5 }, label));
    parts.push(bar);
    x += wide;
  }
  return parts;
}

function runningRate({ episodes, table }) {
  const counted = episodes.filter((one) => !one.beyond);
  if (new Set(counted.map((one) => one.outcome)).size < 2) return null;
  const top = 10, bottom = 130;
  const y = (rate) => bottom - rate * (bottom - top);
  const to = TO - 34;
  const { scale, parts } = axis(0, counted.length, bottom, "episodes, in their order", to);
  for (const rate of [0, 0.5, 1]) {
    parts.push(svg("line", { class: "grid-line", x1: FROM, x2: to, y1: y(rate), y2: y(rate) }));
    parts.push(svg("text", { class: "on-line", x: to + 5, y: y(rate) + 3.5 }, `${rate * 100}%`));
  }
  const { points, errors, rate } = runningPoints(counted);
  for (const bound of (table.dataset.bounds || "").split(" ").filter(Boolean).map(Number)) {
    const beside = bound < 0.15 || (rate < bound && bound < 0.9) ? -4 : 12; // not where the line ends
    parts.push(svg("line", { class: "bound", x1: FROM, x2: to, y1: at(y(bound)), y2: at(y(bound)) }));
    parts.push(svg("text", { class: "on-line", x: to - 2, y: at(y(bound) + beside), "text-anchor": "end" }, `threshold ${short(bound * 100)}%`));
  }
  const line = thinned(points).map(([place, value], number) => `${number ? "L" : "M"}${at(scale(place))} ${at(y(value))}`);
  parts.push(svg("path", { class: "rate-line", d: line.join("") }));
  thinned(errors, 100).forEach((place) => parts.push(svg("g", { class: "lane e" }, mark("error", scale(place), bottom - 5))));
  const said = [element("span", {}, rate === null ? "no episode was measured" : `${(rate * 100).toFixed(1)}% in the end`)];
  if (errors.length) said.push(element("span", {}, outcomeMark("error"), ` ${errors.length}, in no rate`));
  return chart("Running success rate", 162, parts, said);
}

// The rate after each measured episode, as [episodes so far, rate], and after how many the errors came.
function runningPoints(episodes) {
  const points = [], errors = [];
  let successes = 0, measured = 0;
  episodes.forEach(({ outcome }, place) => {
    if (outcome === "error") errors.push(place + 1);
    if (outcome === "success") successes += 1;
    if (outcome === "success" || outcome === "failure") {
      measured += 1;
      points.push([place + 1, successes / measured]);
    }
  });
  return { points, errors, rate: measured ? successes / measured : null };
}

function thinned(items, most = POINTS) {
  if (items.length <= most) return items;
  return Array.from({ length: most }, (_, number) => items[Math.round((number * (items.length - 1)) / (most - 1))]);
}
