-- What only a card wants to know is asked after everything else: whoever holds a card's secret can make customers up.
ALTER TABLE lookups ADD COLUMN for_card boolean NOT NULL DEFAULT false;
