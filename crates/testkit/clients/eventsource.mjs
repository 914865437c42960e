// npm `eventsource`, as it comes: it reconnects and resumes by itself, whatever is done to its connection.
// GODWIT_BIN=target/debug/godwit node eventsource.mjs

import { deepStrictEqual, notStrictEqual } from "node:assert";
import { EventSource } from "eventsource";

import { Account, checkMessages, fresh, run, texts, until } from "./chat.mjs";
import { Proxy } from "./proxy.mjs";
import { Server } from "./server.mjs";

const NAMES = ["ready", "message", "conversation", "caught_up", "gap", "bye"];

// An EventSource and all that it was told: events as {name, id, data}.
class Listener {
  constructor(base, token, query = {}) {
    this.events = [];
    this.refused = null;
    this.source = new EventSource(`${base}/v1/events?${new URLSearchParams({ access_token: token, ...query })}`);
    for (const name of NAMES) {
      this.source.addEventListener(name, ({ lastEventId, data }) => {
        this.events.push({ name, id: lastEventId, data: JSON.parse(data) });
      });
    }
    this.source.onerror = () => {
      if (this.source.readyState === EventSource.CLOSED) this.refused = new Error("the EventSource gave up");
    };
  }

  of(name) {
    return this.events.filter((event) => event.name === name);
  }

  seen(name, count = 1) {
    return until(`${count} × ${name}, have ${this.of(name).length}`, () => {
      if (this.refused) throw this.refused;
      return this.of(name).length >= count;
    });
  }
}

async function pair(server) {
  const alice = new Account(server.url, fresh("alice"));
  const bob = new Account(server.url, fresh("bob"));
  return { alice, bob, conversation: await alice.direct(bob) };
}

// Each request names the last event that was dispatched before it.
async function resumes_through_cuts_in_mid_event(server) {
  const CUTS = 6;
  const { alice, bob, conversation } = await pair(server);
  const proxy = await Proxy.start(server.url);
  let cut = proxy.cutAfterBytes(1500);
  const listener = new Listener(proxy.url, await bob.token());
  const lastSeen = [];
  proxy.onrequest = () => lastSeen.push(listener.events.findLast(({ id }) => id !== "")?.id ?? "");
  await listener.seen("ready");
  const sending = alice.sendAll(conversation, texts(1, 300));
  for (let n = 1; n <= CUTS; n++) {
    await cut;
    // Each connection ends somewhere else: in a live event, in a replay, in the head of an answer.
    if (n < CUTS) cut = proxy.cutAfterBytes([40, 731, 1903, 2618, 5207][n - 1]);
    else proxy.rule = null;
  }
  await sending;
  await listener.seen("message", 300);
  deepStrictEqual(proxy.cuts, CUTS);
  listener.source.close();
  proxy.close();
  checkMessages(listener.events, texts(1, 300));
  deepStrictEqual(proxy.requests.map(({ lastEventId }) => lastEventId), lastSeen);
  deepStrictEqual(listener.of("gap"), []);
  return `300 messages through ${CUTS} cuts, in order, once each`;
}

async function first_connect_cut_before_its_first_message(server) {
  const { alice, bob, conversation } = await pair(server);
  const proxy = await Proxy.start(server.url);
  const held = proxy.holdAfter("event: ready");
  const listener = new Listener(proxy.url, await bob.token());
  await held;
  await listener.seen("ready");
  const [ready] = listener.of("ready");
  notStrictEqual(ready.id, "", "the ready of a stream opened without an id carries one");
  proxy.away = true;
  proxy.cut();
  await alice.sendAll(conversation, texts(1, 50));
  proxy.away = false;
  await listener.seen("message", 50);
  await listener.seen("caught_up");
  await alice.send(conversation, "message 51");
  await listener.seen("message", 51);
  listener.source.close();
  proxy.close();
  checkMessages(listener.events, texts(1, 51));
  deepStrictEqual(proxy.requests.map(({ lastEventId }) => lastEventId), ["", ready.id]);
  return "50 messages of the time between, 1 live";
}

async function cut_right_after_gap(server) {
  const { alice, bob, conversation } = await pair(server);
  await alice.sendAll(conversation, texts(1, 10));
  for (const account of [alice, bob]) await account.has(11); // the conversation too
  const foreign = await alice.head();
  const proxy = await Proxy.start(server.url);
  const held = proxy.holdAfter("event: gap");
  const listener = new Listener(proxy.url, await bob.token(), { last_event_id: foreign });
  await held;
  await listener.seen("gap");
  checkMessages(listener.events, []);
  proxy.away = true;
  proxy.cut();
  await alice.sendAll(conversation, texts(11, 15));
  proxy.away = false;
  await listener.seen("message", 15);
  await listener.seen("caught_up");
  listener.source.close();
  proxy.close();
  const gaps = listener.of("gap");
  deepStrictEqual(gaps.map(({ data }) => [data.reason, data.requested]), [["unknown", foreign], ["unknown", foreign]]);
  deepStrictEqual(gaps.map(({ id }) => id), ["", ""], "a gap has no id");
  deepStrictEqual(gaps[0].data.held_from, gaps[1].data.held_from);
  deepStrictEqual(proxy.requests.map(({ lastEventId }) => lastEventId), ["", ""], "so the same id was asked for again");
  notStrictEqual(listener.of("caught_up")[0].id, "");
  checkMessages(listener.events, texts(1, 15));
  return "the same gap again, then all 15 messages";
}

async function bye_on_drain_and_back_after_the_restart(server) {
  const { alice, bob, conversation } = await pair(server);
  const listener = new Listener(server.url, await bob.token());
  await listener.seen("ready");
  await alice.sendAll(conversation, texts(1, 10));
  await listener.seen("message", 10);
  deepStrictEqual(await server.terminate(), 0, "exit code after SIGTERM");
  await listener.seen("bye");
  const [bye] = listener.of("bye");
  deepStrictEqual([bye.id, bye.data.reason, bye.data.reconnect], ["", "drain", true]);
  await server.restart();
  await alice.sendAll(conversation, texts(11, 20));
  await listener.seen("message", 20);
  listener.source.close();
  checkMessages(listener.events, texts(1, 20));
  deepStrictEqual(listener.of("gap"), []);
  return "bye drain, exit 0, 20 messages across the restart";
}

async function acknowledged_before_a_kill_arrives_after_it(server) {
  const { alice, bob, conversation } = await pair(server);
  const proxy = await Proxy.start(server.url);
  const held = proxy.holdAfter("message 5\"");
  const listener = new Listener(proxy.url, await bob.token());
  await listener.seen("ready");
  await alice.sendAll(conversation, texts(1, 40));
  await held;
  await listener.seen("message", 5);
  await server.kill();
  await server.restart();
  await alice.sendAll(conversation, texts(41, 45));
  await listener.seen("message", 45);
  listener.source.close();
  proxy.close();
  checkMessages(listener.events, texts(1, 45));
  deepStrictEqual(listener.of("gap"), []);
  return "35 acknowledged and not delivered before kill -9, all 45 once";
}

await run(await Server.start(), [
  resumes_through_cuts_in_mid_event,
  first_connect_cut_before_its_first_message,
  cut_right_after_gap,
  bye_on_drain_and_back_after_the_restart,
  acknowledged_before_a_kill_arrives_after_it,
]);
