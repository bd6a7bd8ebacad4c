// The live page: what is selected, what is rendered when, and the clocks that run in between.

import { connect } from "./connection.js";
import { make, nothing, renderInto, state as badge } from "./elements.js";
import { bytes, duration, instant, running, timeOfDay } from "./format.js";
import * as panels from "./panels.js";
import { candidateDetail, candidateLink, candidatesNote, candidatesTable, triggerCard } from "./trigger.js";

const byId = (id) => document.getElementById(id);
let status = null;
let receivedAt = 0;
// Older triggers are asked for one by one: burst → its view, or null while it is on its way.
const fetched = new Map();

// The controller's clock: a real one runs on between two answers, a simulated one stands.
function now() {
  const base = instant(status.clock.now);
  return status.clock.is_simulated ? base : base + (performance.now() - receivedAt);
}

function route() {
  const [, sort, name] = location.hash.match(/^#\/(trigger|candidate)\/(.+)$/) ?? [];
  if (!sort) return {};
  try {
    return { [sort]: decodeURIComponent(name) };
  } catch {
    return {};
  }
}

function fetchTrigger(burst) {
  if (fetched.has(burst)) return fetched.get(burst);
  fetched.set(burst, null);
  fetch(`/api/triggers/${encodeURIComponent(burst)}`)
    .then((answer) => (answer.ok ? answer.json() : { missing: true }))
    .then((trigger) => {
      fetched.set(burst, trigger);
      render();
    })
    .catch(() => fetched.delete(burst));
  return null;
}

function selectedTrigger(wanted) {
  if (wanted.trigger) {
    return status.triggers.find((trigger) => trigger.burst === wanted.trigger || trigger.burst_id === wanted.trigger) ?? fetchTrigger(wanted.trigger);
  }
  if (wanted.candidate) {
    const owner = status.triggers.find((trigger) => trigger.candidates.listed.some((one) => one.id === wanted.candidate));
    if (owner) return owner;
  }
  return status.triggers.find((trigger) => trigger.is_open) ?? status.triggers[0];
}

function selectedCandidate(trigger, wanted) {
  const listed = trigger?.candidates.listed ?? [];
  return listed.find((one) => one.id === wanted.candidate) ?? listed.find((one) => one.in_search_region) ?? listed[0];
}

function select(id) {
  // Not a new entry of the history for every row one passes.
  history.replaceState(null, "", candidateLink(id));
  render();
}

function step(direction) {
  const wanted = route();
  const trigger = selectedTrigger(wanted);
  const listed = trigger?.candidates?.listed ?? [];
  if (listed.length === 0) return;
  const index = listed.findIndex((one) => one.id === selectedCandidate(trigger, wanted).id);
  const next = listed[Math.max(0, Math.min(listed.length - 1, index + direction))];
  select(next.id);
  byId("candidates").querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
}

function renderTrigger(wanted) {
  const trigger = selectedTrigger(wanted);
  const known = trigger && !trigger.missing ? trigger : null;
  renderInto(byId("trigger-tabs"), [status.triggers.map((one) => [one.burst, one.name, one.state]), status.older_triggers, known?.burst],
    () => panels.triggerTabs(status, known?.burst));
  const own = status.frames.filter((frame) => known && frame.burst === known.burst);
  const empty = status.triggers.length === 0
    ? nothing("No trigger yet", "the controller is ready: the first alert that opens one appears here")
    : trigger?.missing ? nothing(`There is no trigger ${wanted.trigger}`, "the link may be of another night") : nothing("loading …");
  renderInto(byId("trigger"), known ? [{ ...known, candidates: null, products: null }, own.map((frame) => [frame.name, frame.state])] : [trigger, wanted.trigger],
    () => (known ? triggerCard(known, status.frames, now()) : empty));
  return known;
}

function renderCandidates(trigger, wanted) {
  const candidate = selectedCandidate(trigger, wanted);
  byId("candidates-note").textContent = trigger ? candidatesNote(trigger.candidates) : "";
  renderInto(byId("candidates"), [trigger?.candidates, trigger?.analysis?.empty_reason, candidate?.id],
    () => (trigger ? candidatesTable(trigger, candidate?.id, select) : nothing("No candidate yet", "they come with a trigger and its frames")));
  renderInto(byId("candidate"), [candidate, trigger?.t0, trigger?.deadlines],
    () => (candidate ? candidateDetail(trigger, candidate) : nothing("No light curve yet", "it is drawn for the selected candidate")));
}

function render() {
  if (!status) return;
  const wanted = route();
  const trigger = renderTrigger(wanted);
  renderCandidates(trigger, wanted);
  const place = (name, key, make) => renderInto(byId(name), [key, panels.expandedKey(name)], make);
  place("frames", status.frames, () => panels.frames(status, render));
  place("products", [trigger?.products, trigger?.deadlines.map((one) => one.name)], () => panels.products(trigger));
  place("alerts", status.alerts, () => panels.alerts(status, now(), render));
  place("actors", status.actors, () => panels.actors(status));
  place("masters", status.masters, () => panels.masters(status));
  place("events", status.events, () => panels.events(status, render));
  byId("frames-note").textContent = panels.framesNote(status);
  byId("products-note").textContent = panels.productsNote(trigger);
  byId("alerts-note").textContent = status.alerts.length >= 50 ? "the newest 50" : "";
  byId("masters-note").textContent = status.masters.length < status.counts.masters ? `${status.masters.length} of ${status.counts.masters}` : "";
  byId("events-note").textContent = status.events.length >= 50 ? "the newest 50" : "";
  byId("actors-note").textContent = "";
  byId("program").textContent = `${status.program.name} ${status.program.version} · ${status.mode} since ${timeOfDay(status.started_at)} UTC`;
  byId("storage").textContent = `${status.storage.directory} · journal ${bytes(status.storage.journal_bytes)}`;
  document.title = trigger ? `${trigger.name} · COLIBRI` : "COLIBRI Instrument Center";
  tick();
}

// Everything that changes with time alone.
function tick() {
  if (!status) return;
  const present = now();
  const text = new Date(present).toISOString();
  byId("clock-time").textContent = text.slice(11, 19);
  byId("clock-time").dateTime = text;
  byId("clock-date").textContent = text.slice(0, 10);
  renderInto(byId("clock-sort"), status.clock.is_simulated, () => (status.clock.is_simulated ? badge("simulated clock", "warn", "◆") : badge("real clock", "quiet", "●")));
  renderInto(byId("tiles"), [status, Math.floor(present / 1000)], () => panels.tiles(status, present));
  for (const node of document.querySelectorAll("[data-since]")) node.textContent = running((present - Number(node.dataset.since)) / 1000);
  for (const node of document.querySelectorAll("[data-until]")) {
    const left = (Number(node.dataset.until) - present) / 1000;
    node.textContent = left >= 0 ? `in ${running(left)}` : `${running(-left)} ago`;
  }
  for (const node of document.querySelectorAll("[data-age]")) node.textContent = `${duration((present - Number(node.dataset.age)) / 1000)} ago`;
}

function showConnection({ state, lastAnswer, error }) {
  const words = { live: "live", polling: "polling", lost: "no answer" };
  const place = byId("connection");
  place.dataset.state = state;
  place.textContent = words[state];
  const banner = byId("banner");
  banner.hidden = state !== "lost";
  document.body.classList.toggle("stale", state === "lost");
  if (state === "lost") {
    const since = lastAnswer ? `What is shown is of ${lastAnswer.toISOString().slice(11, 19)} UTC.` : "Nothing has been received yet.";
    banner.replaceChildren(make("b", {}, "The controller does not answer"), ` (${error}). ${since} Trying again …`);
  }
}

addEventListener("hashchange", render);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea")) return;
  if (event.key === "j") step(1);
  if (event.key === "k") step(-1);
});
setInterval(tick, 250);
connect((answer) => {
  status = answer;
  receivedAt = performance.now();
  render();
}, showConnection);
