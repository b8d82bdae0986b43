// The agent's desktop: customers on the left, the timeline in the middle. The panel on the right is in panel.js.
"use strict";

const state = { customer: null, rendered: {} };

const request = async (path, body) => {
  const response = await fetch(path, body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text ? JSON.parse(text) : null;
};

const el = (name, attributes, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
};

// Renders only when the content changed, so that a click never hits a button that is being replaced.
const render = (containerId, content, build) => {
  const text = JSON.stringify(content);
  if (state.rendered[containerId] === text) return;
  state.rendered[containerId] = text;
  document.getElementById(containerId).replaceChildren(...build());
};

const showCustomers = async () => {
  const query = document.getElementById("q").value;
  const { customers } = await request(`/sandbox/desktop/customers?q=${encodeURIComponent(query)}`);
  render("customers", [customers, state.customer], () =>
    customers.map((customer) =>
      el("li", {}, el("button", { type: "button", "aria-current": String(customer.id === state.customer), "data-customer": customer.id, onclick: () => selectCustomer(customer.id) },
        customer.open_count ? el("span", { class: "count", title: "open conversations" }, String(customer.open_count)) : null,
        el("div", {}, customer.name), el("div", { class: "soft" }, customer.email || "no email")))));
};

const runAction = async (conversation, action, body = {}) => {
  await request(`/sandbox/conversations/${conversation}/${action}`, body);
  await refresh();
};

const conversationSection = (conversation) => {
  const { status, name, channels, satisfactionLevel } = conversation.attributes;
  const button = (text, action, body, style) => el("button", { type: "button", ...(style ? { class: style } : {}), onclick: () => runAction(conversation.id, action, body) }, text);
  const rating = satisfactionLevel && satisfactionLevel.rating;
  return el("section", { class: "conversation", "data-conversation": conversation.id },
    el("h3", {}, name || "(no subject)", " ", el("span", { class: `status ${status}` }, status), " ", el("span", { class: "soft" }, channels[0] || "")),
    ...conversation.messages.map((message) => el("div", { class: message.inbound ? "message" : "message out" }, message.text)),
    el("div", { class: "actions" },
      button("Customer writes", "message", { from: "customer", text: "Is there an update?" }),
      button("Agent replies", "message", { from: "agent", text: "We are looking into it." }),
      status === "done" ? button("Reopen", "reopen") : button("Done", "done", {}, "strong"),
      ...(status === "done" ? [el("span", { class: "soft" }, rating ? `rated ${rating}` : "rate:"), ...[1, 2, 3, 4, 5].map((stars) => button(String(stars), "rate", { rating: stars }))] : [])));
};

const showTimeline = async () => {
  if (!state.customer) return null;
  const timeline = await request(`/sandbox/desktop/customers/${state.customer}`);
  render("timeline", timeline, () => [
    el("h1", {}, timeline.customer.attributes.displayName),
    el("div", { class: "actions" }, el("button", { type: "button", class: "strong", onclick: startConversation }, "New conversation")),
    el("p", {}, ""),
    ...timeline.conversations.map(conversationSection),
  ]);
  return timeline.customer;
};

const startConversation = async () => {
  const conversation = await request("/sandbox/conversations", { customer: state.customer, subject: "Where is my lantern?", channel: "email" });
  await runAction(conversation.id, "message", { from: "customer", text: "It has not arrived yet." });
};

const selectCustomer = async (customer) => {
  state.customer = customer;
  history.replaceState(null, "", `#${customer}`);
  await refresh();
};

const refresh = async () => {
  const [, customer] = await Promise.all([showCustomers(), showTimeline()]);
  if (customer) await panel.show(customer);
};

document.getElementById("search").addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
document.getElementById("q").addEventListener("input", refresh);
document.getElementById("add-customer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("email");
  const customer = await request("/sandbox/customers", { email: field.value });
  field.value = "";
  await selectCustomer(customer.id);
});
window.addEventListener("hashchange", () => { if (location.hash.slice(1) !== state.customer) selectCustomer(location.hash.slice(1)); });
state.customer = location.hash.slice(1) || null;
const poll = async () => {
  try { await refresh(); } catch (error) { console.warn(error); }
  setTimeout(poll, 1500);
};
poll();
