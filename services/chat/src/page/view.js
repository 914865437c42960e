// What is seen. Text of others reaches the page through textContent only.

const LOG_ROWS = 200; // what a person scrolls through; the page must not grow with the stream
const STATES = {
  connecting: "Connecting",
  replaying: "Replaying",
  live: "Live",
  cut: "Cut off",
  offline: "Offline",
  reconnecting: "Reconnecting",
  stopped: "Stopped",
};
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const TIME_DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const TIME_LOG = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

export const $ = (id) => document.getElementById(id);

const NEAR_END_PX = 80; // about one message: who is that close reads along
const nearEnd = (node) => node.scrollHeight - node.scrollTop - node.clientHeight < NEAR_END_PX;

function scrollToEnd(node) {
  node.scrollTop = node.scrollHeight;
}

function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function announce(text) {
  $("announce").textContent = text;
}

export function nameOf({ info }, me) {
  if (info.title) return info.title;
  const others = (info.members ?? []).map((member) => member.account).filter((account) => account !== me);
  return others.join(", ") || "Conversation";
}

function textOf(message) {
  if (message.deleted_at || !message.body) return "Message deleted";
  return message.body.type === "text" ? String(message.body.text) : `[${message.body.type}]`;
}

function paintAvatar(node, name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 360;
  node.textContent = name.slice(0, 2);
  node.style.setProperty("--hue", hash);
}

export class View {
  constructor(session, model, outbox) {
    Object.assign(this, { session, model, outbox });
    this.rows = new Map(); // message key → its <li>, so that a redraw moves nothing and announces nothing twice
    this.replayed = new Set(); // ids of messages that a resume brought
    this.events = 0;
  }

  list() {
    const buttons = this.model.inOrder().map((conversation) => this.#entry(conversation));
    const focused = document.activeElement?.dataset?.conversation;
    $("conversations").replaceChildren(...buttons);
    if (focused) $("conversations").querySelector(`[data-conversation="${CSS.escape(focused)}"]`)?.focus();
    $("no-conversations").hidden = buttons.length > 0;
    const unread = [...this.model.conversations.values()].reduce((sum, { unread }) => sum + unread, 0);
    document.title = `${unread ? `(${unread}) ` : ""}${this.session.account} · Godwit`;
  }

  #entry(conversation) {
    const name = nameOf(conversation, this.session.account);
    const last = conversation.info.last_message;
    const avatar = element("span", { className: "avatar", ariaHidden: "true" });
    paintAvatar(avatar, name);
    const preview = last ? `${last.sender === this.session.account ? "You: " : ""}${textOf(last)}` : "No messages yet";
    const count = conversation.unread > 99 ? "99+" : String(conversation.unread || "");
    const badge = element("span", { className: "badge" }, count);
    badge.hidden = !conversation.unread;
    badge.append(element("span", { className: "sr-only" }, " unread"));
    const button = element(
      "button",
      { type: "button", className: "entry" },
      avatar,
      element("span", { className: "entry-text" }, element("b", {}, name), element("span", { className: "preview" }, preview)),
      element("span", { className: "entry-side" }, element("time", {}, last ? TIME.format(new Date(last.sent_at)) : ""), badge),
    );
    button.dataset.conversation = conversation.id;
    if (conversation.id === this.model.selected) button.setAttribute("aria-current", "true");
    return element("li", {}, button);
  }

  head(conversation) {
    const name = nameOf(conversation, this.session.account);
    const { kind, members = [], member_count } = conversation.info;
    $("title").textContent = name;
    const accounts = members.map((member) => member.account).join(", ");
    $("members").textContent = kind === "direct" ? "Direct" : `${plural(member_count ?? members.length, "member")}: ${accounts}`;
    paintAvatar($("title-avatar"), name);
  }

