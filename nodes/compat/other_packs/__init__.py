"""The nodes of other packs than IPAdapter_plus: for InstantID, for PuLID, and for the IP-Adapters of Flux."""
