"""Where pixels lie, and the files that hold them."""

from orthoforge.geo.proj_data import use_a_fitting_database

# Before any CRS is looked up, also by modules that keep one.
use_a_fitting_database()
