"""TUF: metadata both ways and the checks of the client workflow. Pure."""
