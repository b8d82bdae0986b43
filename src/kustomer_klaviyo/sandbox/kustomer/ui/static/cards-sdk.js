// An implementation of Kustomer's Cards SDK with its documented methods. It sends messages only to the framing window, and
// only to the origin that the window passed when it opened the page.
(() => {
  "use strict";
  const query = new URLSearchParams(location.search);
  const parentUrl = query.get("parentUrl");
  const pending = new Map();
  const listeners = { context: [] };
  let nextId = 1;

  const send = (method, args) => {
    if (!parentUrl || window.parent === window) return Promise.reject(new Error("this card is not framed by Kustomer"));
    const id = `${query.get("id") || ""}:${nextId++}`;
    window.parent.postMessage({ id, method, args }, new URL(parentUrl).origin);
    return new Promise((resolve, reject) => pending.set(id, { resolve, reject }));
  };

  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || event.origin !== new URL(parentUrl).origin) return;
    const { id, result, error, context } = event.data || {};
    if (context) listeners.context.forEach((listener) => listener(context));
    const call = pending.get(id);
    if (!call) return;
    pending.delete(id);
    if (error) call.reject(new Error(error));
    else call.resolve(result);
  });

  const withCallback = (promise, callback) => {
    if (typeof callback === "function") promise.then((result) => callback(null, result), (error) => callback(error));
    return promise;
  };

  window.Kustomer = {
    initialize: (callback) => send("initialize", []).then(({ context, user }) => callback(context, user), () => {}),
    on: (name, listener) => { if (listeners[name]) listeners[name].push(listener); },
    request: (options, callback) => withCallback(send("request", [options]), callback),
    command: { run: (name, options, callback) => withCallback(send("command.run", [name, options]), callback) },
    resize: (size) => { send("resize", [size || { height: document.documentElement.scrollHeight }]).catch(() => {}); },
    open: () => { send("open", []).catch(() => {}); },
    close: () => { send("close", []).catch(() => {}); },
    updateStatus: (level, text) => { send("updateStatus", [level, text]).catch(() => {}); },
    showModal: (options) => send("showModal", [options]),
    openCustomerEvent: (customerId, eventId) => send("openCustomerEvent", [customerId, eventId]),
  };
})();
