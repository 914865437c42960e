// What every client test does besides its client: accounts, tokens, messages, strict checks.

import { deepStrictEqual } from "node:assert";
import { randomBytes, randomUUID } from "node:crypto";

const POST_ATTEMPTS = 50; // × 100 ms: longer than a restart of the server takes
const CHECK_TIMEOUT_MS = 180_000; // several times what the slowest takes on two busy cores

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// An account that no other test has.
export const fresh = (name) => `${name}-${randomBytes(4).toString("hex")}`;

// Waits until `condition` is truthy and returns it; fails with what was waited for.
export async function until(what, condition, timeoutMs = 30_000) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`);
    await sleep(20);
  }
}

// One account's API: `base` is the server's URL, also after a restart on the same port.
export class Account {
  constructor(base, name, device = "phone") {
    Object.assign(this, { base, name, device });
  }

  async token() {
    const query = new URLSearchParams({ account: this.name, device: this.device });
    const response = await fetch(`${this.base}/dev/token?${query}`);
    deepStrictEqual(response.status, 200, "GET /dev/token");
    return (await response.json()).token;
  }

  async call(method, path, body) {
    const headers = { authorization: `Bearer ${await this.token()}`, "content-type": "application/json" };
    const response = await fetch(this.base + path, { method, headers, body: body && JSON.stringify(body) });
    const answer = response.status === 204 ? null : await response.json();
    return { status: response.status, answer };
  }

  async direct(other) {
    const { status, answer } = await this.call("POST", "/v1/conversations", { kind: "direct", members: [other.name] });
    deepStrictEqual(status, 201, `opening a conversation: ${JSON.stringify(answer)}`);
    return answer.id;
  }

  // Sends a text as a client does: the same client_id until there is an answer.
  async send(conversation, text) {
    const body = { client_id: randomUUID(), body: { type: "text", text } };
    for (let attempt = 1; ; attempt++) {
      try {
        const { status, answer } = await this.call("POST", `/v1/conversations/${conversation}/messages`, body);
        if (status === 201 || status === 200) return answer;
        if (!answer.retryable) throw Object.assign(new Error(`POST was answered ${status} ${JSON.stringify(answer)}`), { final: true });
      } catch (error) {
        if (error.final || attempt === POST_ATTEMPTS) throw error;
      }
      await sleep(100);
    }
  }

  // Sends one after the other, so that their order is settled.
  async sendAll(conversation, texts) {
    for (const text of texts) await this.send(conversation, text);
  }

  async head() {
    return (await this.call("GET", "/v1/conversations")).answer.head;
  }

  // Waits until the inbox has so many events, of all or after an id: an answer to a message does not
  // wait for that, so without it the last ones may come live instead of in a replay.
  has(count, since) {
    const query = since ? `?${new URLSearchParams({ since })}` : "";
    return until(`${this.name}'s inbox to have ${count} events`, async () => {
      const { status, answer } = await this.call("GET", `/v1/sync${query}`);
      deepStrictEqual(status, 200, "GET /v1/sync");
      return answer.events.length >= count;
    });
  }
}

// Texts `from`..`to`, numbered.
export const texts = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => `message ${from + i}`);

// All of them, in order, each once; nothing else. `events` are {name, id, data}, as a client saw them.
export function checkMessages(events, expected) {
  const messages = events.filter((event) => event.name === "message");
  deepStrictEqual(messages.map((event) => event.data.body.text), expected);
  deepStrictEqual(new Set(messages.map((event) => event.data.id)).size, expected.length, "message ids are unique");
  const stored = events.filter((event) => ["message", "conversation"].includes(event.name)).map((event) => event.id);
  deepStrictEqual(new Set(stored).size, stored.length, "no stored event came twice");
  deepStrictEqual(stored.includes(""), false, "every stored event has an id");
}

// Runs named checks one after the other, `tidy` after each, and ends the process with what they came to.
export async function run(server, checks, tidy = async () => {}) {
  let failed = 0;
  for (const check of checks) {
    const began = Date.now();
    try {
      const late = sleep(CHECK_TIMEOUT_MS).then(() => Promise.reject(new Error(`not done after ${CHECK_TIMEOUT_MS} ms`)));
      late.catch(() => {}); // the loser of the race is nobody's concern
      console.log(`ok   ${check.name}: ${await Promise.race([check(server), late])} (${Date.now() - began} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${check.name}: ${error.stack}`);
    }
    await tidy();
  }
  const complaints = server.complaints();
  if (complaints.length > 0) console.log(`FAIL the server logged:\n${complaints.join("\n")}`);
  server.close();
  console.log(`${checks.length - failed} passed, ${failed + (complaints.length > 0)} failed`);
  process.exit(failed || complaints.length ? 1 : 0);
}
