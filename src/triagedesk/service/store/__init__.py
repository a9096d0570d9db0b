"""What the service remembers: SQLite by default, PostgreSQL by URL; one module per noun."""
