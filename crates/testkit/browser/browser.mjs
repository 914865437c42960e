// The demo page and Chromium's own EventSource, on the real server.
// GODWIT_BIN=target/debug/godwit node browser.mjs [FOLDER FOR SCREENSHOTS]

import { deepStrictEqual, match } from "node:assert";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { Account, checkMessages, fresh, run, sleep, texts, until } from "../clients/chat.mjs";
import { Proxy } from "../clients/proxy.mjs";
import { Server } from "../clients/server.mjs";
import { contrastFaults, nameFaults, overflows, shiftFault } from "./audit.mjs";
import { Phone, launch } from "./phone.mjs";

const SHOTS = process.argv[2] ?? join(import.meta.dirname, "../../../target/browser");
const QUIET_MS = 300; // long enough for a message to arrive that should not
const AFTER_INPUT_MS = 600; // the browser excuses a jump within 500 ms of an input
mkdirSync(SHOTS, { recursive: true });
const browser = await launch();
const context = await browser.newContext();

// Two tabs of one browser in a conversation with each other.
async function pair(server, baseOfBob = server.url) {
  const [alice, bob] = [fresh("alice"), fresh("bob")];
  const phones = { alice, bob, a: await Phone.open(context, server.url, alice), b: await Phone.open(context, baseOfBob, bob) };
  await phones.a.startDirect(bob);
  return phones;
}

// Each tab holds a connection for its stream, and HTTP/1.1 allows a browser six to one server.
async function closeTabs() {
  for (const page of context.pages()) {
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await page.close();
  }
}

async function two_tabs_are_two_phones(server) {
  const { alice, bob, a, b } = await pair(server);
  const literal = "<img src=x onerror=alert(1)> & <b>text</b>";
  await a.write("one", literal, "two\nlines");
  await a.shows(["one", literal, "two\nlines"]);
  await until("3 unread", async () => /3\s*unread/.test(await b.entry(alice).textContent()));
  match(await b.page.title(), /^\(3\)/);
  await b.choose(alice);
  await b.shows(["one", literal, "two\nlines"]);
  deepStrictEqual(await b.page.locator("#messages img, #messages b").count(), 0);
  await until("nothing unread", async () => !/unread/.test(await b.entry(alice).innerText()));
  await b.write("three");
  await a.shows(["one", literal, "two\nlines", "three"]);
  await a.page.reload();
  await a.state("Live");
  await a.choose(bob);
  await a.shows(["one", literal, "two\nlines", "three"]);
  for (const phone of [a, b]) {
    deepStrictEqual(await shiftFault(phone.page), "");
    deepStrictEqual(phone.complaints, []);
  }
  return "4 messages both ways, unread counted, markup shown as text, console silent";
}

async function a_new_conversation_does_not_wait_for_its_history(server) {
  const a = await Phone.open(context, server.url, fresh("alice"));
  let answer;
  const held = new Promise((resolve) => (answer = resolve));
  await a.page.route("**/messages?*", async (route) => {
    await held;
    return route.continue();
  });
  await a.startDirect(fresh("bob"));
  await a.write("first", "second");
  await until("both are stored", async () => (await a.page.locator(".tick").count()) === 2);
  answer();
  await sleep(QUIET_MS);
  await a.shows(["first", "second"]);
  return "2 messages stored before the history was answered";
}

async function the_switch_cuts_and_resumes(server) {
  const { alice, bob, a, b } = await pair(server);
  await a.write("before");
  await b.choose(alice);
  await b.shows(["before"]);
  await b.streamed(2); // the conversation and the message
  const position = await b.position();
  await b.switch.click();
  await b.state("Cut off");
  await a.write(...texts(1, 5));
  await a.shows(["before", ...texts(1, 5)]);
  await until("all are stored", async () => (await a.page.locator(".tick").count()) === 6);
  await b.write("written while cut");
  await until("mine is stored", async () => (await b.page.locator(".mine .tick").count()) === 1);
  await sleep(QUIET_MS);
  await b.shows(["before", "written while cut"]);
  await new Account(server.url, bob).has(6, position);
  await b.page.screenshot({ path: join(SHOTS, "cut.png") });
  await b.switch.click();
  await b.state("Live");
  await b.shows(["before", ...texts(1, 5), "written while cut"]);
  deepStrictEqual(await b.texts("#messages li:has(.replayed)"), texts(1, 5));
  deepStrictEqual(await b.resume(), {
    headline: "6 replayed, nothing missing",
    sent: position,
    how: "a new EventSource, in the query",
    replayed: "6 events",
    caught: await b.position(),
    gap: "none",
  });
  await b.page.screenshot({ path: join(SHOTS, "resumed.png") });
  deepStrictEqual([...a.complaints, ...b.complaints], []);
  return `6 events replayed after ${position}, shown as such`;
}

