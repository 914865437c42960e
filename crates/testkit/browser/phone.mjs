// A tab with the demo page in it, used as a person would: by what the controls are called.

import { deepStrictEqual } from "node:assert";
import { chromium } from "playwright-core";

import { until } from "../clients/chat.mjs";
import { watchShifts } from "./audit.mjs";

const FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";

export function launch() {
  const executablePath = process.env.GODWIT_CHROMIUM || "/usr/bin/chromium";
  return chromium.launch({ executablePath, headless: true, args: FLAGS.split(" ") });
}

export class Phone {
  // `context` is shared by the tabs of one browser. With `account` undefined it stays at the choice of accounts.
  static async open(context, base, account, size = { width: 1360, height: 860 }) {
    const phone = new Phone();
    phone.page = await context.newPage();
    phone.complaints = []; // what the console and the page itself complained of
    phone.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) phone.complaints.push(`${message.text()} ${message.location().url.split("?")[0]}`);
    });
    phone.page.on("pageerror", (error) => phone.complaints.push(error.stack));
    phone.page.on("dialog", (dialog) => phone.complaints.push(`a dialog opened: ${dialog.message()}`));
    await watchShifts(phone.page);
    await phone.page.setViewportSize(size);
    await phone.page.goto(account ? `${base}/#${new URLSearchParams({ account, device: "phone" })}` : base);
    if (account) await phone.state("Live");
    return phone;
  }

  state(text) {
    return until(`the stream to be ${text}`, async () => (await this.page.locator("#pill-text").textContent()) === text);
  }

  async startDirect(other) {
    await this.page.getByRole("button", { name: "New", exact: true }).click();
    await this.page.getByLabel("With").fill(other);
    await this.page.getByRole("button", { name: "Start" }).click();
    await this.page.getByRole("heading", { name: other }).waitFor();
  }

  entry(name) {
    return this.page.getByRole("navigation", { name: "Conversations" }).getByRole("button", { name });
  }

  async choose(name) {
    await this.entry(name).click();
    await this.page.getByRole("heading", { name }).waitFor();
  }

  async write(...texts) {
    for (const text of texts) {
      await this.page.getByRole("textbox", { name: "Message", exact: true }).fill(text);
      await this.page.keyboard.press("Enter");
    }
  }

  get switch() {
    return this.page.getByRole("switch");
  }

  texts(selector = "#messages li") {
    return this.page.locator(`${selector} .text`).allTextContents();
  }

  // Waits until the open conversation shows so many messages, and compares all of them.
  async shows(expected) {
    await until(`${expected.length} messages`, async () => (await this.texts()).length >= expected.length);
    deepStrictEqual(await this.texts(), expected);
  }

  // The card of the last resume: {headline, sent, how, replayed, caught, gap}.
  async resume() {
    const read = async (id) => [id, await this.page.locator(`#resume-${id}`).textContent()];
    return Object.fromEntries(await Promise.all(["headline", "sent", "how", "replayed", "caught", "gap"].map(read)));
  }

  // Waits until the stream brought so many stored events: a history shows messages before that.
  streamed(count) {
    return until(`${count} stored events`, async () => (await this.page.locator("#log .stored").count()) >= count);
  }

  position() {
    return this.page.locator("#fact-position").textContent();
  }
}
