// The insight panel: frames hosted cards and answers their SDK calls as Kustomer does, and renders native cards with a
// minimal React: elements, useState, useEffect.
"use strict";

const panel = (() => {
  const container = document.getElementById("panel");
  const frames = new Map();
  let shownCustomer = null;
  let builtCards = null;

  const runCommand = async (name, body) => {
    const response = await fetch(`/sandbox/desktop/commands/${encodeURIComponent(name)}`, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    const content = await response.json();
    if (!response.ok) throw new Error(JSON.stringify(content.errors));
    return content.data.attributes;
  };

  // Sends an API request as the signed-in agent.
  const request = async ({ url, method, body }) => {
    const { key } = await (await fetch("/sandbox/desktop/agent")).json();
    const options = { method: method || "GET", headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" } };
    if (body) options.body = JSON.stringify(body);
    return (await fetch(new URL(url, location.origin).pathname + new URL(url, location.origin).search, options)).json();
  };

  const contextOf = (customer) => ({ type: "customer", customer: { type: "customer", id: customer.id, attributes: customer.attributes } });

  // Handles the SDK calls of framed cards. A frame is identified by its window and origin. A page in a sandboxed frame has the
  // origin "null"; it is accepted unless the desktop's URL contains ?strict-origins.
  const isStrict = new URLSearchParams(location.search).has("strict-origins");
  window.addEventListener("message", async (event) => {
    for (const frame of frames.values()) {
      if (event.source !== frame.element.contentWindow) continue;
      if (event.origin === "null" && !isStrict) frame.target = "*";
      else if (event.origin !== frame.origin) continue;
      const { id, method, args } = event.data || {};
      const reply = (content) => frame.element.contentWindow.postMessage({ id, ...content }, frame.target);
      try {
        if (method === "initialize") { frame.ready = true; reply({ result: { context: contextOf(frame.customer), user: { userRoles: ["org.user"] } } }); }
        else if (method === "command.run") reply({ result: await runCommand(args[0], args[1] || {}) });
        else if (method === "resize") frame.element.style.height = `${Math.min(2000, Math.max(40, (args[0] && args[0].height) || 40))}px`;
        else if (method === "open") frame.element.hidden = false;
        else if (method === "close") frame.element.hidden = true;
        else if (method === "updateStatus") frame.heading.dataset.status = String(args[1] || args[0]);
        else if (method === "request") reply({ result: await request(args[0]) });
        else if (method === "showModal") { alert([args[0] && args[0].title, args[0] && args[0].body].filter(Boolean).join("\n\n")); reply({ result: null }); }
        else if (method === "openCustomerEvent") { location.hash = args[0]; reply({ result: null }); }
        else reply({ error: `the simulated SDK has no method ${method}` });
      } catch (error) { reply({ error: String(error.message || error) }); }
    }
  });

  const frameCard = (card, customer) => {
    const url = new URL(card.src);
    url.searchParams.set("parentUrl", location.origin);
    url.searchParams.set("id", card.name);
    const element = document.createElement("iframe");
    element.title = card.title;
    element.src = url;
    return { element, origin: url.origin, target: url.origin, customer, ready: false };
  };

  // As in Kustomer, the template is evaluated at each rendering of the panel, for the customer that is open.
  const nativeCard = (card, customer) => {
    const frame = { element: document.createElement("div"), origin: null, customer };
    const sendRequest = (options, callback) =>
      runCommand(options.url.split("/")[3], options.body).then((attributes) => callback(null, { data: { attributes } }), (error) => callback(error));
    const template = new Function("React", "KustomerRequest", "customer", "object", "context", "_", `return ${card.template}`);
    frame.draw = mini.render(frame.element, () =>
      template(mini.React, sendRequest, { id: frame.customer.id, ...frame.customer.attributes }, {}, contextOf(frame.customer), {}));
    return frame;
  };

  const build = (cards, customer) => {
    frames.clear();
    container.replaceChildren();
    if (!cards.length) container.textContent = "No installed app has a card.";
    for (const card of cards) {
      const frame = card.src ? frameCard(card, customer) : nativeCard(card, customer);
      frame.heading = document.createElement("h2");
      frame.heading.textContent = card.title;
      const box = document.createElement("section");
      box.className = "card";
      box.append(frame.heading, frame.element);
      frames.set(card.name, frame);
      container.append(box);
    }
  };

  // Existing cards are kept and receive the new context.
  const updateContext = (customer) => {
    for (const frame of frames.values()) {
      frame.customer = customer;
      if (frame.draw) frame.draw();
      else if (frame.ready) frame.element.contentWindow.postMessage({ context: contextOf(customer) }, frame.target);
    }
  };

  const show = async (customer) => {
    if (shownCustomer === customer.id && frames.size) return;
    const { cards } = await (await fetch("/sandbox/desktop/cards")).json();
    shownCustomer = customer.id;
    const serialized = JSON.stringify(cards);
    if (serialized === builtCards) updateContext(customer);
    else build(cards, customer);
    builtCards = serialized;
  };

  return { show };
})();

// A minimal React: each card has its own tree, which is rendered again when a state changes.
const mini = (() => {
  let current = null;

  const React = {
    createElement: (type, props, ...children) => ({ type, props: props || {}, children }),
    useState: (initial) => {
      const { values, draw } = current;
      const index = current.at++;
      if (!(index in values)) values[index] = initial;
      return [values[index], (next) => { values[index] = next; queueMicrotask(draw); }];
    },
    useEffect: (effect, dependencies) => {
      const { effects } = current;
      const index = current.at++;
      if (effects[index] && JSON.stringify(effects[index].dependencies) === JSON.stringify(dependencies)) return;
      if (effects[index] && effects[index].stop) effects[index].stop();
      effects[index] = { dependencies };
      queueMicrotask(() => { effects[index].stop = effect(); });
    },
  };

  const render = (root, component) => {
    const instances = new Map();
    const renderComponent = (node, key) => {
      // As in React, a component of another type in the same position starts with new state.
      if (!instances.has(key) || instances.get(key).type !== node.type) instances.set(key, { type: node.type, values: [], effects: [], draw });
      current = instances.get(key);
      current.at = 0;
      return node.type(node.props);
    };
    const build = (node, key) => {
      if (node === null || node === undefined || node === false) return document.createTextNode("");
      if (typeof node !== "object") return document.createTextNode(String(node));
      if (Array.isArray(node)) {
        const fragment = document.createDocumentFragment();
        fragment.append(...node.map((child, index) => build(child, `${key}.${index}`)));
        return fragment;
      }
      if (typeof node.type === "function") return build(renderComponent(node, key), `${key}.c`);
      const element = document.createElement(node.type);
      for (const [name, value] of Object.entries(node.props)) {
        if (name === "style") Object.assign(element.style, value);
        else if (name !== "key") element.setAttribute(name, value);
      }
      element.append(...node.children.map((child, index) => build(child, `${key}.${index}`)));
      return element;
    };
    const draw = () => root.replaceChildren(build({ type: component, props: {} }, "0"));
    draw();
    return draw;
  };

  return { React, render };
})();
