(() => {
  const { createElement: el, useEffect, useState } = React;
  const command = "__COMMAND__";
  const RETRY_SECONDS = 30;
  const day = (moment, zone) =>
    new Date(moment).toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric", timeZone: zone });
  const link = (name, address) =>
    /^https?:\/\//.test(address || "")
      ? el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, name)
      : el("span", null, name);
  const title = (text) => el("div", { style: { color: "#6a7079", marginTop: "10px", fontWeight: 600 } }, text);
  const missing = (card) => el("div", null, card.refresh_after ? "Loading ..." : "Unknown.");
  const names = (card, items, empty) =>
    !items ? missing(card)
      : items.length ? items.map((item, index) => el("div", { key: index }, link(item.name, item.link)))
      : el("div", null, empty);
  const messages = (card, items) =>
    !items ? missing(card)
      : items.length ? items.map((item, index) => el("div", { key: index, style: { marginBottom: "4px" } },
          link(item.title, item.link),
          item.subtitle ? el("div", null, item.subtitle) : null,
          el("div", { style: { color: "#6a7079" } }, [
            item.channel,
            item.sent_at ? `sent ${day(item.sent_at)}` : null,
            item.clicked_at ? "clicked" : item.opened_at ? "opened" : null,
          ].filter(Boolean).join(" · "))))
      : el("div", null, "None in the last 90 days.");
  const consent = (item) =>
    `${item.channel}: ${item.state.replaceAll("_", " ")}`
    + (item.since ? ` since ${day(item.since)}` : "") + (item.until ? ` until ${day(item.until)}` : "")
    + (item.suppressed ? `, suppressed: ${item.suppressed}` : "");
  const money = (amount, currency) =>
    amount.toLocaleString("en", /^[A-Z]{3}$/.test(currency || "")
      ? { style: "currency", currency }
      : { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const predictions = (card) => [
    typeof card.lifetime_value === "number" ? `Lifetime value: ${money(card.lifetime_value, card.currency)}` : null,
    typeof card.churn_risk === "number" ? `Churn risk: ${Math.round(card.churn_risk * 100)} %` : null,
    card.next_order ? `Next order: about ${day(card.next_order, "UTC")}` : null,
  ].filter(Boolean);
  const profile = (card) => [
    el("div", { key: "profile", style: { fontWeight: 600 } }, link(card.profile.name, card.profile.link)),
    ...(card.other_profiles || []).map((item, index) => el("div", { key: `o${index}` }, "also ", link(item.name, item.link))),
    card.consents.length ? el("div", { key: "consent" }, title("Consent"), ...card.consents.map((item, index) => el("div", { key: index }, consent(item)))) : null,
    el("div", { key: "campaigns" }, title("Campaigns"), messages(card, card.campaigns)),
    card.flows && card.flows.length ? el("div", { key: "flows" }, title("Flow messages"), messages(card, card.flows)) : null,
    el("div", { key: "lists" }, title("Lists"), names(card, card.lists, "On no list.")),
    el("div", { key: "segments" }, title("Segments"), names(card, card.segments, "In no segment.")),
    predictions(card).length ? el("div", { key: "predicted" }, title("Predicted"), ...predictions(card).map((text, index) => el("div", { key: index }, text))) : null,
  ];
  // The same component at each evaluation, so that a new render by Kustomer does not reset the card.
  const Insight = globalThis[command] || (globalThis[command] = ({ id }) => {
    const [loaded, setLoaded] = useState(null);
    useEffect(() => {
      let live = true;
      let timer = null;
      const load = () => KustomerRequest(
        { url: `/v1/commands/${command}/run`, method: "POST",
          body: { args: { customer: id }, headers: { Authorization: "Bearer {{cardSecret}}" }, body: {} } },
        (error, result) => {
          if (!live) return;
          const data = (result && (result.data || (result.body && result.body.data))) || {};
          const body = (data.attributes || result || {}).responseBody;
          const card = body && body.customer === id ? body.card : null;
          setLoaded({ id, card: error || !card ? { status: "error", message: "The integration did not respond." } : card });
          const seconds = card ? card.refresh_after : RETRY_SECONDS;
          if (seconds) timer = setTimeout(load, seconds * 1000);
        });
      load();
      return () => { live = false; clearTimeout(timer); };
    }, [id]);
    if (!loaded || loaded.id !== id) return el("div", { style: { padding: "10px" } }, "Loading from Klaviyo ...");
    const card = loaded.card;
    return el("div", { style: { padding: "10px" } },
      card.status === "ok" ? profile(card) : el("div", null, card.message),
      ...(card.notes || []).map((note, index) => el("div", { key: `n${index}` }, note)),
      el("div", { style: { color: "#6a7079", marginTop: "8px" } },
        [card.account && `Klaviyo account ${card.account}`, card.fetched_at && `as of ${new Date(card.fetched_at).toLocaleString("en")}`].filter(Boolean).join(" · ")));
  });
  return el(Insight, { id: customer.id });
})()
