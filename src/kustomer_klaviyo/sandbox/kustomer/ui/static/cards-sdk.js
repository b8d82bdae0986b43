// A Cards SDK of our own making, with the documented methods of Kustomer's. It talks only to the window that frames the
// page, and only at the address that window gave when it opened the page.
(() => {
  "use strict";
  const query = new URLSearchParams(location.search);
  const parentUrl = query.get("parentUrl");
  const waiting = new Map();
  const listeners = { context: [] };
  let next = 1;

  const send = (ask, args) => {
    if (!parentUrl || window.parent === window) return Promise.reject(new Error("this card is not framed by Kustomer"));
    const id = `${query.get("id") || ""}:${next++}`;
    window.parent.postMessage({ id, ask, args }, new URL(parentUrl).origin);
    return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  };

  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || event.origin !== new URL(parentUrl).origin) return;
    const { id, result, error, context } = event.data || {};
    if (context) listeners.context.forEach((hear) => hear(context));
    const one = waiting.get(id);
    if (!one) return;
    waiting.delete(id);
    if (error) one.reject(new Error(error));
    else one.resolve(result);
  });

  const both = (promise, done) => {
    if (typeof done === "function") promise.then((result) => done(null, result), (error) => done(error));
    return promise;
  };

  window.Kustomer = {
    initialize: (hear) => send("initialize", []).then(({ context, user }) => hear(context, user), () => {}),
    on: (name, hear) => { if (listeners[name]) listeners[name].push(hear); },
    request: (asked, done) => both(send("request", [asked]), done),
    command: { run: (name, asked, done) => both(send("command.run", [name, asked]), done) },
    resize: (size) => { send("resize", [size || { height: document.documentElement.scrollHeight }]).catch(() => {}); },
    open: () => { send("open", []).catch(() => {}); },
    close: () => { send("close", []).catch(() => {}); },
    updateStatus: (level, text) => { send("updateStatus", [level, text]).catch(() => {}); },
    showModal: (options) => send("showModal", [options]),
    openCustomerEvent: (customerId, eventId) => send("openCustomerEvent", [customerId, eventId]),
  };
})();
