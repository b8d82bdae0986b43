"""The only room with SQL: PostgreSQL and the tables of the line. Knows no vendor."""
