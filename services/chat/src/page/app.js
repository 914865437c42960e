// The demo page: one tab is one phone. It is a plain client of the public contract, EventSource
// down and fetch up, without a library. This file joins the controls of the page to the phone.

import { Phone } from "./phone.js";
import { $ } from "./view.js";

// The account and device of this tab stand in the address, so that a reload is the same phone.
function identity() {
  const fields = new URLSearchParams(location.hash.slice(1));
  const account = fields.get("account");
  const device = fields.get("device");
  return account && device ? { account, device } : null;
}

const addressOf = (account, device) => `#${new URLSearchParams({ account, device })}`;

function wireStart() {
  for (const chip of document.querySelectorAll("[data-account]")) {
    chip.addEventListener("click", () => {
      $("account").value = chip.dataset.account;
      mark();
    });
  }
  const mark = () => {
    for (const chip of document.querySelectorAll("[data-account]")) {
      chip.setAttribute("aria-pressed", String(chip.dataset.account === $("account").value));
    }
  };
  $("account").addEventListener("input", mark);
  mark();
  $("start").hidden = false;
  $("start-form").addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = addressOf($("account").value, $("device").value);
  });
}

function wireChat(phone) {
  $("conversations").addEventListener("click", (event) => {
    const id = event.target.closest("[data-conversation]")?.dataset.conversation;
    if (id) phone.select(id);
  });
  $("back").addEventListener("click", () => {
    const id = phone.model.selected;
    phone.unselect();
    document.querySelector(`[data-conversation="${CSS.escape(id)}"]`)?.focus();
  });
  $("older").addEventListener("click", () => phone.older());
  $("jump").addEventListener("click", () => phone.view.toEnd());
  $("scroll").addEventListener("scroll", () => {
    if (!phone.view.atEnd()) return;
    $("jump").hidden = true;
    phone.looked();
  });
  document.addEventListener("visibilitychange", () => phone.looked());
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("text").value.trim();
    if (text && phone.send(text)) $("text").value = "";
    $("text").focus();
  });
  $("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("composer").requestSubmit();
  });
}

function wireStream(phone) {
  $("switch").addEventListener("click", () => phone.toggleStream());
  $("clear").addEventListener("click", () => $("log").replaceChildren());
  const show = (open) => {
    document.body.dataset.stream = open ? "open" : "closed";
    $("pill").setAttribute("aria-expanded", String(open));
    if (open) phone.view.logToEnd(); // what is not displayed does not keep its scroll position
  };
  show(matchMedia("(min-width: 1100px)").matches);
  $("pill").addEventListener("click", () => show(document.body.dataset.stream !== "open"));
  $("stream-close").addEventListener("click", () => {
    show(false);
    $("pill").focus();
  });
  for (const name of ["online", "offline"]) addEventListener(name, () => phone.network());
}

function wireDialog(phone) {
  const form = $("new-form");
  let clientId; // one for each time the dialog is opened: a second try makes no second group
  const adapt = () => {
    const group = form.elements.kind.value === "group";
    $("new-title").disabled = !group;
    $("new-hint").textContent = group ? "Account names, with commas between them." : "An account name.";
  };
  form.addEventListener("change", adapt);
  $("new").addEventListener("click", () => {
    form.reset();
    adapt();
    clientId = crypto.randomUUID();
    $("new-error").textContent = "";
    $("dialog").showModal();
    $("new-members").focus();
  });
  $("new-cancel").addEventListener("click", () => $("dialog").close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const members = form.elements.members.value.split(",").map((name) => name.trim()).filter(Boolean);
    const kind = form.elements.kind.value;
    if (kind === "direct" && members.length !== 1) return void ($("new-error").textContent = "A direct conversation has one other member.");
    try {
      await phone.create(kind, members, $("new-title").value.trim(), clientId);
      $("dialog").close();
    } catch (error) {
      $("new-error").textContent = error.message;
    }
  });
}

function main() {
  addEventListener("hashchange", () => location.reload());
  const who = identity();
  if (!who) return wireStart();
  $("app").hidden = false;
  $("me").textContent = who.account;
  $("my-device").textContent = who.device;
  $("another").href = addressOf(who.account === "u1" ? "u2" : "u1", "phone");
  const phone = new Phone(who.account, who.device);
  wireChat(phone);
  wireStream(phone);
  wireDialog(phone);
  phone.view.state("connecting");
  phone.start();
}

main();
