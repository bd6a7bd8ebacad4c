// A trigger: who it is, its clocks, where it is, its deadlines, its frames in time, and its candidates.

import { draw, make, nothing, noPicture, picture, state, table } from "./elements.js";
import { MISSING, angle, dateAndTime, duration, instant, number, plural, timeOfDay, withError } from "./format.js";
import { legend, lightCurve } from "./light_curve.js";

const TRIGGER_STATES = {
  preliminary: ["preliminary", "warn", "◌"], open: ["open", "live", "●"], refined: ["refined", "live", "◉"],
  retracted: ["retracted", "bad", "✕"], closed: ["closed", "quiet", "■"],
};
const DEADLINE_STATES = {
  planned: ["planned", "quiet", "○", 0], due: ["due: at work", "warn", "◔", 1], analysed: ["analysed", "live", "◑", 2],
  produced: ["products made", "live", "◕", 3], delivered: ["delivered", "good", "●", 4], cancelled: ["cancelled", "quiet", "✕", 0],
};
const FRAME_TONES = { reduced: "good", arrived: "warn", failed: "bad", quarantined: "bad" };

export const candidateLink = (id) => `#/candidate/${encodeURIComponent(id)}`;
export const triggerLink = (burst) => `#/trigger/${encodeURIComponent(burst)}`;

export function triggerBadge(trigger) {
  return state(...(TRIGGER_STATES[trigger.state] ?? [trigger.state, "quiet", "?"]));
}

function clock(label, origin, isOpen, title) {
  return make("div", { class: "clock", title },
    make("span", { class: "clock-label" }, label),
    isOpen ? make("span", { class: "clock-time", "data-since": instant(origin) }, MISSING)
      : make("span", { class: "clock-time stopped" }, "stopped"));
}

function fact(label, ...value) {
  return make("div", { class: "fact" }, make("dt", {}, label), make("dd", {}, ...value));
}

function positionFacts(region) {
  if (!region) return [fact("Position", "none yet", make("small", {}, "no search region: the whole frame counts"))];
  return [
    fact("Position (ICRS)", make("span", { class: "sexagesimal" }, `${region.ra_sexagesimal}  ${region.dec_sexagesimal}`),
      make("small", {}, `${number(region.ra_degrees, 5)}°  ${number(region.dec_degrees, 5)}°`)),
    fact("Error radius (90 %)", angle(region.radius_degrees),
      make("small", {}, region.radius_degrees === null ? "not given" : `${number(region.radius_degrees, 4)}°`)),
  ];
}

function deadlineChip(deadline) {
  const [words, tone, sign, steps] = DEADLINE_STATES[deadline.state] ?? [deadline.state, "quiet", "?", 0];
  const late = deadline.lateness_seconds;
  const isWaiting = deadline.state === "planned";
  return make("li", { class: "chip", "data-tone": tone, title: deadline.cause ?? null },
    make("p", { class: "chip-name" }, make("i", { "aria-hidden": "true" }, sign), deadline.name,
      make("time", {}, timeOfDay(deadline.due_at))),
    make("p", { class: "chip-state" }, words,
      isWaiting ? make("span", { class: "chip-figure", "data-until": instant(deadline.due_at) }, MISSING) : null,
      late !== null ? make("span", { class: "chip-figure", title: "wall seconds from the instant to the last receipt" }, `+${late.toFixed(1)} s`) : null),
    make("p", { class: "steps", "aria-hidden": "true" }, [1, 2, 3, 4].map((step) => make("b", { class: step <= steps ? "done" : null }))),
    deadline.report_url ? make("p", { class: "chip-report" }, make("a", { href: deadline.report_url }, "report")) : null,
    deadline.cause ? make("p", { class: "chip-cause" }, deadline.cause) : null);
}

