"""IETF SUIT (draft-ietf-suit-manifest-37): the release manifest, both ways. Pure."""