async function the_page_survives_a_lost_connection(server) {
  const proxy = await Proxy.start(server.url);
  const { alice, bob, a, b } = await pair(server, proxy.url);
  await b.choose(alice);
  await a.write("before");
  await b.shows(["before"]);
  await b.streamed(2); // the conversation and the message
  const position = await b.position();
  proxy.away = true;
  proxy.cut();
  await b.state("Reconnecting");
  await a.write(...texts(1, 3));
  await b.write("from the tunnel", "and another");
  await b.page.getByText("will be sent").first().waitFor();
  await until("all are stored", async () => (await a.page.locator(".tick").count()) === 4);
  proxy.away = false;
  await b.state("Live");
  await a.shows(["before", ...texts(1, 3), "from the tunnel", "and another"]);
  await b.shows(["before", ...texts(1, 3), "from the tunnel", "and another"]);
  const resume = await b.resume();
  deepStrictEqual([resume.sent, resume.how, resume.gap], [position, "the browser, as a header", "none"]);
  const lost = b.complaints.filter((text) => !text.includes("net::ERR_"));
  deepStrictEqual([...a.complaints, ...lost], [], "nothing but the lost connections themselves");
  proxy.close();
  return `${bob.split("-")[0]}: resumed by the browser's header, outbox sent once and in order`;
}

async function an_answer_that_is_lost_doubles_nothing(server) {
  const { alice, a, b } = await pair(server);
  await b.choose(alice);
  let lost = 0;
  const clientIds = new Set();
  await a.page.route("**/messages", async (route) => {
    if (route.request().method() !== "POST") return route.continue();
    clientIds.add(route.request().postDataJSON().client_id);
    const response = await route.fetch();
    if (lost < 2) {
      lost += 1;
      return route.abort("connectionreset");
    }
    return route.fulfill({ response });
  });
  await a.write("only once", "after it");
  await until("both are stored", async () => (await a.page.locator(".tick").count()) === 2);
  await a.shows(["only once", "after it"]);
  await b.shows(["only once", "after it"]);
  await sleep(QUIET_MS);
  await b.shows(["only once", "after it"]);
  deepStrictEqual([lost, clientIds.size], [2, 2]);
  return "2 answers lost, sent again under the same client_id, 2 messages";
}

async function a_refused_token_is_replaced(server) {
  const { alice, a, b } = await pair(server);
  await b.choose(alice);
  let refusals = 2; // the stream's, and that of the call by which the page looks why
  let seen = 0;
  await b.page.route(/\/v1\/(events\?|conversations\?limit=1$)/, (route) => {
    if (seen >= refusals) return route.continue();
    seen += 1;
    return route.fulfill({ status: 401, contentType: "application/problem+json", body: "{}" });
  });
  await b.switch.click();
  await a.write("meanwhile");
  await until("it is stored", async () => (await a.page.locator(".tick").count()) === 1);
  await b.switch.click();
  await b.state("Live");
  await b.shows(["meanwhile"]);
  deepStrictEqual(seen, 2);
  // Refused with every token: the page says so and leaves the server alone.
  refusals = Infinity;
  await b.switch.click();
  await b.switch.click();
  await b.state("Stopped");
  const stoppedAt = seen;
  await sleep(QUIET_MS);
  deepStrictEqual(seen, stoppedAt);
  refusals = 0;
  await b.switch.click();
  await b.state("Live");
  await a.write("afterwards");
  await b.shows(["meanwhile", "afterwards"]);
  return "a new token and a new EventSource by itself, nothing missed; refused for good it stops";
}

// A bare EventSource in a page that has no stream of its own.
async function collect(page, token) {
  await page.evaluate((accessToken) => {
    window.events = [];
    window.source = new EventSource(`/v1/events?access_token=${accessToken}`);
    for (const name of ["ready", "message", "conversation", "caught_up", "gap", "bye"]) {
      window.source.addEventListener(name, ({ lastEventId, data }) => window.events.push({ name, id: lastEventId, data: JSON.parse(data) }));
    }
  }, token);
}

