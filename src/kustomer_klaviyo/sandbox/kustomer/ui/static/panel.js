// The insight panel: frames hosted cards and talks to them as Kustomer does, and renders native ones with just enough of
// React for a card: elements, useState, useEffect.
"use strict";

const panel = (() => {
  const place = document.getElementById("panel");
  const frames = new Map();
  let shownFor = null;
  let built = null;

  const runCommand = async (name, body) => {
    const response = await fetch(`/sandbox/desktop/commands/${encodeURIComponent(name)}`, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    const answer = await response.json();
    if (!response.ok) throw new Error(JSON.stringify(answer.errors));
    return answer.data.attributes;
  };

  // Any part of the API, as the agent who is signed in.
  const request = async ({ url, method, body }) => {
    const { key } = await (await fetch("/sandbox/desktop/agent")).json();
    const asked = { method: method || "GET", headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" } };
    if (body) asked.body = JSON.stringify(body);
    return (await fetch(new URL(url, location.origin).pathname + new URL(url, location.origin).search, asked)).json();
  };

  const contextOf = (customer) => ({ type: "customer", customer: { type: "customer", id: customer.id, attributes: customer.attributes } });

  // What a framed card may ask for. The frame is known by its window, and by its origin unless the page has none (a sandbox
  // of its own); with ?strict-origins in the desktop's address such a page is not heard.
  const isStrict = new URLSearchParams(location.search).has("strict-origins");
  window.addEventListener("message", async (event) => {
    for (const frame of frames.values()) {
      if (event.source !== frame.element.contentWindow) continue;
      if (event.origin === "null" && !isStrict) frame.target = "*";
      else if (event.origin !== frame.origin) continue;
      const { id, ask, args } = event.data || {};
      const reply = (content) => frame.element.contentWindow.postMessage({ id, ...content }, frame.target);
      try {
        if (ask === "initialize") { frame.ready = true; reply({ result: { context: contextOf(frame.customer), user: { userRoles: ["org.user"] } } }); }
        else if (ask === "command.run") reply({ result: await runCommand(args[0], args[1] || {}) });
        else if (ask === "resize") frame.element.style.height = `${Math.min(2000, Math.max(40, (args[0] && args[0].height) || 40))}px`;
        else if (ask === "open") frame.element.hidden = false;
        else if (ask === "close") frame.element.hidden = true;
        else if (ask === "updateStatus") frame.heading.dataset.status = String(args[1] || args[0]);
        else if (ask === "request") reply({ result: await request(args[0]) });
        else if (ask === "showModal") { alert([args[0] && args[0].title, args[0] && args[0].body].filter(Boolean).join("\n\n")); reply({ result: null }); }
        else if (ask === "openCustomerEvent") { location.hash = args[0]; reply({ result: null }); }
        else reply({ error: `a card cannot ask for ${ask} here` });
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

  // As in Kustomer, the template is evaluated whenever the panel is drawn, for whichever customer is open then.
  const nativeCard = (card, customer) => {
    const made = { element: document.createElement("div"), origin: null, customer };
    const ask = (asked, done) =>
      runCommand(asked.url.split("/")[3], asked.body).then((attributes) => done(null, { data: { attributes } }), (error) => done(error));
    const template = new Function("React", "KustomerRequest", "customer", "object", "context", "_", `return ${card.template}`);
    made.draw = mini.render(made.element, () =>
      template(mini.React, ask, { id: made.customer.id, ...made.customer.attributes }, {}, contextOf(made.customer), {}));
    return made;
  };

  const build = (cards, customer) => {
    frames.clear();
    place.replaceChildren();
    if (!cards.length) place.textContent = "No app has put a card here yet.";
    for (const card of cards) {
      const made = card.src ? frameCard(card, customer) : nativeCard(card, customer);
      made.heading = document.createElement("h2");
      made.heading.textContent = card.title;
      const box = document.createElement("section");
      box.className = "card";
      box.append(made.heading, made.element);
      frames.set(card.name, made);
      place.append(box);
    }
  };

  // A card that is there stays, and is told who is open now.
  const tell = (customer) => {
    for (const frame of frames.values()) {
      frame.customer = customer;
      if (frame.draw) frame.draw();
      else if (frame.ready) frame.element.contentWindow.postMessage({ context: contextOf(customer) }, frame.target);
    }
  };

  const show = async (customer) => {
    if (shownFor === customer.id && frames.size) return;
    const { cards } = await (await fetch("/sandbox/desktop/cards")).json();
    shownFor = customer.id;
    const are = JSON.stringify(cards);
    if (are === built) tell(customer);
    else build(cards, customer);
    built = are;
  };

  return { show };
})();

// Just enough of React: each card a tree of its own, drawn anew whenever a state changes.
const mini = (() => {
  let current = null;

  const React = {
    createElement: (type, props, ...children) => ({ type, props: props || {}, children }),
    useState: (first) => {
      const { values, draw } = current;
      const mine = current.at++;
      if (!(mine in values)) values[mine] = first;
      return [values[mine], (next) => { values[mine] = next; queueMicrotask(draw); }];
    },
    useEffect: (effect, uses) => {
      const { effects } = current;
      const mine = current.at++;
      if (effects[mine] && JSON.stringify(effects[mine].uses) === JSON.stringify(uses)) return;
      if (effects[mine] && effects[mine].stop) effects[mine].stop();
      effects[mine] = { uses };
      queueMicrotask(() => { effects[mine].stop = effect(); });
    },
  };

  const render = (root, make) => {
    const held = new Map();
    const component = (node, key) => {
      // As React does: another type of component in the same place begins anew.
      if (!held.has(key) || held.get(key).type !== node.type) held.set(key, { type: node.type, values: [], effects: [], draw });
      current = held.get(key);
      current.at = 0;
      return node.type(node.props);
    };
    const build = (node, key) => {
      if (node === null || node === undefined || node === false) return document.createTextNode("");
      if (typeof node !== "object") return document.createTextNode(String(node));
      if (Array.isArray(node)) {
        const part = document.createDocumentFragment();
        part.append(...node.map((one, at) => build(one, `${key}.${at}`)));
        return part;
      }
      if (typeof node.type === "function") return build(component(node, key), `${key}.c`);
      const made = document.createElement(node.type);
      for (const [name, value] of Object.entries(node.props)) {
        if (name === "style") Object.assign(made.style, value);
        else if (name !== "key") made.setAttribute(name, value);
      }
      made.append(...node.children.map((one, at) => build(one, `${key}.${at}`)));
      return made;
    };
    const draw = () => root.replaceChildren(build({ type: make, props: {} }, "0"));
    draw();
    return draw;
  };

  return { React, render };
})();
