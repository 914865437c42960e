// One phone: session, model, outbox and stream, and what happens between them.

import { Model } from "./model.js";
import { Outbox } from "./outbox.js";
import { backoff, sleep } from "./retry.js";
import { Problem, Session } from "./session.js";
import { STORED, Stream } from "./stream.js";
import { $, View } from "./view.js";

const DRAW_MS = 16; // one frame; a timer, since a tab in the background gets no frames

export class Phone {
  constructor(account, device) {
    this.session = new Session(account, device);
    this.model = new Model(this.session);
    this.outbox = new Outbox(this.session, {
      changed: () => this.#redraw(),
      sent: (item, answer) => this.#sent(item, answer),
    });
    this.view = new View(this.session, this.model, this.outbox);
    this.stream = new Stream(this.session, {
      event: (...event) => this.#event(...event),
      state: (state, reason) => this.view.state(state, reason),
      resume: (attempt) => this.view.resume(attempt),
      note: (name, text, id = "") => this.view.log("note", name, id, text),
    });
  }

  async start() {
    this.started = true;
    for (let attempt = 0; ; attempt++) {
      try {
        // The head was read before the list: a stream that starts there misses nothing.
        this.stream.position = await this.model.load();
        break;
      } catch (error) {
        const refused = error instanceof Problem && !error.retryable;
        this.view.state(refused ? "stopped" : navigator.onLine ? "reconnecting" : "offline", error.message);
        if (refused) return void (this.started = false);
        await sleep(backoff(attempt));
      }
    }
    this.view.list();
    this.stream.open();
    this.outbox.kick();
  }

  async select(id) {
    const conversation = this.model.conversations.get(id);
    if (!conversation) return;
    this.model.selected = id;
    document.body.dataset.pane = "chat";
    $("blank").hidden = true;
    $("open").hidden = false;
    this.view.clearMessages();
    this.view.head(conversation);
    if (!conversation.loaded) await this.#history(conversation);
    if (this.model.selected !== id) return;
    this.view.messages(conversation);
    this.view.toEnd();
    this.#read(conversation);
    (matchMedia("(pointer: fine)").matches ? $("text") : $("title")).focus();
  }

  unselect() {
    this.model.selected = null;
    document.body.dataset.pane = "list";
    $("blank").hidden = false;
    $("open").hidden = true;
    this.view.list();
  }

  async older() {
    const conversation = this.model.conversations.get(this.model.selected);
    const oldest = Math.min(...[...conversation.messages.values()].map((message) => message.seq));
    const scroll = $("scroll");
    const fromEnd = scroll.scrollHeight - scroll.scrollTop;
    await this.#history(conversation, oldest);
    this.view.messages(conversation);
    scroll.scrollTop = scroll.scrollHeight - fromEnd; // what was being read stays where it was
    scroll.focus();
  }

  async create(kind, members, title, clientId) {
    const body = { kind, members, ...(kind === "group" && { client_id: clientId, ...(title && { title }) }) };
    const info = await this.session.call("POST", "/v1/conversations", body);
    this.model.ensure(info.id, info);
    this.view.list();
    this.select(info.id); // its history may take a while: the dialog does not wait for that
  }

  send(text) {
    if (!this.outbox.add(this.model.selected, text)) return false;
    this.view.toEnd();
    return true;
  }

  // The network came or went.
  network() {
    this.stream.network();
    if (!navigator.onLine) return;
    this.outbox.kick();
    if (this.stream.waiting) this.stream.open();
  }

  toggleStream() {
    if (!this.started) this.start();
    else if (["cut", "stopped"].includes(this.stream.phase)) this.stream.open();
    else this.stream.cut();
  }

  looked() {
    const conversation = this.model.conversations.get(this.model.selected);
    if (conversation) this.#read(conversation);
  }

  async #history(conversation, before) {
    try {
      await this.model.history(conversation, before);
    } catch (error) {
      this.view.log("note", "error", "", `history: ${error.message}`);
    }
  }

  #event(name, data, id, replayed) {
    this.view.events += 1;
    this.view.log(STORED.includes(name) ? "stored" : "passing", name, id, JSON.stringify(data, null, 1), replayed);
    if (STORED.includes(name)) this.#stored(name, data, replayed);
    if (name === "gap") this.#refill();
    this.view.facts(this.stream.position, data.expires_at);
  }

  #stored(name, data, replayed) {
    const { conversation, fresh } = this.model.apply(name, data);
    if (conversation === null) {
      if (this.model.selected === data.conversation_id) this.unselect();
      return this.view.list();
    }
    if (fresh && replayed) this.view.replayed.add(data.id);
    const scrolledUp = !this.view.atEnd();
    if (fresh && data.sender !== this.session.account && conversation.id === this.model.selected && scrolledUp) $("jump").hidden = false;
    this.#redraw();
  }

  // After a gap the stream alone does not tell all: read again what is shown.
  async #refill() {
    for (const conversation of this.model.conversations.values()) conversation.loaded = false;
    const selected = this.model.conversations.get(this.model.selected);
    if (selected) await this.#history(selected);
    await this.model.load().catch((error) => this.view.log("note", "error", "", `list: ${error.message}`));
    this.view.list();
    this.#redraw();
  }

  #sent({ conversation: id, text, client_id }, { id: messageId, seq, sender, sent_at }) {
    const conversation = this.model.conversations.get(id);
    if (!conversation) return;
    this.model.hold(conversation, { id: messageId, conversation_id: id, seq, sender, client_id, body: { type: "text", text }, sent_at });
  }

  #read(conversation) {
    const visible = document.visibilityState === "visible" && document.body.dataset.pane === "chat" && this.view.atEnd();
    if (visible && conversation.id === this.model.selected) this.model.read(conversation);
    this.view.list();
  }

  // Draws once for all that a replay brings in a burst.
  #redraw() {
    this.drawing ??= setTimeout(() => {
      this.drawing = null;
      const conversation = this.model.conversations.get(this.model.selected);
      if (!conversation) return this.view.list();
      this.view.head(conversation);
      this.view.messages(conversation);
      this.#read(conversation);
    }, DRAW_MS);
  }
}