async function chromiums_event_source_resumes(server) {
  const [alice, bob] = [new Account(server.url, fresh("alice")), new Account(server.url, fresh("bob"))];
  const conversation = await alice.direct(bob);
  const proxy = await Proxy.start(server.url);
  const phone = await Phone.open(context, proxy.url);
  const have = (name) => phone.page.evaluate((wanted) => window.events.filter((event) => event.name === wanted).length, name);
  // Cut before its first message.
  const held = proxy.holdAfter("event: ready");
  await collect(phone.page, await bob.token());
  await held;
  await until("ready", () => have("ready"));
  proxy.away = true;
  proxy.cut();
  await alice.sendAll(conversation, texts(1, 20));
  proxy.away = false;
  await until("20 messages", async () => (await have("message")) >= 20);
  // Cut in mid-flow, three times.
  const sending = alice.sendAll(conversation, texts(21, 150));
  for (let cut = 1; cut <= 3; cut++) {
    const before = await have("ready");
    proxy.cut();
    await until("it is back", async () => (await have("ready")) > before);
  }
  await sending;
  await until("150 messages", async () => (await have("message")) >= 150);
  const events = await phone.page.evaluate(() => (window.source.close(), window.events));
  checkMessages(events, texts(1, 150));
  deepStrictEqual(events.filter(({ name }) => name === "gap"), []);
  const [first, ...later] = proxy.requests.filter(({ path }) => path.includes("access_token"));
  deepStrictEqual([first.lastEventId, later.every(({ lastEventId }) => lastEventId !== "")], ["", true]);
  deepStrictEqual(later[0].lastEventId, events[0].id, "the first resume starts at the id of ready");
  proxy.close();
  return `150 messages through ${proxy.cuts} cuts, in order, once each`;
}

async function everybody_can_use_it(server) {
  const { alice, bob, a, b } = await pair(server);
  await a.write("A message, to look at.", "And one more.");
  await b.choose(alice);
  await b.shows(["A message, to look at.", "And one more."]);
  await b.write("An answer.");
  await a.shows(["A message, to look at.", "And one more.", "An answer."]);
  const small = await Phone.open(context, server.url, alice, { width: 360, height: 720 });
  const start = await Phone.open(context, server.url);
  const views = { start, wide: a };
  let looked = 0;
  const look = async (name, phone) => {
    for (const colorScheme of ["light", "dark"]) {
      await phone.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const faults = [...(await nameFaults(phone.page)), ...(await contrastFaults(phone.page))];
      if (await overflows(phone.page)) faults.push("wider than the window");
      deepStrictEqual(faults, [], `${name}, ${colorScheme}`);
      await phone.page.screenshot({ path: join(SHOTS, `${name}-${colorScheme}.png`) });
      looked += 1;
    }
  };
  for (const [name, phone] of Object.entries(views)) await look(name, phone);
  await look("phone-list", small);
  await small.choose(bob);
  await small.shows(["A message, to look at.", "And one more.", "An answer."]);
  await look("phone-chat", small);
  await small.page.locator("#pill").click();
  await look("phone-stream", small);
  await a.page.getByRole("button", { name: "New", exact: true }).click();
  await look("dialog", a);
  await a.page.keyboard.press("Escape");
  for (const phone of [a, b, small, start]) deepStrictEqual([await shiftFault(phone.page), phone.complaints], ["", []]);
  return `${looked} views: names, contrast, width; screenshots in ${SHOTS}`;
}

// Nobody touches the page meanwhile: a jump right after a key or a click is not counted.
async function nothing_jumps_as_events_arrive(server) {
  const proxy = await Proxy.start(server.url);
  const [alice, bob] = [new Account(server.url, fresh("alice")), new Account(server.url, fresh("bob"))];
  const conversation = await alice.direct(bob);
  await bob.has(1);
  const phones = [];
  for (const size of [undefined, { width: 360, height: 720 }]) phones.push(await Phone.open(context, proxy.url, bob.name, size));
  for (const phone of phones) await phone.choose(alice.name);
  await phones[1].page.locator("#pill").click();
  await sleep(AFTER_INPUT_MS);
  await alice.sendAll(conversation, texts(1, 20));
  for (const phone of phones) await phone.shows(texts(1, 20));
  proxy.away = true;
  proxy.cut();
  for (const phone of phones) await phone.state("Reconnecting");
  await alice.sendAll(conversation, texts(21, 30));
  proxy.away = false;
  for (const phone of phones) {
    await phone.state("Live");
    await phone.shows(texts(1, 30));
    deepStrictEqual(await shiftFault(phone.page), "");
  }
  await phones[0].page.screenshot({ path: join(SHOTS, "full.png") });
  proxy.close();
  return "30 messages and a resume, wide and narrow, panel open";
}

await run(await Server.start(), [
  two_tabs_are_two_phones,
  a_new_conversation_does_not_wait_for_its_history,
  the_switch_cuts_and_resumes,
  the_page_survives_a_lost_connection,
  an_answer_that_is_lost_doubles_nothing,
  a_refused_token_is_replaced,
  chromiums_event_source_resumes,
  everybody_can_use_it,
  nothing_jumps_as_events_arrive,
], closeTabs);
