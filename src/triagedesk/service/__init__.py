"""The service: what support tools call over HTTP, and what helpdesks send their webhooks to (extra `[service]`)."""
