-- The latest revision at which a survey without a response id was seen unanswered: the next answer is another one.
ALTER TABLE conversations ADD COLUMN unanswered_rev integer NOT NULL DEFAULT 0;
