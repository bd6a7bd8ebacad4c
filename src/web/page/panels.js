// The panels below the trigger: key figures, frames, products, alerts, actors, masters, events.

import { make, nothing, state, table } from "./elements.js";
import { MISSING, angle, duration, instant, number, plural, signed, timeOfDay } from "./format.js";
import { triggerLink } from "./trigger.js";

const FRAME_STATES = {
  arrived: ["waiting", "warn", "◔"], reduced: ["reduced", "good", "✓"], combined: ["in a master", "good", "✓"],
  failed: ["failed", "bad", "✕"], quarantined: ["set aside", "bad", "✕"], ignored: ["left alone", "quiet", "·"],
};
const ALERT_STATES = {
  received: ["received", "warn", "◔"], applied: ["applied", "good", "✓"], archived: ["archived", "quiet", "▪"], rejected: ["rejected", "bad", "✕"],
};
const DELIVERY_STATES = {
  making: ["being made", "warn", "◔"], waiting: ["waiting", "warn", "◑"], delivered: ["receipted", "good", "✓"], refused: ["refused", "bad", "✕"],
};
const ACTOR_STATES = {
  running: ["running", "good", "✓"], restarting: ["restarting", "warn", "↻"], stopped: ["stopped", "bad", "■"], gaveup: ["gave up", "bad", "✕"],
};
const EFFECTS = {
  "opens-preliminary": "opens, preliminary", opens: "opens the trigger", refines: "refines", retracts: "retracts", "archive-only": "archive only",
};
const CARD_ORDER = ["QPO_GFT", "PO_GFT", "DT_GFT", "QF_GFT", "QLC_GFT", "LC_GFT", "QTI_GFT", "GFTMETA"];
const ROWS_AT_FIRST = { frames: 14, alerts: 8, events: 8 };
const expanded = new Set();

const stateOf = (states, word) => state(...(states[word] ?? [word, "quiet", "?"]));
const secondsSince = (now, text) => (now - instant(text)) / 1000;

// The first rows and a button for the rest; `again` renders the panel anew.
function shortened(name, rows, render, again) {
  const limit = ROWS_AT_FIRST[name];
  if (rows.length <= limit) return [render(rows)];
  const isOpen = expanded.has(name);
  const toggle = () => {
    if (!expanded.delete(name)) expanded.add(name);
    again();
  };
  return [render(isOpen ? rows : rows.slice(0, limit)),
    make("button", { class: "more", type: "button", "data-focus": `more-${name}`, "aria-expanded": String(isOpen), onclick: toggle },
      isOpen ? "show fewer" : `show all ${rows.length}`)];
}

export function expandedKey(name) {
  return expanded.has(name);
}

export function tiles(status, now) {
  const newest = status.frames.find((frame) => frame.quality);
  const restarts = status.actors.reduce((sum, actor) => sum + actor.restarts, 0);
  const ill = status.actors.filter((actor) => actor.state !== "running").length;
  const delivered = status.counts.deliveries.find((one) => one.state === "delivered")?.count ?? 0;
  const refused = status.counts.deliveries.find((one) => one.state === "refused")?.count ?? 0;
  const reduced = status.counts.frames.filter((one) => one.state === "reduced").reduce((sum, one) => sum + one.count, 0);
  const lost = status.counts.frames.filter((one) => ["failed", "quarantined"].includes(one.state)).reduce((sum, one) => sum + one.count, 0);
  const tile = (label, value, note, tone) => make("li", { class: "tile", "data-tone": tone }, make("span", {}, label), make("b", {}, value), make("small", {}, note ?? "\u00a0"));
  const holds = status.clock.holds;
  return [
    tile("Last alert", status.alerts.length ? duration(secondsSince(now, status.alerts[0].received_at)) : "none yet", status.alerts.length ? "ago" : null),
    tile("Last frame", status.frames.length ? duration(secondsSince(now, status.frames[0].arrived_at)) : "none yet", status.frames.length ? "ago" : null),
    tile("Frame latency", newest ? `${number(newest.quality.latency_seconds, 2)} s` : MISSING, "last byte to result"),
    tile("Frames reduced", String(reduced), lost ? `${lost} lost` : "none lost", lost ? "warn" : null),
    ...status.queues.map((queue) => tile(queue.queue === "outbox" ? "Outbox" : `Queue ${queue.queue}`, String(queue.waiting),
      queue.queue === "outbox" ? "products waiting" : "frames waiting", queue.waiting > 5 ? "warn" : null)),
    tile("Receipts", String(delivered), refused ? `${refused} refused` : "none refused", refused ? "bad" : null),
    tile("Actors", `${status.actors.length - ill} / ${status.actors.length}`, restarts ? plural(restarts, "restart") : "no restart",
      ill ? "bad" : restarts ? "warn" : null),
    status.clock.is_simulated ? tile("Clock holds", String(holds.count), `${number(holds.seconds, 1)} s waited`, holds.expired_count ? "warn" : null) : null,
  ].filter(Boolean);
}

