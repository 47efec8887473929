"""From a signed release to a TUF repository, and over the wire to a device."""
