// The hosted card. It knows nothing by itself: whom to show comes from Kustomer, and what to show through the app's
// command, which Kustomer runs with a secret that this page never sees. Everything is written as text, never as markup.
(() => {
  "use strict";

  const command = new URLSearchParams(location.search).get("command") || "";
  const main = document.getElementById("card");
  const AFTER_FAILURE_SECONDS = 30;
  const UNMET_SECONDS = 10;
  let asked = null;
  let timer = null;
  let shown = null;
  let isMet = false;

  const el = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
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
    for (const one of card.consents) {
      const [word, style] = CONSENTS[one.state] || [one.state.replaceAll("_", " "), "soft"];
      const value = el("dd", {}, el("span", { class: style }, word));
      if (one.since) value.append(` since ${day(one.since)}`);
      if (one.until) value.append(` until ${day(one.until)}`);
      if (one.suppressed) value.append(el("span", { class: "no" }, `, suppressed: ${one.suppressed.replaceAll("_", " ")}`));
      facts.append(el("dt", {}, one.channel), value);
    }
    return facts;
  };

  const line = (one) => {
    const happened = [];
    if (one.sent_at) happened.push(`sent ${day(one.sent_at)}`);
    if (one.clicked_at) happened.push("clicked");
    else if (one.opened_at) happened.push("opened");
    const item = el("li", {}, linked(one.title, one.link));
    if (one.subtitle) item.append(el("div", {}, one.subtitle));
    item.append(el("div", { class: "soft" }, [one.channel, ...happened].filter(Boolean).join(" · ")));
    return item;
  };

  const missing = (card) => (card.refresh_after ? "On its way ..." : "Not known.");

  const list = (card, items, make, empty, style = "") =>
    items === undefined || items === null
      ? el("p", { class: "says soft" }, missing(card))
      : items.length
        ? el("ul", style ? { class: style } : {}, ...items.map(make))
        : el("p", { class: "says soft" }, empty);

  const named = (one) => el("li", {}, linked(one.name, one.link));

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

  const known = (card) => [
    el("h1", {}, linked(card.person.name, card.person.link)),
    ...(card.others || []).map((one) => el("div", { class: "soft" }, "also ", linked(one.name, one.link))),
    ...(card.consents.length ? section("Consent", consents(card)) : []),
    ...section("Campaigns", list(card, card.campaigns, line, "None in the last 90 days.")),
    ...(card.flows && card.flows.length ? section("Flow messages", list(card, card.flows, line, "")) : []),
    ...section("Lists", list(card, card.lists, named, "On no list.", "chips")),
    ...section("Segments", list(card, card.segments, named, "In no segment.", "chips")),
    ...predictions(card),
  ];

  const foot = (card) =>
    [card.account ? `Klaviyo account ${card.account}` : null, card.fetched_at ? `as of ${ago(card.fetched_at)}` : null]
      .filter(Boolean)
      .join(" · ");

  const grow = () => {
    const place = main.querySelector("footer");
    if (place) place.textContent = foot(shown);
  };

  const show = (card) => {
    const parts = card.face === "known" ? known(card) : [el("p", { class: "says" }, card.says || "")];
    for (const note of card.notes || []) parts.push(el("p", { class: "note" }, note));
    parts.push(el("footer", { class: "soft", "aria-live": "off" }, foot(card)));
    main.replaceChildren(...parts);
    shown = card;
    main.dataset.face = card.face;
    Kustomer.resize();
  };

  const say = (face, text) => {
    main.replaceChildren(el("p", { class: "says" }, text));
    main.dataset.face = face;
    if (window.Kustomer) Kustomer.resize();
  };

  const askAgain = (customer, seconds) => {
    timer = setTimeout(() => ask(customer), seconds * 1000);
  };

  const fail = (customer, text) => {
    say("error", text);
    askAgain(customer, AFTER_FAILURE_SECONDS);
  };

  // What the integration said; nothing for an error page of something in between.
  const read = (answer) => {
    try {
      const body = answer.responseBody;
      return typeof body === "string" ? JSON.parse(body) : body;
    } catch {
      return null;
    }
  };

  const ask = async (customer) => {
    let answer;
    try {
      // Both ways the SDK is known to answer: by a promise, or only by the callback.
      answer = await new Promise((resolve, reject) => {
        const done = (error, result) => (error ? reject(error) : resolve(result));
        const promised = Kustomer.command.run(
          command,
          { args: { customer }, headers: { Authorization: "Bearer {{cardSecret}}" }, body: {} },
          done,
        );
        if (promised && typeof promised.then === "function") promised.then(resolve, reject);
      });
    } catch (error) {
      if (asked === customer) fail(customer, "Kustomer could not reach the integration. An admin can look at its status.");
      return;
    }
    if (asked !== customer) return;
    const body = read(answer);
    if (!body || !body.card) return fail(customer, "The integration did not answer. An admin can look at its status.");
    if (body.customer !== customer) return fail(customer, "The answer was not about this customer, and is not shown.");
    show(body.card);
    if (body.card.refresh_after) askAgain(customer, body.card.refresh_after);
  };

  const meet = (context) => {
    isMet = true;
    const places = [context && context.customer, context && context.conversation && context.conversation.customer, context];
    const customer = places.map((place) => place && place.id).find((id) => /^[0-9a-f]{24}$/.test(id || ""));
    if (customer && customer === asked) return;
    clearTimeout(timer);
    asked = customer;
    if (!customer) return say("nobody", "No customer is open.");
    say("asking", "Asking Klaviyo ...");
    ask(customer);
  };

  if (!window.Kustomer) return say("alone", "Kustomer's script for cards could not be loaded, or this is not Kustomer.");
  setInterval(grow, 30_000);
  setTimeout(() => {
    if (!isMet) say("unmet", "Kustomer has not told this card whose it is. The documentation says what an admin can do.");
  }, UNMET_SECONDS * 1000);
  Kustomer.initialize((context) => meet(context));
  Kustomer.on("context", (context) => meet(context));
})();