export function frames(status, again) {
  if (status.frames.length === 0) return [nothing("No frame yet", "frames appear here with their last byte")];
  const quality = (one, key, decimals) => number(one.quality?.[key], decimals);
  return shortened("frames", status.frames, (rows) => table([
    { head: "Frame", class: "mono", cell: (one) => one.name },
    { head: "Instance", cell: (one) => one.instance },
    { head: "Kind", cell: (one) => one.kind },
    { head: "Filter", cell: (one) => one.filter || MISSING },
    { head: "Exp.", class: "figure", title: "exposure, seconds", cell: (one) => `${number(one.exposure_seconds, 0)} s` },
    { head: "Sources", class: "figure", cell: (one) => quality(one, "source_count", 0) },
    { head: "FWHM", class: "figure", title: "full width at half maximum of the stars, pixels", cell: (one) => (one.quality ? `${quality(one, "fwhm_pixels", 1)} px` : MISSING) },
    { head: "Astrometry", class: "figure", title: "root mean square residual per axis", cell: (one) => (!one.quality ? MISSING
      : one.quality.astrometry === "solved" ? `${number(one.quality.astrometry_rms_arcsec, 2)}″` : state(`${one.quality.astrometry} only`, "warn", "!")) },
    { head: "Zero point", class: "figure", title: "magnitudes", cell: (one) => quality(one, "zero_point", 2) },
    { head: "Limit", class: "figure", title: "magnitude of a source of ten times its noise", cell: (one) => quality(one, "limiting_magnitude", 2) },
    { head: "Latency", class: "figure", title: "wall seconds from the last byte to the journaled result", cell: (one) => (one.quality ? `${quality(one, "latency_seconds", 2)} s` : MISSING) },
    { head: "State", class: "words", cell: (one) => [stateOf(FRAME_STATES, one.state),
      one.reason ? make("small", {}, one.reason) : null,
      one.quality?.degradations.length ? make("small", {}, one.quality.degradations.join(", ")) : null] },
  ], rows, { class: "wide" }), again);
}

export function framesNote(status) {
  const total = status.counts.frames.reduce((sum, one) => sum + one.count, 0);
  if (total === 0) return "";
  return status.frames.length < total ? `the newest ${status.frames.length} of ${total}` : `${total} in all, newest first`;
}

// Deadlines down, cards across: one look tells what is missing.
function productMatrix(trigger) {
  const place = (card) => (CARD_ORDER.includes(card) ? CARD_ORDER.indexOf(card) : CARD_ORDER.length);
  const cards = [...new Set(trigger.products.map((one) => one.card))].sort((a, b) => place(a) - place(b));
  const deadlines = trigger.deadlines.map((deadline) => deadline.name).filter((name) => trigger.products.some((one) => one.deadline === name));
  const cell = (deadline, card) => {
    const found = trigger.products.find((one) => one.deadline === deadline && one.card === card);
    if (!found) return make("span", { class: "absent", title: "not a product of this deadline" }, "·");
    const [words, tone, sign] = DELIVERY_STATES[found.delivery] ?? [found.delivery, "quiet", "?"];
    return make("span", { class: "state", "data-tone": tone, title: `${found.key}: ${words}` }, make("i", {}, sign), make("span", { class: "hidden" }, words));
  };
  return table([{ head: "Deadline", class: "mono", cell: (deadline) => deadline },
    ...cards.map((card) => ({ head: card.replace("_GFT", ""), class: "centre", title: card, cell: (deadline) => cell(deadline, card) }))],
  deadlines, { class: "matrix" });
}

