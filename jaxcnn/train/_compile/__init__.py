"""Programs compiled for accelerators that are not there, and what the compilers report of them."""