// Each exposure of the burst at its time: a gap in the sequence is a gap here.
function timeline(trigger, frames, now) {
  const own = frames.filter((frame) => frame.burst === trigger.burst && frame.kind === "object");
  if (own.length === 0) return nothing("No frame of this burst yet", "the first exposure appears here with its last byte");
  const t0 = instant(trigger.t0);
  const after = (text) => (instant(text) - t0) / 1000;
  const ends = own.map((frame) => after(frame.started_at) + (frame.exposure_seconds ?? 0));
  const dues = trigger.deadlines.map((deadline) => after(deadline.due_at));
  const last = Math.max(...ends, trigger.is_open ? Math.min((now - t0) / 1000, Math.max(...ends) * 1.5) : 0, 60) * 1.02;
  const first = Math.min(0, ...own.map((frame) => after(frame.started_at)));
  const x = (seconds) => ((seconds - first) / (last - first)) * 1000;
  const bars = own.map((frame) => draw("rect", {
    x: x(after(frame.started_at)), width: Math.max(x(after(frame.started_at) + (frame.exposure_seconds ?? 0)) - x(after(frame.started_at)), 2.5),
    y: 9, height: 16, rx: 1.5, "data-tone": FRAME_TONES[frame.state] ?? "quiet",
  }, draw("title", {}, `${frame.name} ${frame.filter} ${frame.state}, T0 + ${after(frame.started_at).toFixed(0)} s`)));
  const marks = dues.map((due, index) => (due > first && due < last
    ? draw("line", { x1: x(due), x2: x(due), y1: 2, y2: 32, class: "due" }, draw("title", {}, trigger.deadlines[index].name)) : null));
  const figure = draw("svg", { viewBox: "0 0 1000 34", preserveAspectRatio: "none", role: "img", "aria-label": `${own.length} frames of this burst in time` },
    draw("line", { x1: 0, x2: 1000, y1: 17, y2: 17, class: "base" }), bars, marks);
  return make("div", { class: "timeline" }, figure,
    make("p", {}, make("span", {}, first < 0 ? `T0 − ${duration(-first)}` : "T0"),
      make("span", {}, `${plural(own.length, "exposure")}; lines are deadlines`), make("span", {}, `T0 + ${duration(last)}`)));
}

export function triggerCard(trigger, frames, now) {
  const slewing = trigger.slewing === null ? "not known" : trigger.slewing ? "slews to it" : "does not slew";
  const analysis = trigger.analysis;
  const t0 = trigger.t0_source_words;
  return make("article", { class: "trigger", "data-state": trigger.state },
    make("header", {},
      make("div", {},
        make("h2", {}, make("a", { href: triggerLink(trigger.burst) }, trigger.name)),
        make("p", { class: "dim" }, trigger.burst_id, ` · ${plural(trigger.notice_count, "notice")} · revision ${trigger.revision}`,
          trigger.origin === "frame-header" ? " · opened by a frame header, no notice came" : null)),
      triggerBadge(trigger),
      make("div", { class: "clocks" },
        clock("t − T0", trigger.t0, trigger.is_open, "since the burst"),
        clock("t − alert", trigger.opened_at, trigger.is_open, "since the first packet was received"))),
    make("dl", { class: "facts" },
      fact("T0 (UTC)", dateAndTime(trigger.t0), make("small", {}, `from ${t0}`)),
      positionFacts(trigger.position),
      fact("Satellite", slewing, make("small", {}, `alert ${dateAndTime(trigger.opened_at)}`)),
      analysis ? fact(`Depth at ${analysis.deadline} (10σ)`,
        analysis.limits.length ? analysis.limits.map((limit) => make("span", {}, `${limit.filter} ${number(limit.limiting_magnitude, 2)}`)) : "none",
        make("small", {}, `${analysis.frames_stacked} of ${plural(analysis.frames_in_all, "frame")} stacked · catalogue ${analysis.catalogue_status.toLowerCase()}`)) : null),
    trigger.deadlines.length
      ? make("ol", { class: "chips", "aria-label": "Deadlines" }, trigger.deadlines.map(deadlineChip))
      : nothing("No deadlines", "this alert is shown and archived only"),
    analysis?.degradations.length
      ? make("ul", { class: "degradations" }, analysis.degradations.map((one) => make("li", {}, make("b", {}, one.code), " ", one.reason))) : null,
    analysis?.files.length
      ? make("nav", { class: "files", "aria-label": `Files of ${analysis.deadline}` }, make("b", {}, analysis.deadline),
        analysis.files.map((file) => make("a", { href: file.url }, file.words))) : null,
    timeline(trigger, frames, now));
}

function scoreBar(score) {
  const bar = make("span", { class: "score-fill" });
  bar.style.width = `${Math.max(0, Math.min(1, score ?? 0)) * 100}%`;
  return make("span", { class: "score" }, make("span", { class: "score-track", "aria-hidden": "true" }, bar), make("b", {}, number(score, 2)));
}

function reasons(candidate) {
  const signs = { for: "+", against: "−", neutral: "·" };
  return make("ul", { class: "reasons" }, candidate.reasons.map((reason) =>
    make("li", { "data-bearing": reason.bearing }, make("i", { "aria-hidden": "true" }, signs[reason.bearing]), reason.words)));
}

function bestFit(candidate) {
  return [...candidate.fits].sort((a, b) => (b.chi_square_gain ?? 0) - (a.chi_square_gain ?? 0))[0];
}

const cutoutOf = (candidate, size) => (candidate.cutout_url ? picture(candidate.cutout_url, `cut-out of ${candidate.id}`, size) : noPicture(size));

