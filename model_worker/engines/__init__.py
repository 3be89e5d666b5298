"""The engines: plugs behind the abilities of ``speechmill.abilities``."""
