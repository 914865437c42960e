// Conversations and their messages, as this tab knows them.

const LIST_PAGES = 5; // × 200 conversations: enough for a demonstration

export class Model {
  constructor(session) {
    this.session = session;
    this.conversations = new Map(); // id → {id, info, messages: Map by id, counted, unread, loaded, older}
    this.selected = null;
    this.streamed = new Set(); // ids of messages that a stream brought
    this.duplicates = 0;
  }

  // Reads the list; returns the head that was current before it.
  async load() {
    let head = "";
    let cursor = "";
    for (let page = 0; page < LIST_PAGES && cursor !== null; page++) {
      const query = new URLSearchParams({ limit: 200, ...(cursor && { cursor }) });
      const answer = await this.session.call("GET", `/v1/conversations?${query}`);
      for (const info of answer.conversations) this.#listed(info);
      head ||= answer.head;
      cursor = answer.next ?? null;
    }
    return head;
  }

  // A newest page, or the page before the oldest message that is held.
  async history(conversation, before) {
    const query = new URLSearchParams({ limit: 50, ...(before && { before }) });
    const path = `/v1/conversations/${encodeURIComponent(conversation.id)}/messages?${query}`;
    const { messages, more } = await this.session.call("GET", path);
    for (const message of messages) conversation.messages.set(message.id, message);
    conversation.older = more;
    conversation.loaded = true;
  }

  ensure(id, info) {
    const known = this.conversations.get(id);
    if (known) return known;
    const made = { id, info: info ?? { kind: "group", members: [] }, messages: new Map(), counted: 0, unread: 0, loaded: false, older: false };
    this.conversations.set(id, made);
    return made;
  }

  inOrder() {
    const activity = ({ info }) => info.last_message?.sent_at || info.created_at || "";
    return [...this.conversations.values()].sort((a, b) => (activity(a) < activity(b) ? 1 : -1));
  }

  // Takes an event in. Returns {conversation, fresh}: fresh says that it is a message not seen before.
  apply(name, data) {
    if (name === "conversation") return this.#changed(data);
    const conversation = this.ensure(data.conversation_id);
    if (name !== "message") {
      this.#amended(conversation, name, data);
      return { conversation, fresh: false };
    }
    // Delivery is at least once across streams: what a stream brought before is dropped by its id.
    if (this.streamed.has(data.id)) {
      this.duplicates += 1;
      return { conversation, fresh: false };
    }
    this.streamed.add(data.id);
    const fresh = this.hold(conversation, data);
    if (data.seq > conversation.counted) {
      conversation.counted = data.seq;
      if (data.sender !== this.session.account) conversation.unread += 1;
    }
    return { conversation, fresh };
  }

  // Keeps a message, from the stream or from the answer to a POST. One that is held already, from
  // the history perhaps with later edits, stays as it is. An answer does not move `counted`: while
  // the stream is cut, others may have written before it.
  hold(conversation, message) {
    if (conversation.messages.has(message.id)) return false;
    conversation.messages.set(message.id, message);
    if (message.seq > (conversation.info.last_message?.seq ?? 0)) conversation.info.last_message = message;
    return true;
  }

  read(conversation) {
    conversation.unread = 0;
    sessionStorage.setItem(this.#markKey(conversation.id), String(conversation.counted));
  }

  #listed(info) {
    const conversation = this.ensure(info.id, info);
    conversation.info = { ...conversation.info, ...info };
    if (conversation.counted > 0) return;
    const newest = info.last_message?.seq ?? 0;
    const mark = Number(sessionStorage.getItem(this.#markKey(info.id)) || 0);
    conversation.counted = newest;
    // This tab's own mark, where it is the newer one; what lies between may be edits, so it is an upper bound.
    conversation.unread = mark >= newest ? 0 : Math.min(info.unread ?? 0, newest - mark);
  }

  #changed(data) {
    const { conversation_id: id, change, account, conversation: info } = data;
    const gone = change === "removed" || (change === "member_removed" && account === this.session.account);
    if (gone) {
      this.conversations.delete(id);
      return { conversation: null, fresh: false };
    }
    const conversation = this.ensure(id);
    // An event that is replayed late tells of an older state of the last message.
    const { last_message, unread, ...rest } = info ?? {};
    Object.assign(conversation.info, rest);
    return { conversation, fresh: false };
  }

  #amended(conversation, name, data) {
    const message = conversation.messages.get(data.id);
    if (!message) return;
    if (name === "message_updated") Object.assign(message, { body: data.body, edited_at: data.at });
    if (name === "message_deleted") Object.assign(message, { body: null, deleted_at: data.at });
  }

  #markKey(id) {
    return `godwit.read ${this.session.account} ${this.session.device} ${id}`;
  }
}