  // Lays out the messages of the open conversation, what is still being sent last.
  messages(conversation) {
    const confirmed = [...conversation.messages.values()].sort((a, b) => a.seq - b.seq);
    const known = new Set(confirmed.map((message) => this.#key(message)));
    const waiting = this.outbox
      .of(conversation.id)
      .map((item) => ({ ...item, item, sender: this.session.account, body: { type: "text", text: item.text }, sent_at: item.at }))
      .filter((item) => !known.has(this.#key(item)));
    const wanted = [...confirmed, ...waiting];
    const atEnd = this.atEnd();
    let next = $("messages").firstChild;
    wanted.forEach((message, index) => {
      const row = this.#row(message, wanted[index - 1]);
      if (row === next) next = next.nextSibling;
      else $("messages").insertBefore(row, next);
    });
    while (next) {
      const stale = next;
      next = next.nextSibling;
      this.rows.delete(stale.dataset.key);
      stale.remove();
    }
    $("older").hidden = !conversation.older;
    if (atEnd) this.toEnd();
  }

  clearMessages() {
    this.rows.clear();
    $("messages").replaceChildren();
    $("jump").hidden = true;
  }

  atEnd() {
    return nearEnd($("scroll"));
  }

  toEnd() {
    scrollToEnd($("scroll"));
    $("jump").hidden = true;
  }

  // The same for a message on its way and for the one that came back.
  #key({ sender, client_id }) {
    return `${sender} ${client_id}`;
  }

  #row(message, previous) {
    const key = this.#key(message);
    let row = this.rows.get(key);
    if (!row) {
      row = element("li", {}, element("div", { className: "bubble" }));
      row.dataset.key = key;
      this.rows.set(key, row);
    }
    const mine = message.sender === this.session.account;
    const follows = previous?.sender === message.sender;
    row.className = `${mine ? "mine" : "theirs"}${follows ? " follows" : ""}${message.deleted_at ? " deleted" : ""}`;
    const { item, edited_at, seq } = message;
    const shown = JSON.stringify([textOf(message), item?.state, item?.error, edited_at, this.replayed.has(message.id), seq, follows]);
    if (row.dataset.shown === shown) return row;
    row.dataset.shown = shown;
    const author = element("span", { className: follows || mine ? "sr-only" : "author" }, mine ? "You" : message.sender);
    row.firstChild.replaceChildren(author, element("p", { className: "text" }, textOf(message)), this.#meta(message, mine));
    return row;
  }

  #meta(message, mine) {
    const meta = element("span", { className: "meta" });
    if (message.item?.state === "failed") {
      meta.append(element("span", { className: "error" }, `Not sent: ${message.item.error}`));
      for (const [label, act] of [["Try again", "retry"], ["Discard", "remove"]]) {
        meta.append(element("button", { type: "button", className: "link", onclick: () => this.outbox[act](message.item) }, label));
      }
      return meta;
    }
    if (this.replayed.has(message.id)) meta.append(element("span", { className: "replayed" }, "replayed"));
    if (message.edited_at) meta.append("edited");
    meta.append(element("time", { dateTime: message.sent_at, title: new Date(message.sent_at).toLocaleString() }, TIME.format(new Date(message.sent_at))));
    if (message.item) meta.append(element("span", { className: "progress" }, message.item.error ? `${message.item.error}, will be sent` : "sending"));
    else if (mine) meta.append(element("span", { className: "progress tick", title: `Stored as seq ${message.seq}` }, "stored"));
    return meta;
  }

  state(state, reason) {
    const label = STATES[state];
    $("pill").dataset.state = state;
    $("pill-text").textContent = label;
    $("switch").setAttribute("aria-checked", String(!["cut", "stopped"].includes(state)));
    $("switch-label").textContent = { cut: "Cut off", stopped: "Stopped" }[state] ?? "Connected";
    const because = reason ? ` (${reason})` : "";
    const line = {
      connecting: "Connecting to the server.",
      replaying: "Catching up.",
      live: "Live: messages arrive as they are stored.",
      cut: "Stream cut. Switch it on to catch up.",
      offline: "No network. What you write is sent later.",
      reconnecting: `Connection lost${because}. The browser tries again by itself.`,
      stopped: `Stream ended${because}. Switch it on to try again.`,
    }[state];
    $("line").textContent = line;
    $("line").dataset.state = state;
    if (["cut", "offline", "stopped"].includes(state)) announce(line);
  }

  facts(position, expiresAt) {
    $("fact-position").textContent = position || "–";
    $("fact-count").textContent = String(this.events);
    $("fact-duplicates").textContent = String(this.model.duplicates);
    if (expiresAt) $("fact-token").textContent = TIME_DAY.format(new Date(expiresAt));
  }

  resume({ sent, how, replayed, caughtUp, gap }) {
    const done = caughtUp !== null;
    $("resume").dataset.outcome = gap ? "gap" : done ? "whole" : "none";
    const headline = `${replayed} replayed${gap ? ", with a gap" : ", nothing missing"}`;
    $("resume-headline").textContent = done ? headline : "Replaying";
    $("resume-sent").textContent = sent || "none";
    $("resume-how").textContent = how;
    $("resume-replayed").textContent = plural(replayed, "event");
    $("resume-caught").textContent = caughtUp ?? "–";
    $("resume-gap").textContent = gap ? `${gap.reason}${gap.held_from ? `, held from ${gap.held_from}` : ""}` : "none";
    if (done) announce(`Stream resumed: ${headline}.`);
  }

  // Newest last, and it follows: a row that came in above would push all others down.
  log(kind, name, id, detail, replayed = false) {
    const log = $("log");
    const follows = nearEnd(log);
    const at = element("time", {}, TIME_LOG.format(new Date()));
    const summary = element("summary", {}, at, element("b", {}, name), element("code", {}, id));
    if (replayed) summary.append(element("span", { className: "replayed" }, "replayed"));
    const details = element("details", {}, summary, element("pre", {}, detail));
    const row = element("li", { className: kind }, details);
    log.append(row);
    while (log.childElementCount > LOG_ROWS) log.firstChild.remove();
    if (follows) scrollToEnd(log);
  }

  logToEnd() {
    scrollToEnd($("log"));
  }
}
