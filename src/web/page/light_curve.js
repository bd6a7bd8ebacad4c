// The light curve of a candidate: brighter is up, time is logarithmic, limits are triangles that point down.

import { draw, nothing } from "./elements.js";

const WIDTH = 640;
const HEIGHT = 380;
const MARGIN = { left: 54, right: 16, top: 30, bottom: 50 };
const COLOURS = {
  u: "#b18cff", B: "#6aa8ff", g: "#4cc9a0", V: "#7bd88f", r: "#ff8a70", R: "#ff8a70", i: "#f2c14e", I: "#f2c14e",
  z: "#d29bff", y: "#ff9fd0", J: "#5cc8ff", H: "#9db7d5", w: "#e6ecf5",
};
const SPARE = ["#5cc8ff", "#ff8a70", "#4cc9a0", "#f2c14e", "#d29bff", "#9db7d5"];
const SIGNS = ["circle", "square", "diamond", "cross"];

function colourOf(filter, index) {
  return COLOURS[filter] ?? SPARE[index % SPARE.length];
}

function rows(curve) {
  return curve.seconds_after_t0.map((seconds, index) => ({
    seconds,
    halfWidth: curve.half_width_seconds[index],
    magnitude: curve.magnitude[index],
    error: curve.magnitude_error[index],
    detected: curve.detected[index],
    filter: curve.filter[index],
  }));
}

// Round values of each power of ten within the range: the wider the range, the fewer.
function timeTicks(first, last) {
  const decades = Math.log10(last / first);
  const steps = decades > 3 ? [1] : decades > 1.3 ? [1, 2, 5] : decades > 0.9 ? [1, 2, 3, 5, 7] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const ticks = [];
  for (let power = Math.floor(Math.log10(first)); power <= Math.ceil(Math.log10(last)); power += 1) {
    for (const step of steps) {
      const tick = step * 10 ** power;
      if (tick >= first && tick <= last) ticks.push(tick);
    }
  }
  return ticks;
}

function magnitudeTicks(bright, faint) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5].find((size) => (faint - bright) / size <= 7) ?? 10;
  const ticks = [];
  for (let tick = Math.ceil(bright / step) * step; tick <= faint + 1e-9; tick += step) ticks.push(tick);
  return { ticks, decimals: step < 1 ? 1 : 0 };
}

function ranges(points) {
  const before = points.map((point) => Math.max(point.seconds - point.halfWidth, point.seconds / 2));
  const after = points.map((point) => point.seconds + point.halfWidth);
  const bright = points.map((point) => point.magnitude - point.error);
  const faint = points.map((point) => point.magnitude + point.error);
  const range = {
    first: Math.min(...before) / 1.12, last: Math.max(...after) * 1.12,
    bright: Math.min(...bright), faint: Math.max(...faint),
  };
  const spare = Math.max(0.08 * (range.faint - range.bright), 0.15);
  range.bright -= spare;
  range.faint += spare;
  return range;
}

function mark(sign, x, y, colour) {
  const filled = { fill: colour, stroke: "var(--panel)", "stroke-width": 1 };
  if (sign === "square") return draw("rect", { x: x - 4, y: y - 4, width: 8, height: 8, ...filled });
  if (sign === "diamond") return draw("path", { d: `M${x} ${y - 5.5}l5.5 5.5-5.5 5.5-5.5-5.5z`, ...filled });
  if (sign === "cross") {
    return draw("path", { d: `M${x - 4} ${y - 4}l8 8m0-8l-8 8`, stroke: colour, "stroke-width": 2.4, fill: "none" });
  }
  return draw("circle", { cx: x, cy: y, r: 4.4, ...filled });
}

function triangle(x, y, colour) {
  return draw("path", { d: `M${x - 5} ${y - 4}h10l-5 9z`, fill: "none", stroke: colour, "stroke-width": 1.6 });
}

function measurement(point, x, y, scale, colour, sign) {
  const words = point.detected
    ? `${point.filter} = ${point.magnitude.toFixed(3)} ± ${point.error.toFixed(3)}`
    : `${point.filter} > ${point.magnitude.toFixed(2)} (limit)`;
  const title = draw("title", {}, `${words} at T0 + ${point.seconds.toFixed(1)} s`);
  if (!point.detected) return draw("g", {}, title, triangle(x, y, colour));
  const [top, bottom] = [scale.y(point.magnitude - point.error), scale.y(point.magnitude + point.error)];
  const left = scale.x(Math.max(point.seconds - point.halfWidth, scale.range.first));
  const right = scale.x(point.seconds + point.halfWidth);
  const bars = `M${x} ${top}V${bottom}M${x - 3} ${top}h6M${x - 3} ${bottom}h6M${left} ${y}H${right}`;
  return draw("g", {}, title, draw("path", { d: bars, stroke: colour, "stroke-width": 1.3, fill: "none", opacity: 0.85 }),
    mark(sign, x, y, colour));
}

