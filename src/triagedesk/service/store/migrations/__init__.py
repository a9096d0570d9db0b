"""The history of the tables, run by `triagedesk.service.store.migrate`."""