export function candidatesNote(list) {
  if (list.origin === "nothing") return "";
  const origin = list.origin === "analysis" ? `analysis ${list.deadline}` : "provisional, after a frame";
  const shown = list.listed.length < list.total ? `${list.listed.length} of ${list.total}` : `${list.total}`;
  return `${origin} · ${timeOfDay(list.at)} UTC · ${shown} listed`;
}

export function candidatesTable(trigger, selectedId, onSelect) {
  const list = trigger.candidates;
  if (list.listed.length === 0) {
    return list.origin === "nothing"
      ? nothing("Nothing has been analysed yet", "a provisional list appears seconds after the first frame")
      : nothing("The list is empty", trigger.analysis?.empty_reason ?? "no new or varying source was found");
  }
  return table([
    { head: "#", class: "rank", cell: (one) => one.rank },
    { head: "Image", class: "image", cell: (one) => cutoutOf(one, 52) },
    { head: "Candidate", class: "who", cell: (one) => [
      make("a", { href: candidateLink(one.id), "data-focus": one.id }, one.id),
      make("span", { class: "sexagesimal" }, `${one.position.ra_sexagesimal} ${one.position.dec_sexagesimal}`),
      make("small", {}, `${number(one.position.ra_degrees, 5)}° ${number(one.position.dec_degrees, 5)}°`)] },
    { head: "Score", class: "score-cell", cell: (one) => scoreBar(one.score) },
    { head: "Latest", class: "figure", title: "newest detection", cell: (one) => (one.latest
      ? [`${one.latest.filter} ${withError(one.latest.magnitude, one.latest.magnitude_error, 2)}`, make("small", {}, `T0 + ${duration(one.latest.seconds_after_t0)}`)] : MISSING) },
    { head: "Decay α", class: "figure decay", title: "F ∝ (t − T0)^−α, in the filter where fading explains most", cell: (one) => {
      const fit = bestFit(one);
      return fit ? [withError(fit.index, fit.index_error, 2), make("small", {}, `${fit.filter}, ${plural(fit.point_count, "point")}`)] : [MISSING, make("small", {}, "too few points")];
    } },
    { head: "Reasons", class: "why", cell: reasons },
  ], list.listed, { class: "candidates" }, (one) => ({
    "aria-selected": one.id === selectedId ? "true" : "false", "data-region": one.in_search_region ? "in" : "out", onclick: () => onSelect(one.id),
  }));
}

export function candidateDetail(trigger, candidate) {
  const t0 = instant(trigger.t0);
  const deadlines = trigger.deadlines.map((deadline) => ({ name: deadline.name, seconds: (instant(deadline.due_at) - t0) / 1000 }));
  const { figure, filters, hasLimits, omitted } = lightCurve(candidate, deadlines);
  const curve = candidate.light_curve;
  const unseen = curve.total - curve.magnitude.length + omitted;
  const fits = candidate.fits.map((fit) => make("li", {}, make("b", {}, fit.filter), ` α = ${withError(fit.index, fit.index_error, 2)}`,
    make("small", {}, ` χ²/ν ${number(fit.reduced_chi_square, 2)}, ${plural(fit.point_count, "point")}, m(60 s) = ${number(fit.magnitude_at_60_seconds, 2)}`)));
  return [
    make("div", { class: "detail" },
      make("div", { class: "finder" }, cutoutOf(candidate, 132)),
      make("div", {},
        make("h3", {}, make("a", { href: candidateLink(candidate.id) }, candidate.id), make("span", { class: "rank-badge" }, `rank ${candidate.rank}`)),
        make("p", { class: "sexagesimal" }, `${candidate.position.ra_sexagesimal}  ${candidate.position.dec_sexagesimal}`),
        make("p", { class: "dim" }, `± ${number(candidate.position_error_arcsec, 2)}″`,
          candidate.offset_arcsec !== null ? ` · ${number(candidate.offset_arcsec, 1)}″ from the centre` : null,
          candidate.in_search_region ? " · inside the search region" : " · outside the search region"),
        make("p", { class: "dim" }, `${plural(candidate.detection_count, "detection")}, first at ${timeOfDay(candidate.first_detected)} UTC`),
        fits.length ? make("ul", { class: "fits" }, fits) : make("p", { class: "dim" }, "no fading fit yet"))),
    figure,
    make("p", { class: "legend" }, legend(filters, hasLimits).map((entry) => make("span", {}, entry.icon, entry.words)),
      candidate.fits.length ? make("span", {}, "dashed: power-law fit") : null,
      unseen > 0 ? make("span", {}, `${plural(unseen, "point")} not shown`) : null),
  ];
}
