"""Object stores: scenes from them and files to them, as whole objects, by obstore."""

from orthoforge.stores.addresses import SCHEMES, Address, address_of
from orthoforge.stores.staging import Stores

__all__ = ["SCHEMES", "Address", "Stores", "address_of"]