function fitLine(fit, scale, colour) {
  if (fit.index === null || fit.magnitude_at_60_seconds === null || !(fit.first_seconds > 0)) return null;
  const value = (seconds) => fit.magnitude_at_60_seconds + 2.5 * fit.index * Math.log10(seconds / 60);
  const [from, to] = [Math.max(fit.first_seconds, scale.range.first), Math.min(fit.last_seconds, scale.range.last)];
  return draw("line", {
    x1: scale.x(from), y1: scale.y(value(from)), x2: scale.x(to), y2: scale.y(value(to)),
    stroke: colour, "stroke-width": 1.4, "stroke-dasharray": "5 4", opacity: 0.75, "clip-path": "url(#plot-area)",
  });
}

function axes(scale, range, magnitudes) {
  const [left, right] = [MARGIN.left, WIDTH - MARGIN.right];
  const [top, bottom] = [MARGIN.top, HEIGHT - MARGIN.bottom];
  const times = timeTicks(range.first, range.last).map((tick) => draw("g", {},
    draw("line", { x1: scale.x(tick), x2: scale.x(tick), y1: top, y2: bottom, class: "grid" }),
    draw("text", { x: scale.x(tick), y: bottom + 18, "text-anchor": "middle" }, tick.toLocaleString("en").replace(",", "\u2009"))));
  const levels = magnitudes.ticks.map((tick) => draw("g", {},
    draw("line", { x1: left, x2: right, y1: scale.y(tick), y2: scale.y(tick), class: "grid" }),
    draw("text", { x: left - 9, y: scale.y(tick) + 4, "text-anchor": "end" }, tick.toFixed(magnitudes.decimals))));
  return [
    times, levels,
    draw("rect", { x: left, y: top, width: right - left, height: bottom - top, class: "frame" }),
    draw("text", { x: (left + right) / 2, y: HEIGHT - 10, "text-anchor": "middle", class: "axis" }, "t − T0 [s], middle of exposure"),
    draw("text", { x: 8, y: 17, class: "axis" }, "magnitude [mag], brighter is up"),
  ];
}

// Where products went out, when it lies in the range.
function deadlineLines(deadlines, scale, range) {
  const lines = [];
  for (const deadline of deadlines) {
    if (deadline.seconds <= range.first || deadline.seconds >= range.last) continue;
    const x = scale.x(deadline.seconds);
    const near = lines.find((line) => Math.abs(line.x - x) < 34);
    if (near) near.names.push(deadline.name);
    else lines.push({ x, names: [deadline.name] });
  }
  return lines.map(({ x, names }) => draw("g", { class: "deadline-line" },
    draw("line", { x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }),
    draw("text", { x: x - 5, y: MARGIN.top + 15, "text-anchor": "end" }, names.join(", "))));
}

export function lightCurve(candidate, deadlines) {
  const all = rows(candidate.light_curve);
  const points = all.filter((point) => point.seconds > 0);
  if (points.length === 0) {
    return { figure: nothing("No measurement after T0 yet", "the light curve begins with the first frame"), filters: [], omitted: 0 };
  }
  const range = ranges(points);
  const span = Math.log10(range.last / range.first);
  const scale = {
    range,
    x: (seconds) => MARGIN.left + (Math.log10(seconds / range.first) / span) * (WIDTH - MARGIN.left - MARGIN.right),
    y: (magnitude) => MARGIN.top + ((magnitude - range.bright) / (range.faint - range.bright)) * (HEIGHT - MARGIN.top - MARGIN.bottom),
  };
  const filters = [...new Set(points.map((point) => point.filter))].map((name, index) => ({
    name, colour: colourOf(name, index), sign: SIGNS[index % SIGNS.length],
  }));
  const style = new Map(filters.map((filter) => [filter.name, filter]));
  const figure = draw("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "light-curve", role: "img",
    "aria-label": `Light curve of ${candidate.id}: ${points.length} points in ${filters.map((filter) => filter.name).join(", ")}`,
  },
  draw("clipPath", { id: "plot-area" }, draw("rect", {
    x: MARGIN.left, y: MARGIN.top, width: WIDTH - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom,
  })),
  axes(scale, range, magnitudeTicks(range.bright, range.faint)),
  deadlineLines(deadlines, scale, range),
  candidate.fits.map((fit) => (style.has(fit.filter) ? fitLine(fit, scale, style.get(fit.filter).colour) : null)),
  points.map((point) => measurement(point, scale.x(point.seconds), scale.y(point.magnitude), scale,
    style.get(point.filter).colour, style.get(point.filter).sign)));
  return { figure, filters, hasLimits: points.some((point) => !point.detected), omitted: all.length - points.length };
}

// The sign of each filter, and of a limit.
export function legend(filters, hasLimits) {
  const icon = (sign) => draw("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }, sign);
  const entries = filters.map((filter) => ({ icon: icon(mark(filter.sign, 8, 8, filter.colour)), words: filter.name }));
  if (hasLimits) entries.push({ icon: icon(triangle(8, 8, "currentColor")), words: "limit (10σ)" });
  return entries;
}
