// Keeps the status fresh: asked for when the event stream tells of a change, and every few seconds anyway.

const POLL_WITH_STREAM = 10000;
const POLL_WITHOUT_STREAM = 2000;
// A simulated clock does not run by itself here: it is asked for.
const POLL_SIMULATED = 1000;
const TIMEOUT = 8000;
// Never more than a third of the time is spent on loading, however slow the line.
const REST_PER_LOADING = 2;

export function connect(onStatus, onState) {
  let isStreaming = false;
  let isSimulated = false;
  let isLoading = false;
  let wanted = false;
  let failures = 0;
  let lastAnswer = null;
  let timer = null;
  let restUntil = 0;

  function report(error) {
    if (!error) onState({ state: isStreaming ? "live" : "polling", lastAnswer });
    else onState({ state: "lost", lastAnswer, error });
  }

  function plan(delay) {
    clearTimeout(timer);
    timer = setTimeout(load, Math.max(delay, restUntil - performance.now(), 0));
  }

  async function load() {
    if (isLoading) {
      wanted = true;
      return;
    }
    isLoading = true;
    wanted = false;
    const began = performance.now();
    try {
      const response = await fetch("/api/status", { signal: AbortSignal.timeout(TIMEOUT), cache: "no-store" });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error?.message ?? `HTTP status ${response.status}`);
      failures = 0;
      lastAnswer = new Date();
      isSimulated = answer.clock.is_simulated;
      onStatus(answer);
      report(null);
    } catch (error) {
      failures += 1;
      report(error.name === "TimeoutError" ? "it took too long" : error.message);
    }
    isLoading = false;
    const took = performance.now() - began;
    restUntil = performance.now() + REST_PER_LOADING * took;
    const regular = isSimulated ? POLL_SIMULATED : isStreaming ? POLL_WITH_STREAM : POLL_WITHOUT_STREAM;
    plan(wanted ? 0 : failures > 0 ? Math.min(1000 * 2 ** failures, 10000) : regular);
  }

  const stream = new EventSource("/api/events");
  stream.onopen = () => {
    isStreaming = true;
  };
  stream.onmessage = () => {
    if (isLoading) wanted = true;
    else plan(0);
  };
  stream.onerror = () => {
    // The browser opens it again by itself; meanwhile polling goes on.
    isStreaming = false;
    if (!isLoading) plan(POLL_WITHOUT_STREAM);
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) plan(0);
  });
  load();
}
