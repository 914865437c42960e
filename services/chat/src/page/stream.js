// The life of the stream: one EventSource after another, and where each resumed.

import { backoff, sleep } from "./retry.js";

export const STORED = ["message", "message_updated", "message_deleted", "reaction", "conversation"];
const PASSING = ["typing", "presence", "receipt", "ready", "caught_up", "gap", "bye"];

// The browser reconnects by itself after a lost connection and then sends the Last-Event-ID header.
// A new EventSource object cannot send it, so `?last_event_id=` says the same. A new object is
// needed after the switch, after a refused token and after a `bye` that says not to come back.
export class Stream {
  constructor(session, listener) {
    this.session = session;
    this.listener = listener; // {event, state, resume, note}
    this.position = ""; // the newest id seen: what a resume starts after
    this.source = null;
    this.attempt = null;
    this.failures = 0;
    this.generation = 0; // an answer to an older `open` is ignored
    this.phase = "connecting";
    this.reason = "";
  }

  async open() {
    const generation = ++this.generation;
    this.source?.close();
    this.source = null;
    this.#state("connecting");
    let token;
    try {
      ({ token } = await this.session.token());
      // An EventSource does not say with which status it was refused; an ordinary call does.
      if (this.failures > 0) await this.session.call("GET", "/v1/conversations?limit=1");
    } catch (error) {
      if (generation === this.generation) this.#refused(error);
      return;
    }
    if (generation === this.generation) this.#connect(token);
  }

  cut() {
    this.#stop("cut");
    this.listener.note("cut", "the stream was closed by the switch", this.position);
  }

  // True while it waits for its next attempt, which need not be waited for.
  get waiting() {
    return this.phase === "reconnecting";
  }

  #connect(token) {
    const query = new URLSearchParams({ access_token: token });
    if (this.position) query.set("last_event_id", this.position);
    const source = new EventSource(`/v1/events?${query}`);
    this.source = source;
    this.idOfSource = ""; // the browser's own "last event ID": empty for a new object
    this.#begin(this.position, "a new EventSource, in the query");
    source.onopen = () => this.#opened();
    source.onerror = () => source === this.source && this.#failed();
    for (const name of [...STORED, ...PASSING]) {
      source.addEventListener(name, (event) => source === this.source && this.#received(name, event));
    }
  }

  #begin(sent, how) {
    this.attempt = { sent, how, replayed: 0, caughtUp: null, gap: null };
  }

  #opened() {
    this.#state(this.attempt.sent ? "replaying" : "live");
    const { sent, how } = this.attempt;
    this.listener.note("open", sent ? `Last-Event-ID ${sent}, sent by ${how}` : "no Last-Event-ID: live from now on", sent);
  }

  #received(name, event) {
    const data = JSON.parse(event.data);
    const renewed = event.lastEventId !== this.idOfSource;
    this.idOfSource = event.lastEventId;
    if (event.lastEventId) this.position = event.lastEventId;
    const stored = STORED.includes(name);
    const replayed = stored && this.attempt.sent !== "" && this.attempt.caughtUp === null;
    if (replayed) this.attempt.replayed += 1;
    // An event without an id shows the id before it; `caught_up` may repeat it for good.
    const id = stored || name === "caught_up" || renewed ? event.lastEventId : "";
    this.listener.event(name, data, id, replayed);
    this.#follow(name, data);
  }

  #follow(name, data) {
    if (name === "ready") {
      this.failures = 0;
      return;
    }
    if (name === "gap") {
      this.attempt.gap = data;
      this.listener.resume(this.attempt);
    } else if (name === "caught_up") {
      this.attempt.caughtUp = this.position;
      this.listener.resume(this.attempt);
      this.#state("live");
    } else if (name === "bye") {
      this.#bye(data);
    }
  }

  #bye({ reason, reconnect }) {
    if (reconnect) return this.#state("reconnecting", reason); // the server closes, the browser comes back
    if (reason !== "token_expired") return this.#stop("stopped", reason);
    this.session.drop();
    this.open();
  }

  #failed() {
    if (this.source.readyState === EventSource.CLOSED) return this.#refused(new Error("the stream was refused"));
    const byHeader = this.idOfSource !== "";
    this.#begin(this.position, byHeader ? "the browser, as a header" : "the browser, in the query again");
    this.#state("reconnecting");
  }

  // A refusal for good (a revoked device) ends it; all else is tried again with a fresh token.
  async #refused(error) {
    this.session.drop();
    this.source = null;
    if (error.status === 401 || error.status === 403) return this.#stop("stopped", "the server refuses this account or device");
    const generation = this.generation;
    this.#state("reconnecting");
    this.listener.note("error", error.message);
    await sleep(backoff(this.failures++));
    if (generation === this.generation) this.open();
  }

  #stop(state, reason) {
    this.generation += 1;
    this.source?.close();
    this.source = null;
    this.#state(state, reason);
  }

  #state(phase, reason = "") {
    Object.assign(this, { phase, reason });
    this.network();
  }

  // Says the state; called too when the network comes or goes.
  network() {
    const byWill = this.phase === "cut" || this.phase === "stopped";
    this.listener.state(navigator.onLine || byWill ? this.phase : "offline", this.reason);
  }
}