export function products(trigger) {
  if (!trigger || trigger.products.length === 0) return [nothing("No product yet", "products go out at each deadline, with or without a candidate")];
  const rank = { refused: 0, waiting: 1, making: 2, delivered: 3 };
  const rows = [...trigger.products].reverse().sort((a, b) => (rank[a.delivery] ?? 0) - (rank[b.delivery] ?? 0));
  return [make("div", { class: "products" }, productMatrix(trigger), make("div", { class: "receipts" }, table([
    { head: "Product", class: "mono", cell: (one) => [`${one.card} ${one.deadline}`, make("small", {}, `v${one.processing_version}`)] },
    { head: "Delivery", class: "words", cell: (one) => [stateOf(DELIVERY_STATES, one.delivery),
      one.last_error ? make("small", {}, one.last_error) : null] },
    { head: "Tries", class: "figure", cell: (one) => one.attempts },
    { head: "Receipt", class: "words", cell: (one) => (one.receipt
      ? [`${one.receipt.status} ${timeOfDay(one.receipt.received_at)}`, one.receipt.sdb ? make("small", {}, `data base: ${one.receipt.sdb}`) : null] : "none yet") },
    { head: "SHA-256", class: "mono", cell: (one) => make("span", { title: one.sha256 }, one.sha256 ? `${one.sha256.slice(0, 10)}…` : MISSING) },
  ], rows)))];
}

export function productsNote(trigger) {
  if (!trigger || trigger.product_count === 0) return "";
  const receipted = trigger.products.filter((one) => one.receipt).length;
  const shown = trigger.products.length < trigger.product_count ? ` (the newest ${trigger.products.length} are shown)` : "";
  return `${receipted} of ${trigger.products.length} receipted${shown}`;
}

export function alerts(status, now, again) {
  if (status.alerts.length === 0) return [nothing("No alert yet", "the receiver listens; packets appear here as they come")];
  return shortened("alerts", status.alerts, (rows) => table([
    { head: "Received", class: "mono", cell: (one) => [timeOfDay(one.received_at), make("small", { "data-age": instant(one.received_at) }, `${duration(secondsSince(now, one.received_at))} ago`)] },
    { head: "Packet", class: "words", cell: (one) => [make("b", {}, one.packet_name ?? "not understood"),
      make("small", {}, [one.mission, one.packet_type, one.role, one.arrivals > 1 ? `heard ${one.arrivals} times` : null].filter(Boolean).join(" · "))] },
    { head: "Burst", class: "mono", cell: (one) => one.burst_id ?? MISSING },
    { head: "Radius", class: "figure", cell: (one) => (one.position ? angle(one.position.radius_degrees) : MISSING) },
    { head: "Effect", class: "words", cell: (one) => [stateOf(ALERT_STATES, one.state),
      make("small", {}, one.reason ?? EFFECTS[one.effect] ?? one.effect ?? "")] },
  ], rows), again);
}

export function actors(status) {
  if (status.actors.length === 0) return [nothing("No actor is supervised", "the controller is starting or ending")];
  return [table([
    { head: "Actor", cell: (one) => one.name },
    { head: "State", class: "words", cell: (one) => stateOf(ACTOR_STATES, one.state) },
    { head: "Since", class: "mono", cell: (one) => timeOfDay(one.since) },
    { head: "Restarts", class: "figure", cell: (one) => one.restarts },
    { head: "Last cause", class: "words", cell: (one) => make("small", {}, one.last_exit ?? MISSING) },
  ], status.actors)];
}

export function masters(status) {
  if (status.masters.length === 0) return [nothing("No calibration master yet", "frames are reduced without; the products say so")];
  return [table([
    { head: "Master", cell: (one) => [one.filter ? `${one.kind} ${one.filter}` : one.kind, make("small", {}, one.instrument)] },
    { head: "Night", class: "mono", cell: (one) => one.night },
    { head: "Frames", class: "figure", cell: (one) => one.frame_count },
    { head: "Median", class: "figure", cell: (one) => [number(one.median, 3), one.median_difference !== null ? make("small", {}, signed(one.median_difference, 3)) : null] },
    { head: "State", class: "words", cell: (one) => [one.in_force ? state("in force", "good", "✓") : one.valid ? state("old", "quiet", "▪") : state("rejected", "bad", "✕"),
      one.reason ? make("small", {}, one.reason) : null] },
  ], status.masters)];
}

export function events(status, again) {
  if (status.events.length === 0) return [nothing("No event yet", "restarts, holds and troubles are told here")];
  return shortened("events", status.events, (rows) => table([
    { head: "Time", class: "mono", cell: (one) => timeOfDay(one.at) },
    { head: "Actor", class: "words", cell: (one) => one.actor },
    { head: "Event", class: "words", cell: (one) => [make("b", {}, one.what), make("small", {}, one.detail)] },
  ], rows), again);
}

export function triggerTabs(status, selected) {
  const tabs = [...status.triggers, ...status.older_triggers];
  if (tabs.length < 2) return [];
  return tabs.map((trigger) => make("a", { href: triggerLink(trigger.burst), "aria-current": trigger.burst === selected ? "true" : null, "data-state": trigger.state },
    trigger.name, make("small", {}, trigger.state)));
}
