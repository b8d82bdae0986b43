// The insight panel: frames hosted cards and talks to them as Kustomer does, and renders native ones with just enough of
// React for a card: elements, useState, useEffect.
"use strict";

const panel = (() => {
  const place = document.getElementById("panel");
  const frames = new Map();
  let shownFor = null;

  const runCommand = async (name, body) => {
    const response = await fetch(`/sandbox/desktop/commands/${encodeURIComponent(name)}`, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    const answer = await response.json();
    if (!response.ok) throw new Error(JSON.stringify(answer.errors));
    return answer.data.attributes;
  };

  const contextOf = (customer) => ({ type: "customer", customer: { type: "customer", id: customer.id, attributes: customer.attributes } });

  // What a framed card may ask for. The frame is known by its window and its origin, and by nothing else.
  window.addEventListener("message", async (event) => {
    for (const frame of frames.values()) {
      if (event.source !== frame.element.contentWindow || event.origin !== frame.origin) continue;
      const { id, ask, args } = event.data || {};
      const reply = (content) => frame.element.contentWindow.postMessage({ id, ...content }, frame.origin);
      try {
        if (ask === "initialize") { frame.ready = true; reply({ result: { context: contextOf(frame.customer), user: { userRoles: ["org.user"] } } }); }
        else if (ask === "command.run") reply({ result: await runCommand(args[0], args[1] || {}) });
        else if (ask === "resize") frame.element.style.height = `${Math.min(2000, Math.max(40, (args[0] && args[0].height) || 40))}px`;
        else if (ask === "open") frame.element.hidden = false;
        else if (ask === "close") frame.element.hidden = true;
        else if (ask === "updateStatus") frame.heading.dataset.status = String(args[1] || args[0]);
        else if (ask === "request") { const response = await fetch(args[0].url, { method: args[0].method || "GET" }); reply({ result: await response.json() }); }
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
    return { element, origin: url.origin, customer, ready: false };
  };

  const nativeCard = (card, customer) => {
    const root = document.createElement("div");
    mini.render(root, (React) => new Function("React", "KustomerRequest", "customer", "object", "context", "_", `return ${card.template}`)(
      React,
      (asked, done) => runCommand(asked.url.split("/")[3], asked.body).then((attributes) => done(null, { data: { attributes } }), (error) => done(error)),
      { id: customer.id, ...customer.attributes }, {}, contextOf(customer), {}));
    return { element: root, origin: null, customer };
  };

  const show = async (customer) => {
    if (shownFor === customer.id && frames.size) return;
    const { cards } = await (await fetch("/sandbox/desktop/cards")).json();
    shownFor = customer.id;
    for (const frame of frames.values()) frame.element.remove();
    frames.clear();
    place.replaceChildren();
    if (!cards.length) place.textContent = "No app has put a card here yet.";
    for (const card of cards) {
      const made = card.src ? frameCard(card, customer) : nativeCard(card, customer);
      const heading = document.createElement("h2");
      heading.textContent = card.title;
      const box = document.createElement("section");
      box.className = "card";
      box.append(heading, made.element);
      made.heading = heading;
      frames.set(card.name, made);
      place.append(box);
    }
  };

  return { show };
})();

// Just enough of React: one tree, drawn anew whenever a state changes.
const mini = {
  render(root, make) {
    const held = new Map();
    let current = null;
    const draw = () => root.replaceChildren(build(top, "0"));
    const React = {
      createElement: (type, props, ...children) => ({ type, props: props || {}, children }),
      useState: (first) => {
        const { values } = current;
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
    const component = (node, key) => {
      if (!held.has(key)) held.set(key, { values: [], effects: [], at: 0 });
      current = held.get(key);
      current.at = 0;
      return node.type(node.props);
    };
    const build = (node, key) => {
      if (node === null || node === undefined || node === false) return document.createTextNode("");
      if (typeof node !== "object") return document.createTextNode(String(node));
      const part = Array.isArray(node) ? document.createDocumentFragment() : null;
      if (part) { part.append(...node.map((one, at) => build(one, `${key}.${at}`))); return part; }
      if (typeof node.type === "function") return build(component(node, key), `${key}.c`);
      const made = document.createElement(node.type);
      for (const [name, value] of Object.entries(node.props)) {
        if (name === "style") Object.assign(made.style, value);
        else if (name !== "key") made.setAttribute(name, value);
      }
      made.append(...node.children.map((one, at) => build(one, `${key}.${at}`)));
      return made;
    };
    const top = make(React);
    draw();
  },
};
