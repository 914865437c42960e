// What was written and not yet answered.

import { backoff, sleep } from "./retry.js";
import { Problem } from "./session.js";

const ITEMS_MAX = 200; // more unsent messages than anybody types in a tunnel

// One message of a conversation at a time, since a POST comes after those answered before it. A
// repeat carries the same client_id, so that an answer that got lost doubles nothing. Survives a reload.
export class Outbox {
  constructor(session, listener) {
    this.session = session;
    this.listener = listener; // {changed(conversation), sent(item, answer)}
    this.key = `godwit.outbox ${session.account} ${session.device}`;
    this.items = JSON.parse(sessionStorage.getItem(this.key) || "[]");
    this.busy = new Set();
    this.wake = null;
  }

  of(conversation) {
    return this.items.filter((item) => item.conversation === conversation);
  }

  // False when the outbox is full.
  add(conversation, text) {
    if (this.items.length >= ITEMS_MAX) return false;
    const at = new Date().toISOString();
    this.items.push({ conversation, client_id: crypto.randomUUID(), text, at, state: "waiting", error: "" });
    this.#changed(conversation);
    this.pump(conversation);
    return true;
  }

  retry(item) {
    item.state = "waiting";
    this.#changed(item.conversation);
    this.pump(item.conversation);
  }

  remove(item) {
    this.items = this.items.filter((other) => other !== item);
    this.#changed(item.conversation);
  }

  // Tries all again at once: at the start, and when the network is back.
  kick() {
    this.wake?.();
    for (const conversation of new Set(this.items.map((item) => item.conversation))) this.pump(conversation);
  }

  async pump(conversation) {
    if (this.busy.has(conversation)) return;
    this.busy.add(conversation);
    let attempt = 0;
    for (let item; (item = this.of(conversation).find((one) => one.state === "waiting")); ) {
      try {
        const answer = await this.#post(item);
        attempt = 0;
        this.listener.sent(item, answer);
        this.remove(item);
      } catch (error) {
        if (error instanceof Problem && !error.retryable) {
          Object.assign(item, { state: "failed", error: error.message });
          this.#changed(conversation);
          continue;
        }
        item.error = error instanceof Problem ? error.message : "no connection";
        this.#changed(conversation);
        await this.#pause(Math.max(error.retryAfterMs || 0, backoff(attempt++)));
      }
    }
    this.busy.delete(conversation);
  }

  #post({ conversation, client_id, text }) {
    const path = `/v1/conversations/${encodeURIComponent(conversation)}/messages`;
    return this.session.call("POST", path, { client_id, body: { type: "text", text } });
  }

  #pause(ms) {
    const woken = new Promise((resolve) => {
      const before = this.wake;
      this.wake = () => (before?.(), resolve());
    });
    return Promise.race([sleep(ms), woken]);
  }

  #changed(conversation) {
    sessionStorage.setItem(this.key, JSON.stringify(this.items));
    this.listener.changed(conversation);
  }
}
