"""How a trained generator leaves the package and comes back: pretrained folders, their cards and metadata, the Hugging Face hub."""

from orthoforge.hub.bundle import publish, save_pretrained
from orthoforge.hub.card import CardFacts, Source, read_facts
from orthoforge.hub.remote import push_to_hub

__all__ = ["CardFacts", "Source", "publish", "push_to_hub", "read_facts", "save_pretrained"]
