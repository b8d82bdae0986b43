(() => {
  const { createElement: el, useEffect, useState } = React;
  const command = "__COMMAND__";
  const AFTER_FAILURE_SECONDS = 30;
  const day = (moment, zone) =>
    new Date(moment).toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric", timeZone: zone });
  const link = (name, address) =>
    /^https?:\/\//.test(address || "")
      ? el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, name)
      : el("span", null, name);
  const title = (text) => el("div", { style: { color: "#6a7079", marginTop: "10px", fontWeight: 600 } }, text);
  const missing = (card) => el("div", null, card.refresh_after ? "On its way ..." : "Not known.");
  const names = (card, items, empty) =>
    !items ? missing(card)
      : items.length ? items.map((one, at) => el("div", { key: at }, link(one.name, one.link)))
      : el("div", null, empty);
  const lines = (card, items) =>
    !items ? missing(card)
      : items.length ? items.map((one, at) => el("div", { key: at, style: { marginBottom: "4px" } },
          link(one.title, one.link),
          one.subtitle ? el("div", null, one.subtitle) : null,
          el("div", { style: { color: "#6a7079" } }, [
            one.channel,
            one.sent_at ? `sent ${day(one.sent_at)}` : null,
            one.clicked_at ? "clicked" : one.opened_at ? "opened" : null,
          ].filter(Boolean).join(" · "))))
      : el("div", null, "None in the last 90 days.");
  const consent = (one) =>
    `${one.channel}: ${one.state.replaceAll("_", " ")}`
    + (one.since ? ` since ${day(one.since)}` : "") + (one.until ? ` until ${day(one.until)}` : "") + (one.suppressed ? `, suppressed: ${one.suppressed}` : "");
  const money = (amount, currency) =>
    amount.toLocaleString("en", /^[A-Z]{3}$/.test(currency || "")
      ? { style: "currency", currency }
      : { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const predictions = (card) => [
    typeof card.lifetime_value === "number" ? `Lifetime value: ${money(card.lifetime_value, card.currency)}` : null,
    typeof card.churn_risk === "number" ? `Churn risk: ${Math.round(card.churn_risk * 100)} %` : null,
    card.next_order ? `Next order: about ${day(card.next_order, "UTC")}` : null,
  ].filter(Boolean);
  const known = (card) => [
    el("div", { key: "who", style: { fontWeight: 600 } }, link(card.person.name, card.person.link)),
    ...(card.others || []).map((one, at) => el("div", { key: `o${at}` }, "also ", link(one.name, one.link))),
    card.consents.length ? el("div", { key: "consent" }, title("Consent"), ...card.consents.map((one, at) => el("div", { key: at }, consent(one)))) : null,
    el("div", { key: "campaigns" }, title("Campaigns"), lines(card, card.campaigns)),
    card.flows && card.flows.length ? el("div", { key: "flows" }, title("Flow messages"), lines(card, card.flows)) : null,
    el("div", { key: "lists" }, title("Lists"), names(card, card.lists, "On no list.")),
    el("div", { key: "segments" }, title("Segments"), names(card, card.segments, "In no segment.")),
    predictions(card).length ? el("div", { key: "predicted" }, title("Predicted"), ...predictions(card).map((text, at) => el("div", { key: at }, text))) : null,
  ];
  // The same component each time this is evaluated, so that Kustomer drawing anew does not begin the card anew.
  const Insight = globalThis[command] || (globalThis[command] = ({ id }) => {
    const [told, setTold] = useState(null);
    useEffect(() => {
      let live = true;
      let timer = null;
      const ask = () => KustomerRequest(
        { url: `/v1/commands/${command}/run`, method: "POST",
          body: { args: { customer: id }, headers: { Authorization: "Bearer {{cardSecret}}" }, body: {} } },
        (error, result) => {
          if (!live) return;
          const data = (result && (result.data || (result.body && result.body.data))) || {};
          const body = (data.attributes || result || {}).responseBody;
          const ours = body && body.customer === id ? body.card : null;
          setTold({ id, card: error || !ours ? { face: "error", says: "The integration could not be asked." } : ours });
          const seconds = ours ? ours.refresh_after : AFTER_FAILURE_SECONDS;
          if (seconds) timer = setTimeout(ask, seconds * 1000);
        });
      ask();
      return () => { live = false; clearTimeout(timer); };
    }, [id]);
    if (!told || told.id !== id) return el("div", { style: { padding: "10px" } }, "Asking Klaviyo ...");
    const answer = told.card;
    return el("div", { style: { padding: "10px" } },
      answer.face === "known" ? known(answer) : el("div", null, answer.says),
      ...(answer.notes || []).map((note, at) => el("div", { key: `n${at}` }, note)),
      el("div", { style: { color: "#6a7079", marginTop: "8px" } },
        [answer.account && `Klaviyo account ${answer.account}`, answer.fetched_at && `as of ${new Date(answer.fetched_at).toLocaleString("en")}`].filter(Boolean).join(" · ")));
  });
  return el(Insight, { id: customer.id });
})()
