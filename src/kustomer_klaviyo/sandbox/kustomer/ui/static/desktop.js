// The agent's desktop: customers on the left, the timeline in the middle. The panel on the right is panel.js.
"use strict";

const state = { customer: null, drawn: {} };

const ask = async (path, body) => {
  const response = await fetch(path, body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text ? JSON.parse(text) : null;
};

const el = (name, attributes, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
};

// Drawn only when something changed, so that nobody's click falls on a button that was just replaced.
const draw = (place, content, make) => {
  const text = JSON.stringify(content);
  if (state.drawn[place] === text) return;
  state.drawn[place] = text;
  document.getElementById(place).replaceChildren(...make());
};

const showCustomers = async () => {
  const q = document.getElementById("q").value;
  const found = await ask(`/sandbox/desktop/customers?q=${encodeURIComponent(q)}`);
  draw("customers", [found, state.customer], () =>
    found.customers.map((one) =>
      el("li", {}, el("button", { type: "button", "aria-current": String(one.id === state.customer), "data-customer": one.id, onclick: () => choose(one.id) },
        one.open ? el("span", { class: "count", title: "open conversations" }, String(one.open)) : null,
        el("div", {}, one.name), el("div", { class: "soft" }, one.email || "no email")))));
};

const act = async (conversation, action, body = {}) => {
  await ask(`/sandbox/conversations/${conversation}/${action}`, body);
  await refresh();
};

const conversation = (one) => {
  const { status, name, channels, satisfactionLevel } = one.attributes;
  const button = (text, action, body, style) => el("button", { type: "button", ...(style ? { class: style } : {}), onclick: () => act(one.id, action, body) }, text);
  const rating = satisfactionLevel && satisfactionLevel.rating;
  return el("section", { class: "conversation", "data-conversation": one.id },
    el("h3", {}, name || "(no subject)", " ", el("span", { class: `status ${status}` }, status), " ", el("span", { class: "soft" }, channels[0] || "")),
    ...one.messages.map((message) => el("div", { class: message.inbound ? "message" : "message out" }, message.text)),
    el("div", { class: "actions" },
      button("Customer writes", "message", { from: "customer", text: "Is there any news?" }),
      button("Agent replies", "message", { from: "agent", text: "We are looking into it." }),
      status === "done" ? button("Reopen", "reopen") : button("Done", "done", {}, "strong"),
      ...(status === "done" ? [el("span", { class: "soft" }, rating ? `rated ${rating}` : "rate:"), ...[1, 2, 3, 4, 5].map((stars) => button(String(stars), "rate", { rating: stars }))] : [])));
};

const showTimeline = async () => {
  if (!state.customer) return null;
  const found = await ask(`/sandbox/desktop/customers/${state.customer}`);
  draw("timeline", found, () => [
    el("h1", {}, found.customer.attributes.displayName),
    el("div", { class: "actions" }, el("button", { type: "button", class: "strong", onclick: begin }, "New conversation")),
    el("p", {}, ""),
    ...found.conversations.map(conversation),
  ]);
  return found.customer;
};

const begin = async () => {
  const made = await ask("/sandbox/conversations", { customer: state.customer, subject: "Where is my lantern?", channel: "email" });
  await act(made.id, "message", { from: "customer", text: "It has not arrived yet." });
};

const choose = async (customer) => {
  state.customer = customer;
  history.replaceState(null, "", `#${customer}`);
  await refresh();
};

const refresh = async () => {
  const [, customer] = await Promise.all([showCustomers(), showTimeline()]);
  if (customer) await panel.show(customer);
};

document.getElementById("find").addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
document.getElementById("q").addEventListener("input", refresh);
document.getElementById("meet").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("email");
  const made = await ask("/sandbox/customers", { email: field.value });
  field.value = "";
  await choose(made.id);
});
window.addEventListener("hashchange", () => { if (location.hash.slice(1) !== state.customer) choose(location.hash.slice(1)); });
state.customer = location.hash.slice(1) || null;
const keep = async () => {
  try { await refresh(); } catch (error) { console.warn(error); }
  setTimeout(keep, 1500);
};
keep();
