"""Decides which settings skip an event or a customer, for deduplication at intake and for planning alike. Pure."""

from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.facts import CustomerObserved, Fact
from kustomer_klaviyo.jsonapi import as_list
from kustomer_klaviyo.mapping.profile_mapping import read_text
from kustomer_klaviyo.reasons import Reason


def event_skip_reason(fact: Fact, rules: ConnectionRules) -> Reason | None:
    """Return why the event is skipped, by a setting or because its conversation is deleted; None to send it."""
    conversation, options = fact.conversation, rules.options
    if fact.occurred_at < rules.since:
        return Reason.BEFORE_SINCE
    if conversation.deleted:
        return Reason.CONVERSATION_DELETED
    if conversation.spam and options.spam == "skip":
        return Reason.SPAM
    if conversation.kustomer_import and options.kustomer_imports == "skip":
        return Reason.KUSTOMER_IMPORT
    return None if rules.is_routed_here(conversation.brand_id) else Reason.NOT_ROUTED_HERE


def customer_skip_reason(customer: CustomerObserved, rules: ConnectionRules) -> Reason | None:
    """Return why nothing is sent for a customer; None when no setting excludes them."""
    options, attributes = rules.options, customer.attributes
    if options.only_tags and not set(options.only_tags) & {str(tag) for tag in as_list(attributes.get("tags"))}:
        return Reason.ONLY_TAGS
    wanted = options.only_attributes.items()
    if any((read_text(path, attributes) or "").lower() != value.lower() for path, value in wanted):
        return Reason.ONLY_ATTRIBUTES
    return None
