// The hosted card. Kustomer provides the customer, and the data comes through the app's command, which Kustomer runs with
// a secret that this page never sees. Everything is written as text, never as markup.
(() => {
  "use strict";

  const command = new URLSearchParams(location.search).get("command") || "";
  const main = document.getElementById("card");
  const RETRY_SECONDS = 30;
  const CONTEXT_SECONDS = 10;
  let current = null;
  let timer = null;
  let displayed = null;
  let hasContext = false;

  const el = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  const linked = (text, address) =>
    address && /^https?:\/\//.test(address)
      ? el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, text)
      : document.createTextNode(text);

  const day = (moment, zone) =>
    new Date(moment).toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric", timeZone: zone });

  const ago = (moment) => {
    const minutes = Math.max(0, Math.round((Date.now() - new Date(moment)) / 60000));
    if (minutes < 1) return "just now";
    if (minutes < 60) return `${minutes} min ago`;
    if (minutes < 48 * 60) return `${Math.round(minutes / 60)} h ago`;
    return `on ${day(moment)}`;
  };

  const section = (title, content) => [el("h2", {}, title), content];

  const CONSENTS = { subscribed: ["subscribed", "yes"], unsubscribed: ["unsubscribed", "no"], never_subscribed: ["never subscribed", "soft"] };

  const consents = (card) => {
    const facts = el("dl", { class: "facts" });
    for (const consent of card.consents) {
      const [word, style] = CONSENTS[consent.state] || [consent.state.replaceAll("_", " "), "soft"];
      const value = el("dd", {}, el("span", { class: style }, word));
      if (consent.since) value.append(` since ${day(consent.since)}`);
      if (consent.until) value.append(` until ${day(consent.until)}`);
      if (consent.suppressed) value.append(el("span", { class: "no" }, `, suppressed: ${consent.suppressed.replaceAll("_", " ")}`));
      facts.append(el("dt", {}, consent.channel), value);
    }
    return facts;
  };

  const messageRow = (row) => {
    const states = [];
    if (row.sent_at) states.push(`sent ${day(row.sent_at)}`);
    if (row.clicked_at) states.push("clicked");
    else if (row.opened_at) states.push("opened");
    const item = el("li", {}, linked(row.title, row.link));
    if (row.subtitle) item.append(el("div", {}, row.subtitle));
    item.append(el("div", { class: "soft" }, [row.channel, ...states].filter(Boolean).join(" · ")));
    return item;
  };

  const missing = (card) => (card.refresh_after ? "Loading ..." : "Unknown.");

  const list = (card, items, make, empty, style = "") =>
    items === undefined || items === null
      ? el("p", { class: "message soft" }, missing(card))
      : items.length
        ? el("ul", style ? { class: style } : {}, ...items.map(make))
        : el("p", { class: "message soft" }, empty);

  const chip = (group) => el("li", {}, linked(group.name, group.link));

  const money = (amount, currency) =>
    amount.toLocaleString("en", /^[A-Z]{3}$/.test(currency || "")
      ? { style: "currency", currency }
      : { minimumFractionDigits: 2, maximumFractionDigits: 2 });

  const predictions = (card) => {
    const facts = el("dl", { class: "facts" });
    const add = (name, value) => facts.append(el("dt", {}, name), el("dd", {}, value));
    if (typeof card.lifetime_value === "number") add("Lifetime value", money(card.lifetime_value, card.currency));
    if (typeof card.churn_risk === "number") add("Churn risk", `${Math.round(card.churn_risk * 100)} %`);
    if (card.next_order) add("Next order", `about ${day(card.next_order, "UTC")}`);
    return facts.childElementCount ? section("Predicted", facts) : [];
  };

  const profile = (card) => [
    el("h1", {}, linked(card.profile.name, card.profile.link)),
    ...(card.other_profiles || []).map((other) => el("div", { class: "soft" }, "also ", linked(other.name, other.link))),
    ...(card.consents.length ? section("Consent", consents(card)) : []),
    ...section("Campaigns", list(card, card.campaigns, messageRow, "None in the last 90 days.")),
    ...(card.flows && card.flows.length ? section("Flow messages", list(card, card.flows, messageRow, "")) : []),
    ...section("Lists", list(card, card.lists, chip, "On no list.", "chips")),
    ...section("Segments", list(card, card.segments, chip, "In no segment.", "chips")),
    ...predictions(card),
  ];

  const footerText = (card) =>
    [card.account ? `Klaviyo account ${card.account}` : null, card.fetched_at ? `as of ${ago(card.fetched_at)}` : null]
      .filter(Boolean)
      .join(" · ");

  const updateAge = () => {
    const footer = main.querySelector("footer");
    if (footer) footer.textContent = footerText(displayed);
  };

  const show = (card) => {
    const parts = card.status === "ok" ? profile(card) : [el("p", { class: "message" }, card.message || "")];
    for (const note of card.notes || []) parts.push(el("p", { class: "note" }, note));
    parts.push(el("footer", { class: "soft", "aria-live": "off" }, footerText(card)));
    main.replaceChildren(...parts);
    displayed = card;
    main.dataset.status = card.status;
    Kustomer.resize();
  };

  const showMessage = (status, text) => {
    main.replaceChildren(el("p", { class: "message" }, text));
    main.dataset.status = status;
    if (window.Kustomer) Kustomer.resize();
  };

  const loadAgain = (customer, seconds) => {
    timer = setTimeout(() => load(customer), seconds * 1000);
  };

  const fail = (customer, text) => {
    showMessage("error", text);
    loadAgain(customer, RETRY_SECONDS);
  };

  // Returns the integration's response; null for an error page of a proxy.
  const read = (response) => {
    try {
      const body = response.responseBody;
      return typeof body === "string" ? JSON.parse(body) : body;
    } catch {
      return null;
    }
  };

  const load = async (customer) => {
    let response;
    try {
      // The SDK returns a promise, or only calls the callback.
      response = await new Promise((resolve, reject) => {
        const done = (error, result) => (error ? reject(error) : resolve(result));
        const promise = Kustomer.command.run(
          command,
          { args: { customer }, headers: { Authorization: "Bearer {{cardSecret}}" }, body: {} },
          done,
        );
        if (promise && typeof promise.then === "function") promise.then(resolve, reject);
      });
    } catch (error) {
      if (current === customer) fail(customer, "Kustomer could not reach the integration. An admin can check its status.");
      return;
    }
    if (current !== customer) return;
    const body = read(response);
    if (!body || !body.card) return fail(customer, "The integration did not respond. An admin can check its status.");
    if (body.customer !== customer) return fail(customer, "The response was about another customer and is not shown.");
    show(body.card);
    if (body.card.refresh_after) loadAgain(customer, body.card.refresh_after);
  };

  const setContext = (context) => {
    hasContext = true;
    const candidates = [context && context.customer, context && context.conversation && context.conversation.customer, context];
    const customer = candidates.map((candidate) => candidate && candidate.id).find((id) => /^[0-9a-f]{24}$/.test(id || ""));
    if (customer && customer === current) return;
    clearTimeout(timer);
    current = customer;
    if (!customer) return showMessage("no_customer", "No customer is open.");
    showMessage("loading", "Loading from Klaviyo ...");
    load(customer);
  };

  if (!window.Kustomer) return showMessage("no_sdk", "Kustomer's Cards SDK could not be loaded, or this page is not in Kustomer.");
  setInterval(updateAge, 30_000);
  setTimeout(() => {
    if (!hasContext) showMessage("no_context", "Kustomer did not tell this card which customer is open. See the documentation.");
  }, CONTEXT_SECONDS * 1000);
  Kustomer.initialize((context) => setContext(context));
  Kustomer.on("context", (context) => setContext(context));
})();
